from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Event
from verification.models.workflow_call import with_local_actions
from verification.models.workflow_file import load, parse
from verification.pipeline.contexts import for_event
from verification.pipeline.evaluated_jobs import evaluate_jobs
from verification.pipeline.publishing import Publication, publications, uses_default_index


def publication(step: str, env: str = "") -> Publication:
    """Return the only publication of a job with a step, which is YAML in flow style."""
    text = (
        "on: {push: {tags: [v*]}}\njobs:\n  any:\n    runs-on: ubuntu-latest\n"
        f"    env: {{{env}}}\n    steps: [{step}]\n"
    )
    workflow, runs = for_event(parse(text, Path("w.yml")), Event(ref="refs/tags/v1"), "o/r")
    (found,) = publications(workflow, runs)
    return found


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("twine upload dist/*", True),
        ("twine upload --repository pypi dist/*", True),
        ("twine upload --repository-url https://upload.example/legacy/ dist/*", True),
        ("twine upload -r test dist/*", False),
        ("uv publish --publish-url https://test.example/legacy/", False),
        ('uv publish --publish-url "$URL"', None),
    ],
)
def test_index_follows_from_the_options(command: str, default: bool | None) -> None:
    assert publication(f"{{run: '{command}'}}").default_index is default


@pytest.mark.parametrize(
    ("command", "env", "default"),
    [
        ("twine upload dist/*", "TWINE_REPOSITORY_URL: 'https://test.example/legacy/'", False),
        ("twine upload dist/*", "TWINE_REPOSITORY: pypi", True),
        ("twine upload dist/*", "TWINE_REPOSITORY: '${{ vars.INDEX }}'", None),
        ("twine upload -r pypi dist/*", "TWINE_REPOSITORY: testpypi", True),
        ("twine upload -r ${{ github.ref_name }} dist/*", "", False),
        ("pip install --index https://test.example/ twine; twine upload dist/*", "", True),
        ("twine upload -r testpypi dist/*; twine upload dist/*", "", True),
        ("uv publish", "TWINE_REPOSITORY: testpypi", True),
    ],
)
def test_index_of_a_step_follows_from_options_and_variables(
    command: str, env: str, default: bool | None
) -> None:
    step = f"{{run: '{command}'}}"
    text = (
        "on: {push: {tags: [v*]}}\njobs:\n  any:\n    runs-on: ubuntu-latest\n"
        f"    env: {{{env}}}\n    steps: [{step}]\n"
    )
    (job,) = evaluate_jobs(parse(text, Path("w.yml")), Event(ref="refs/tags/v1"))
    (context,) = job.combination_contexts()
    assert uses_default_index(job.running, job.job.steps[0], context) is default


def test_index_of_a_composite_action_is_that_of_its_steps(tmp_path: Path) -> None:
    action = tmp_path / "upload" / "action.yml"
    action.parent.mkdir()
    steps = "{run: twine upload -r test d/*, shell: bash}"
    action.write_text(f"runs: {{using: composite, steps: [{steps}]}}\n")
    path = tmp_path / "w.yml"
    path.write_text("on: push\njobs: {any: {runs-on: x, steps: [{uses: ./upload}]}}\n")
    workflow = with_local_actions(load(path), tmp_path)
    (job,) = evaluate_jobs(workflow, Event(ref="refs/tags/v1"))
    (context,) = job.combination_contexts()
    assert uses_default_index(job.running, job.job.steps[0], context) is False


@pytest.mark.parametrize(
    ("command", "env", "identity"),
    [
        ("uv publish", "", True),
        ("uv publish --token x", "", False),
        ("uv publish", "UV_PUBLISH_TOKEN: x", False),
        ("twine upload dist/*", "", None),
        ("twine upload -u __token__ dist/*", "", False),
        ("twine upload dist/*", "TWINE_PASSWORD: x", False),
        ("TWINE_PASSWORD=x twine upload dist/*", "", False),
    ],
)
def test_identity_is_used_if_there_is_no_token(
    command: str, env: str, identity: bool | None
) -> None:
    assert publication(f"{{run: '{command}'}}", env).by_identity is identity


@pytest.mark.parametrize(
    ("inputs", "identity", "default", "folder"),
    [
        ("", True, True, "dist"),
        ("packages-dir: ./wheels/", True, True, "wheels"),
        ("password: '${{ secrets.TOKEN }}'", False, True, "dist"),
        ("password: ''", True, True, "dist"),
        ("repository-url: 'https://test.example/'", True, False, "dist"),
        ("repository-url: '${{ vars.URL }}'", True, None, "dist"),
        ("packages-dir: '${{ vars.FOLDER }}'", True, True, None),
    ],
)
def test_publish_action_is_read_from_its_inputs(
    inputs: str, identity: bool, default: bool | None, folder: str | None
) -> None:
    found = publication(f"{{uses: pypa/gh-action-pypi-publish@v1, with: {{{inputs}}}}}")

    assert (found.by_identity, found.default_index, found.folder) == (identity, default, folder)
    assert found.attests


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("uv publish", "dist"),
        ("uv publish wheels-*/*", "wheels-*"),
        ("twine upload --verbose out/*.whl", "out"),
        ("twine upload a/* b/*", None),
        ('twine upload "$FOLDER/"*', None),
        ("hatch publish", None),
    ],
)
def test_folder_follows_from_the_names_of_the_files(command: str, folder: str | None) -> None:
    assert publication(f"{{run: '{command}'}}").folder == folder
