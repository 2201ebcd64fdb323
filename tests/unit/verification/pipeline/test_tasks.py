"""Tests of `verification.pipeline.tasks`: what a job does."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Task, WorkflowJob
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load, parse
from verification.pipeline.shell import commands
from verification.pipeline.tasks import jobs_with, release_workflows, tasks_of


def job(*steps: str, needs: str = "") -> WorkflowJob:
    """Return a job with these steps, each the text of one step in YAML without its indent."""
    lines = ["on: push", "jobs:", "  first:", "    runs-on: x", "    steps: [{run: 'true'}]"]
    lines += ["  second:", "    runs-on: x", *([f"    needs: {needs}"] if needs else [])]
    lines += ["    steps:"]
    for step in steps:
        first, *rest = step.splitlines()
        lines += [f"      - {first}", *(f"        {line}" for line in rest)]
    return parse("\n".join(lines), Path("w.yml")).jobs["second"]


def script(*lines: str) -> WorkflowJob:
    return job("run: |\n" + "\n".join(f"  {line}" for line in lines))


@pytest.mark.parametrize(
    ("command", "task"),
    [
        ("python -m build", "build"),
        ("python3.12 -I -m build --sdist", "build"),
        ("PIP_NO_INDEX=1 python -W error -m build --wheel .", "build"),
        ("pipx run build --sdist", "build"),
        ("pipx run --spec 'cibuildwheel==3.0' cibuildwheel --output-dir w", "build"),
        ("uvx --from build pyproject-build --installer uv", "build"),
        ("uvx build@1.2", "build"),
        ("uv tool run cibuildwheel", "build"),
        ("uv run --with build python -m build", "build"),
        ("uv --quiet build", "build"),
        ("uv --directory sub build", "build"),
        ("pip wheel . -w dist --no-deps", "build"),
        ("python -m pip wheel .", "build"),
        ("sudo -E pip3 wheel .", "build"),
        ("hatch build -t wheel", "build"),
        ("hatch -v build", "build"),
        ("poetry build", "build"),
        ("flit build", "build"),
        ("pdm build", "build"),
        ("maturin build --release", "build"),
        ("python setup.py sdist bdist_wheel", "build"),
        ("python ./setup.py -q bdist_wheel", "build"),
        ("cibuildwheel", "build"),
        ("cd sub && if ! python -m build; then exit 1; fi", "build"),
        ("bash -c 'python -m build'", "build"),
        ("python -m \\\n  build", "build"),
        ("twine upload --repository x dist/*", "publish"),
        ("twine --no-color upload dist/*", "publish"),
        ("python -m twine upload dist/*", "publish"),
        ("pipx run twine upload dist/*", "publish"),
        ("uv publish", "publish"),
        ("hatch publish", "publish"),
        ("poetry publish --build", "publish"),
        ("flit publish", "publish"),
        ("pdm publish --no-build", "publish"),
        ("maturin upload dist/*", "publish"),
        ("maturin publish", "publish"),
        ('gh release create "$TAG" dist/*', "create-release"),
        ("gh --repo a/b release create v1", "create-release"),
        ("gh release -R a/b upload v1 x.whl", "create-release"),
        ('url=$(gh release create "$TAG")', "create-release"),
        ("gh release edit v1 --draft=false", "create-release"),
        ("gh workflow run publish-python.yml -f ref=v1", "dispatch"),
        ("gh api repos/o/r/dispatches -f event_type=x", "dispatch"),
        ("gh api -X POST /repos/o/r/actions/workflows/x.yml/dispatches", "dispatch"),
    ],
)
def test_command_has_its_task(command: str, task: Task) -> None:
    assert tasks_of(script("echo start", *command.splitlines(), "echo end")) == {task}


@pytest.mark.parametrize(
    "command",
    [
        "# python -m build",
        "true # twine upload dist/*",
        "echo twine upload dist/*",
        'echo "run; twine upload dist/*"',
        "printf 'uv publish'",
        "cat > notes <<EOF\ntwine upload dist/*\nEOF\nls",
        "twine check dist/*",
        "pip install build twine",
        "pip install wheel",
        "uv pip install build",
        "uv sync --group build",
        "gh release view v1",
        "gh api repos/o/r/releases",
        "twine --version",
        "poetry version",
        "npm run build",
        "cargo build",
        "docker build .",
    ],
)
def test_other_command_has_no_task(command: str) -> None:
    assert not tasks_of(script(*command.splitlines()))


@pytest.mark.parametrize(
    ("step", "tasks"),
    [
        ("uses: pypa/cibuildwheel@v3", {"build"}),
        ("uses: PyO3/maturin-action@v1", {"build"}),
        ("uses: PyO3/maturin-action@v1\nwith:\n  command: upload", {"publish"}),
        ("uses: hynek/build-and-inspect-python-package@v2", {"build"}),
        ("uses: actions/upload-artifact/merge@v4", {"merge"}),
        ("uses: softprops/action-gh-release@v2", {"create-release"}),
        ("uses: ncipollo/release-action@v1", {"create-release"}),
        ("uses: actions/create-release@v1", {"create-release"}),
        ("uses: svenstaro/upload-release-action@v2", {"create-release"}),
        ("uses: pypa/gh-action-pypi-publish@release/v1", {"publish", "attest"}),
        ("uses: actions/attest-build-provenance@v3", {"attest"}),
        ("uses: sigstore/gh-action-sigstore-python@v3", {"attest"}),
        ("uses: actions/checkout@v5", set()),
    ],
)
def test_action_has_its_tasks(step: str, tasks: set[Task]) -> None:
    assert tasks_of(job(step)) == tasks


def test_download_of_several_artifacts_merges_in_a_later_job() -> None:
    download = "uses: actions/download-artifact@v5\nwith:\n  pattern: wheels-*"
    upload = "uses: actions/upload-artifact@v5"
    assert tasks_of(job(download, upload, needs="first")) == {"merge"}
    assert not tasks_of(job(download, upload))
    one = "uses: actions/download-artifact@v5\nwith:\n  name: x"
    assert not tasks_of(job(one, upload, needs="first"))


def test_job_that_tests_or_builds_with_downloads_does_not_merge() -> None:
    download = "uses: actions/download-artifact@v5\nwith:\n  pattern: wheels-*"
    assert not tasks_of(job(download, "run: pytest", needs="first"))
    upload, build = "uses: actions/upload-artifact@v5", "run: python -m build"
    assert tasks_of(job(download, build, upload, needs="first")) == {"build"}


@pytest.mark.parametrize(
    "lines",
    [
        ('test "${GITHUB_REF_NAME#v}" = "$(python setup.py --version)"',),
        (
            "version=$(python -c 'import x; print(x.__version__)')",
            'if [[ "$GITHUB_REF" != "refs/tags/v$version" ]]; then',
            "  exit 1",
            "fi",
        ),
        ("tag=${{ github.event.release.tag_name }}", '[ "$(hatch version)" = "$tag" ]'),
        (
            "python - <<'EOS'",
            "import os, sys, tomllib",
            'version = tomllib.load(open("pyproject.toml", "rb"))["project"]["version"]',
            'if os.environ["GITHUB_REF_NAME"] != version: sys.exit(1)',
            "EOS",
        ),
        ('python tools/check_version.py "$GITHUB_REF_NAME"',),
        ('grep -q "${{ inputs.version }}" pyproject.toml',),
    ],
)
def test_script_checks_the_version(lines: tuple[str, ...]) -> None:
    assert tasks_of(script(*lines)) == {"check-version"}


@pytest.mark.parametrize(
    "lines",
    [
        ("echo $GITHUB_REF_NAME pyproject.toml",),
        ("# compare GITHUB_REF_NAME with pyproject.toml, else exit 1", "ls"),
        ('[[ "$GITHUB_REF_NAME" =~ ^v[0-9] ]] || exit 1',),
        ("test -f pyproject.toml",),
    ],
)
def test_other_script_does_not_check_the_version(lines: tuple[str, ...]) -> None:
    assert not tasks_of(script(*lines))


def test_tag_in_a_variable_of_the_step() -> None:
    step = (
        "env:\n  TAG: ${{ github.ref_name }}\n"
        'run: |\n  [ "$TAG" = "v$(poetry version -s)" ] || exit 1'
    )
    assert tasks_of(job(step)) == {"check-version"}


def test_script_in_python_has_no_commands() -> None:
    assert not list(commands("build\ntwine upload dist/*", "python"))


def _repository(folder: Path, **files: str) -> Path:
    workflows = folder / ".github" / "workflows"
    workflows.mkdir(parents=True)
    for name, text in files.items():
        (workflows / f"{name}.yml").write_text(text, encoding="utf-8")
    return workflows


_PUBLISH = "jobs:\n  any:\n    runs-on: x\n    steps: [{run: twine upload dist/*}]\n"
_CALL = "jobs:\n  call:\n    uses: ./.github/workflows/called.yml\n"


def test_release_workflows_can_publish_and_can_be_started(tmp_path: Path) -> None:
    folder = _repository(
        tmp_path,
        release=f"on: release\n{_PUBLISH}",
        called=f"on: workflow_call\n{_PUBLISH}",
        caller=f"on: {{push: {{tags: [v*]}}}}\n{_CALL}",
        tests="on: push\njobs:\n  any:\n    runs-on: x\n    steps: [{run: pytest}]\n",
        broken="on: [",
    )
    assert release_workflows(folder) == ("caller.yml", "release.yml")


def test_jobs_of_a_called_workflow_count(tmp_path: Path) -> None:
    folder = _repository(
        tmp_path, main=f"on: push\n{_CALL}", called=f"on: workflow_call\n{_PUBLISH}"
    )
    workflow = with_called_workflows(load(folder / "main.yml"), tmp_path)
    assert [running.job.id for running in jobs_with(workflow, "publish")] == ["any"]
    assert not jobs_with(workflow, "build")
