from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from verification.models.workflow_call import load_with_called, with_local_actions
from verification.models.workflow_file import load, parse
from verification.pipeline.upload_secrets import UploadSecrets, upload_secrets


def secrets(step: str, env: str = "") -> tuple[set[str], set[str]]:
    """Return the tokens and the user names of a workflow with one step."""
    text = (
        "on: {push: {tags: [v*]}}\njobs:\n  any:\n    runs-on: ubuntu-latest\n"
        f"    env: {{{env}}}\n    steps: [{step}]\n"
    )
    result = upload_secrets([parse(text, Path("w.yml"))])
    return set(result.tokens), set(result.users)


TWINE = "run: twine upload dist/*"
ACTION = "uses: pypa/gh-action-pypi-publish@v1"


@pytest.mark.parametrize(
    ("step", "env"),
    [
        (TWINE, "TWINE_PASSWORD: '${{ secrets.UPLOAD }}'"),
        (TWINE, "TWINE_PASSWORD: \"${{ secrets['Upload'] }}\""),
        (f"{TWINE}, env: {{TWINE_PASSWORD: '${{{{ env.A }}}}'}}", "A: '${{ secrets.UPLOAD }}'"),
        ("run: 'twine upload -p ${{ secrets.UPLOAD }} dist/*'", ""),
        ("run: 'twine upload -u __token__ -p \"$TOKEN\" x'", "TOKEN: '${{ secrets.UPLOAD }}'"),
        ("run: 'TWINE_PASSWORD=${{ secrets.UPLOAD }} twine upload x'", ""),
        ("run: 'export TWINE_PASSWORD=$TOKEN; twine upload x'", "TOKEN: '${{ secrets.UPLOAD }}'"),
        ("run: uv publish", "UV_PUBLISH_TOKEN: '${{ secrets.UPLOAD }}'"),
        ("run: 'uv publish --token ${{ secrets.UPLOAD }}'", ""),
        ("run: poetry publish --build", "POETRY_PYPI_TOKEN_PYPI: '${{ secrets.UPLOAD }}'"),
        (
            "run: 'poetry config pypi-token.pypi ${{ secrets.UPLOAD }}; poetry publish'",
            "",
        ),
        ("run: flit publish", "FLIT_PASSWORD: '${{ secrets.UPLOAD }}'"),
        ("run: hatch publish", "HATCH_INDEX_AUTH: '${{ secrets.UPLOAD }}'"),
        (f"{ACTION}, with: {{password: '${{{{ secrets.UPLOAD }}}}'}}", ""),
        (f"{ACTION}, with: {{Password: '${{{{ inputs.a && secrets.UPLOAD || '''' }}}}'}}", ""),
        (
            "uses: PyO3/maturin-action@v1, with: {command: upload}",
            "MATURIN_PYPI_TOKEN: '${{ secrets.UPLOAD }}'",
        ),
        ("uses: casperdcl/deploy-pypi@v2, with: {password: '${{ secrets.UPLOAD }}'}", ""),
    ],
)
def test_token_of_a_publishing_step(step: str, env: str) -> None:
    assert secrets(f"{{{step}}}", env) == ({"UPLOAD"}, set())


@pytest.mark.parametrize(
    ("step", "env"),
    [
        (TWINE, "TWINE_TOKEN: '${{ secrets.UPLOAD }}'"),
        (TWINE, "UV_PUBLISH_TOKEN: '${{ secrets.UPLOAD }}'"),
        ("run: uv publish", "TWINE_PASSWORD: '${{ secrets.UPLOAD }}'"),
        ("run: make", "TWINE_PASSWORD: '${{ secrets.UPLOAD }}'"),
        (TWINE, "TWINE_PASSWORD: secrets.UPLOAD"),
        (TWINE, "TWINE_PASSWORD: '${{ secrets.GITHUB_TOKEN }}'"),
        (TWINE, "TWINE_PASSWORD: $TWINE_PASSWORD"),
        (f"{ACTION}, with: {{repository-url: '${{{{ secrets.UPLOAD }}}}'}}", ""),
    ],
)
def test_secret_that_is_no_token_of_the_step(step: str, env: str) -> None:
    assert secrets(f"{{{step}}}", env) == (set(), set())


def test_user_name_of_a_publishing_step() -> None:
    env = "TWINE_USERNAME: '${{ secrets.NAME }}', TWINE_PASSWORD: '${{ secrets.UPLOAD }}'"
    assert secrets(f"{{{TWINE}}}", env) == ({"UPLOAD"}, {"NAME"})
    assert secrets(f"{{{ACTION}, with: {{user: '${{{{ secrets.NAME }}}}'}}}}") == (set(), {"NAME"})


@pytest.mark.parametrize(
    ("passed", "tokens"),
    [
        ("inherit", {"INNER"}),
        ("{inner: '${{ secrets.OUTER }}'}", {"OUTER"}),
        ("{other: '${{ secrets.OUTER }}'}", set()),
    ],
)
def test_called_workflow_gets_the_secrets_of_the_call(
    tmp_path: Path, passed: str, tokens: set[str]
) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "start.yml").write_text(
        f"on: push\njobs: {{upload: {{uses: ./.github/workflows/called.yml, secrets: {passed}}}}}\n"
    )
    (folder / "called.yml").write_text(
        textwrap.dedent("""
        on: {workflow_call: {secrets: {inner: , other: }}}
        jobs:
          upload:
            runs-on: ubuntu-latest
            steps: [{run: twine upload x, env: {TWINE_PASSWORD: "${{ secrets.inner }}"}}]
        """)
    )
    workflow = load_with_called(folder / "start.yml", tmp_path)
    assert upload_secrets([workflow]).tokens == tokens


def test_composite_action_gets_the_secret_as_input(tmp_path: Path) -> None:
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "action.yml").write_text(
        textwrap.dedent("""
        inputs: {token: {required: true}}
        runs:
          using: composite
          steps:
            - run: twine upload dist/*
              shell: bash
              env: {TWINE_PASSWORD: "${{ inputs.token }}"}
        """)
    )
    path = tmp_path / "w.yml"
    step = "{uses: ./upload, with: {token: '${{ secrets.UPLOAD }}'}}"
    path.write_text(f"on: push\njobs: {{any: {{runs-on: x, steps: [{step}]}}}}\n")
    workflow = with_local_actions(load(path), tmp_path)
    assert upload_secrets([workflow]) == UploadSecrets(frozenset({"UPLOAD"}), frozenset())
