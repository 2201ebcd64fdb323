"""Mutants of the real publish.yml: each is caught by name, and the file as it is by none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from verification.models.errors import WrongUse
from verification.models.workflow import Job
from verification.pipeline import policy
from verification.pipeline import validate_script as rehearsal
from verification.pipeline import wheel_transfer as wheels
from verification.pipeline.plan import Plan, PlanError, plan
from verification.pipeline.plan import load as load_plan
from verification.pipeline.validate_script import Ended, Release
from verification.rules.catalogue import catalogue
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).resolve().parents[4]
WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
PROJECT = ROOT / "bindings" / "python" / "pyproject.toml"
SUBJECT = load_subject()

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
PUBLISH = "pypa/gh-action-pypi-publish@cef221092ed1bacb1cc03d23a2d87d1d172e277b # v1.14.0"
PUBLISH_STEPS = next(
    found[0]
    for found in re.finditer(r"      id-token: write.*\n    steps:\n", WORKFLOW.read_text("utf-8"))
)


def repository(tmp_path: Path, workflow: str | None = None, project: str | None = None) -> Path:
    folder = tmp_path / "repository"
    (folder / policy.FOLDER).mkdir(parents=True)
    package = folder / "bindings" / "python"
    package.mkdir(parents=True)
    text = WORKFLOW.read_text("utf-8") if workflow is None else workflow
    (folder / policy.FOLDER / "publish.yml").write_text(text, encoding="utf-8")
    text = PROJECT.read_text("utf-8") if project is None else project
    (package / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def edited(old: str, new: str, count: int = 1, *, of: Path = WORKFLOW) -> str:
    """The real file with one edit; an edit that changes nothing is a mistake of the test."""
    text = of.read_text("utf-8")
    assert old in text, f"the file has no {old!r} any more: mend the mutant"
    mutant = text.replace(old, new, count)
    assert mutant != text
    return mutant


def after(marker: str, old: str, new: str) -> str:
    """The real file with one edit behind a marker, such as the beginning of a job."""
    text = WORKFLOW.read_text("utf-8")
    at = text.index(marker)
    assert old in text[at:], f"there is no {old!r} behind {marker!r} any more: mend the mutant"
    return text[:at] + text[at:].replace(old, new, 1)


def in_job(job: str, old: str, new: str) -> str:
    return after(f"\n  {job}:\n", old, new)


def without_job(job: str) -> str:
    text = WORKFLOW.read_text("utf-8")
    return re.sub(rf"\n  {job}:\n(?:(?:    .*)?\n)*", "\n", text, count=1)


def names(
    tmp_path: Path, workflow: str | None = None, project: str | None = None
) -> frozenset[str]:
    return policy.examine(repository(tmp_path, workflow, project), subject=SUBJECT).names()


@pytest.fixture(autouse=True)
def rehearsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most mutants leave the validate job alone: its script runs once for each release."""

    def once(job: Job, release: Release, project: str, wanted: Plan) -> Ended:
        steps = [
            (step.id, step.run, step.shell, step.env, step.working_directory)
            for step in job.steps
            if step.run
        ]
        key = repr(
            (
                steps,
                job.outputs,
                job.env,
                job.defaults,
                wheels.folder(job),
                release,
                project,
                wanted,
            )
        )
        if key not in _ENDED:
            _ENDED[key] = _REHEARSE(job, release, project, wanted)
        return _ENDED[key]

    monkeypatch.setattr(rehearsal, "rehearse", once)


_ENDED: dict[str, Ended] = {}
_REHEARSE = rehearsal.rehearse


def test_the_pipeline_as_it_is_has_no_fault(tmp_path: Path) -> None:
    examination = policy.examine(repository(tmp_path), subject=SUBJECT)

    assert [str(cause) for cause in examination.causes] == []
    assert len(examination.rehearsal.ended) > 10


# What was done to the file, and the one cause that must name it.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # what starts it
    "a tag filter with a part too many": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*.*"]'),
    ),
    "a tag filter for capitals": ("workflow-not-triggered", lambda: edited('"v*.*.*"', '"V*.*.*"')),
    "a tag filter for finals alone": (
        "workflow-not-triggered",
        lambda: edited('"v*.*.*"', '"v[0-9]+.[0-9]+.[0-9]+"'),
    ),
    "a tag filter that leaves all out again": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*", "!v*"]'),
    ),
    "a branch filter in place of the tags": (
        "workflow-not-triggered",
        lambda: edited("tags:", "branches:"),
    ),
    "any branch as well": (
        "untrusted-trigger",
        lambda: edited('tags: ["v*.*.*"]', 'tags: ["v*.*.*"]\n    branches: ["**"]'),
    ),
    "any tag": ("untrusted-trigger", lambda: edited('"v*.*.*"', '"*"')),
    "every push": (
        "untrusted-trigger",
        lambda: edited('on:\n  push:\n    tags: ["v*.*.*"]', "on: push"),
    ),
    "pull_request_target": (
        "untrusted-trigger",
        lambda: edited("on:\n", "on:\n  pull_request_target:\n"),
    ),
    "by hand": ("untrusted-trigger", lambda: edited("on:\n", "on:\n  workflow_dispatch:\n")),
    "a pattern that is none": ("workflow-invalid", lambda: edited('"v*.*.*"', '"v*+.*"')),
    "a pattern without quotes": ("workflow-invalid", lambda: edited('["v*.*.*"]', "[*.*.*]")),
    "tags and tags-ignore": (
        "workflow-invalid",
        lambda: edited('["v*.*.*"]', '["v*.*.*"]\n    tags-ignore: ["v0*"]'),
    ),
    # which jobs, in which order
    "merge needs nothing": ("job-order", lambda: in_job("merge", "    needs: build\n", "")),
    "validate needs nothing": ("job-order", lambda: in_job("validate", "    needs: merge\n", "")),
    "validate needs build alone": ("job-order", lambda: edited("needs: merge", "needs: build")),
    "release needs nothing": ("job-order", lambda: in_job("release", "    needs: validate\n", "")),
    "publish needs nothing": ("job-order", lambda: in_job("publish", "    needs: validate\n", "")),
    "publish needs merge alone": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: merge"),
    ),
    "release needs publish": (
        "job-order",
        lambda: in_job("release", "needs: validate", "needs: [validate, publish]"),
    ),
    "publish needs release": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: [validate, release]"),
    ),
    "merge before build": (
        "job-order",
        lambda: in_job("build", "    strategy:", "    needs: merge\n    strategy:").replace(
            "    needs: build\n", "", 1
        ),
    ),
    "jobs that wait for one another": (
        "workflow-invalid",
        lambda: in_job("build", "    strategy:", "    needs: merge\n    strategy:"),
    ),
    "a job that needs a stranger": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merges"),
    ),
    "no release job": ("job-missing", lambda: without_job("release")),
    "no publish job": ("job-missing", lambda: without_job("publish")),
    "publish under another name": (
        "job-missing",
        lambda: edited("\n  publish:\n", "\n  upload:\n"),
    ),
    "a misspelt key": ("workflow-invalid", lambda: edited("needs: merge", "need: merge")),
    "a key twice": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merge\n    needs: build"),
    ),
    # what could leave a part out, or go on after a failure
    "publish never": (
        "job-skipped",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    if: false"),
    ),
    "publish on main alone": (
        "job-skipped",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: github.ref == 'refs/heads/main'"
        ),
    ),
    "a validation that is left out": (
        "job-skipped",
        lambda: edited(
            "id: validate", "id: validate\n        if: github.event_name == 'workflow_run'"
        ),
    ),
    "publish whatever happened": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    if: always()"),
    ),
    "publish unless cancelled": (
        "job-order",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: ${{ !cancelled() }}"
        ),
    ),
    "a validation that may fail": (
        "failure-ignored",
        lambda: edited("id: validate", "id: validate\n        continue-on-error: true"),
    ),
    "a job that may fail": (
        "failure-ignored",
        lambda: in_job("validate", "needs: merge", "needs: merge\n    continue-on-error: true"),
    ),
    "files that are there already": (
        "failure-ignored",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          skip-existing: true"),
    ),
    "a later run ends an earlier": (
        "release-interrupted",
        lambda: edited("cancel-in-progress: false", "cancel-in-progress: true"),
    ),
    "one group for all tags": (
        "release-interrupted",
        lambda: edited("publish-${{ github.ref }}", "publish"),
    ),
    "a publish job that a later one ends": (
        "release-interrupted",
        lambda: in_job(
            "publish",
            "needs: validate",
            "needs: validate\n    concurrency:"
            " {group: 'x-${{ github.ref }}', cancel-in-progress: true}",
        ),
    ),
    # permissions
    "no identity token": (
        "permission-missing",
        lambda: edited("permissions:\n      id-token: write", "permissions:\n      id-token: none"),
    ),
    "no permission to make a release": (
        "permission-missing",
        lambda: edited("contents: write", "contents: read"),
    ),
    "the identity token at workflow level": (
        "permissions-widened",
        lambda: edited("\njobs:\n", "\npermissions:\n  id-token: write\njobs:\n"),
    ),
    "the identity token for build": (
        "permissions-widened",
        lambda: in_job("build", "contents: read", "id-token: write\n      contents: read"),
    ),
    "the identity token for release": (
        "permissions-widened",
        lambda: in_job("release", "contents: write", "id-token: write\n      contents: write"),
    ),
    "everything for everybody": (
        "permissions-widened",
        lambda: edited("\njobs:\n", "\npermissions: write-all\njobs:\n"),
    ),
    "everything for merge": (
        "permissions-widened",
        lambda: edited("permissions: {}", "permissions: write-all"),
    ),
    "contents: write for build": (
        "permissions-widened",
        lambda: in_job("build", "contents: read", "contents: write"),
    ),
    "contents: write for publish": (
        "permissions-widened",
        lambda: edited("id-token: write", "contents: write\n      id-token: write"),
    ),
    "what the repository gives": (
        "permissions-widened",
        lambda: edited("    permissions: {}\n", ""),
    ),
    "another job with an identity token": (
        "permissions-widened",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    needs: publish\n    runs-on: ubuntu-latest\n"
        "    permissions: {id-token: write}\n    steps:\n      - run: 'true'\n",
    ),
    # who the index trusts
    "another environment": (
        "publisher-mismatch",
        lambda: edited("environment: pypi", "environment: release"),
    ),
    "another environment, as a table": (
        "publisher-mismatch",
        lambda: edited("environment: pypi", "environment: {name: staging}"),
    ),
    "no environment": (
        "publisher-mismatch",
        lambda: re.sub(r"    environment: pypi.*\n", "", WORKFLOW.read_text("utf-8")),
    ),
    "another index": (
        "publisher-mismatch",
        lambda: edited(
            "packages-dir: dist",
            "packages-dir: dist\n          repository-url: https://index.example/",
        ),
    ),
    # tokens
    "a password": (
        "token-in-workflow",
        lambda: edited(
            "packages-dir: dist",
            "packages-dir: dist\n          password: ${{ secrets.PYPI_API_TOKEN }}",
        ),
    ),
    "a password in plain text": (
        "token-in-workflow",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          password: hunter2"),
    ),
    "a user": (
        "token-in-workflow",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          user: __token__"),
    ),
    "a variable with a token": (
        "token-in-workflow",
        lambda: edited("\njobs:\n", "\nenv:\n  TWINE_PASSWORD: ${{ vars.PASS }}\njobs:\n"),
    ),
    "a stored secret for the release": (
        "token-in-workflow",
        lambda: edited(
            "generate_release_notes: true",
            "generate_release_notes: true\n          token: ${{ secrets['RELEASE_TOKEN'] }}",
        ),
    ),
    "a checkout that keeps the token": (
        "credentials-persisted",
        lambda: in_job("build", "persist-credentials: false", "persist-credentials: true"),
    ),
    "a checkout that says nothing about it": (
        "credentials-persisted",
        lambda: in_job("validate", "persist-credentials: false", "fetch-depth: 1"),
    ),
    # actions
    "another action for publishing": (
        "unknown-action",
        lambda: edited("pypa/gh-action-pypi-publish@", "pypi/gh-action-pypi-publish@"),
    ),
    "another action for checking out": (
        "unknown-action",
        lambda: edited("actions/checkout@", "action/checkout@"),
    ),
    "an action of the repository itself": (
        "unknown-action",
        lambda: edited(PUBLISH, "./.github/actions/publish"),
    ),
    "a checkout beside the identity token": (
        "unknown-action",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - uses: {CHECKOUT}\n"),
    ),
    "another workflow's work": (
        "unknown-action",
        lambda: WORKFLOW.read_text("utf-8").replace(
            "  merge:\n", "  merge:\n    uses: owner/repository/.github/workflows/x.yml@main\n"
        ),
    ),
    "a script beside the build": (
        "unknown-action",
        lambda: in_job("build", "    steps:\n", "    steps:\n      - run: sh configure\n"),
    ),
    "a container for publishing": (
        "unknown-action",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    container: debian"),
    ),
    "a service beside publishing": (
        "unknown-action",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    services: {a: {image: debian}}"
        ),
    ),
    "one more job": (
        "unknown-job",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    runs-on: ubuntu-latest\n    permissions: {}\n"
        "    steps: [{run: 'true'}]\n",
    ),
    "a machine of one's own": (
        "unknown-runner",
        lambda: in_job("publish", "runs-on: ubuntu-latest", "runs-on: [self-hosted, linux]"),
    ),
    "an action by its tag": (
        "unpinned-action",
        lambda: edited(CHECKOUT, "actions/checkout@v7"),
    ),
    "an action by its branch": (
        "unpinned-action",
        lambda: edited(PUBLISH, "pypa/gh-action-pypi-publish@release/v1"),
    ),
    "an action by half a hash": (
        "unpinned-action",
        lambda: edited(CHECKOUT[17:57], CHECKOUT[17:30]),
    ),
    "a hash that is not the version's": (
        "pin-mismatch",
        lambda: edited("cef221092ed1bacb1cc03d23a2d87d1d172e277b", "1" * 40),
    ),
    "a version that is not the hash's": ("pin-mismatch", lambda: edited("# v1.14.0", "# v1.13.0")),
    "a hash without its version": ("pin-mismatch", lambda: edited(" # v1.14.0", "")),
    "no publishing": (
        "step-missing",
        lambda: edited(
            f"uses: {PUBLISH}\n        with:\n          packages-dir: dist", "run: ls dist"
        ),
    ),
    "an install beside the identity token": (
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: pip install --upgrade twine\n"),
    ),
    "a script beside the identity token": (
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: sh dist/run\n"),
    ),
    "an install in another job": (
        "unpinned-install",
        lambda: in_job(
            "release", "    steps:\n", "    steps:\n      - run: pip install packaging\n"
        ),
    ),
    # the source and its wheels
    "another folder": (
        "wrong-source",
        lambda: edited("package-dir: bindings/python", "package-dir: ."),
    ),
    "no folder": ("wrong-source", lambda: edited("          package-dir: bindings/python\n", "")),
    "another commit": (
        "wrong-source",
        lambda: in_job(
            "build", "persist-credentials: false", "persist-credentials: false\n          ref: main"
        ),
    ),
    "the artifacts of another run": (
        "wrong-source",
        lambda: in_job("publish", "name: dist", "name: dist\n          run-id: 1"),
    ),
    "other settings of cibuildwheel": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse",
            "output-dir: wheelhouse\n        env:\n          CIBW_TEST_SKIP: '*'",
        ),
    ),
    "one wheel alone": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse", "output-dir: wheelhouse\n          only: cp313-win_amd64"
        ),
    ),
    "no Windows": (
        "incomplete-release",
        lambda: edited("[ubuntu-latest, windows-latest]", "[ubuntu-latest]"),
    ),
    "Windows left out": (
        "incomplete-release",
        lambda: edited(
            "os: [ubuntu-latest, windows-latest]",
            "os: [ubuntu-latest, windows-latest]\n        exclude: [{os: windows-latest}]",
        ),
    ),
    "a third platform": (
        "incomplete-release",
        lambda: edited("windows-latest]", "windows-latest, macos-latest]"),
    ),
    "the same platform twice": (
        "incomplete-release",
        lambda: edited("windows-latest]", "windows-latest, ubuntu-24.04]"),
    ),
    "one name for all artifacts": (
        "artifact-lost",
        lambda: edited("name: wheel-${{ matrix.os }}", "name: wheel-all"),
    ),
    "a pattern that misses": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheels-*"),
    ),
    "a pattern that misses one": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheel-ubuntu*"),
    ),
    "wheels kept from elsewhere": (
        "artifact-lost",
        lambda: edited("path: wheelhouse/*.whl", "path: dist/*.whl"),
    ),
    "another artifact published": (
        "artifact-lost",
        lambda: in_job("publish", "name: dist", "name: wheel-ubuntu-latest"),
    ),
    "another folder published": (
        "artifact-lost",
        lambda: edited("packages-dir: dist", "packages-dir: wheelhouse"),
    ),
    # what validate decides
    "a version that is not compared": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', "if False:"),
    ),
    "a version compared from its beginning": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', 'if not tag.startswith(f"v{version}"):'),
    ),
    "another project's version": (
        "validation-wrong",
        lambda: edited(
            'open("bindings/python/pyproject.toml", "rb")', 'open("pyproject.toml", "rb")'
        ),
    ),
    "wheels that are counted and not named": (
        "validation-wrong",
        lambda: edited(
            'faults += [f"the wheel {name} is missing" for name in sorted(expected - found)]',
            "faults += [] if len(found) == 2 else ['not two wheels']",
        ).replace(
            'faults += [f"{name} is not part of the release" for name in sorted(found - expected)]',
            "",
        ),
    ),
    "files too many": (
        "validation-wrong",
        lambda: edited("sorted(found - expected)", "[]"),
    ),
    "files too few": ("validation-wrong", lambda: edited("sorted(expected - found)", "[]")),
    "faults that are told and let pass": (
        "validation-wrong",
        lambda: edited("sys.exit(1)", "sys.exit(0)"),
    ),
    "a script that never ends well": (
        "validation-wrong",
        lambda: edited("if faults:", "if not faults:"),
    ),
    "a script that needs what only a run has": (
        "validation-wrong",
        lambda: edited("python3 - <<'EOS'", "echo ${{ github.actor }}; python3 - <<'EOS'"),
    ),
    "a script in a folder that is not there": (
        "validation-wrong",
        lambda: edited("shell: bash", "shell: bash\n        working-directory: src"),
    ),
    "a script in another folder by default": (
        "validation-wrong",
        lambda: edited(
            "\njobs:\n", "\ndefaults:\n  run:\n    working-directory: bindings\njobs:\n"
        ),
    ),
    "a script in a shell that cannot be tried": (
        "validation-wrong",
        lambda: edited("shell: bash", "shell: pwsh"),
    ),
    # the release page
    "no files": (
        "release-missing",
        lambda: re.sub(
            r"          files: \|\n(?:            .*\n)+", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "a pattern for no file": (
        "release-missing",
        lambda: re.sub(
            r"files: \|\n(?:            .*\n)+", "files: dist/*.zip\n", WORKFLOW.read_text("utf-8")
        ),
    ),
    "one wheel forgotten": (
        "release-missing",
        lambda: re.sub(
            r"            dist/quiverdb-.*win_amd64.whl\n", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "an output that validate does not give": (
        "release-missing",
        lambda: edited("version: ${{ steps.validate", "release: ${{ steps.validate"),
    ),
    "no notes": ("release-missing", lambda: edited("          generate_release_notes: true\n", "")),
    "notes switched off": (
        "release-missing",
        lambda: edited("generate_release_notes: true", "generate_release_notes: false"),
    ),
    "a missing wheel that is passed over": (
        "release-missing",
        lambda: edited("          fail_on_unmatched_files: true\n", ""),
    ),
    "a draft": (
        "release-missing",
        lambda: edited(
            "generate_release_notes: true", "generate_release_notes: true\n          draft: true"
        ),
    ),
    "pre-releases as releases": (
        "release-missing",
        lambda: re.sub(r"          prerelease: .*needs.*\n", "", WORKFLOW.read_text("utf-8")),
    ),
    "everything as a pre-release": (
        "release-missing",
        lambda: edited("prerelease: ${{ needs.validate.outputs.prerelease }}", "prerelease: true"),
    ),
    "a release of another tag": (
        "release-missing",
        lambda: edited(
            "generate_release_notes: true",
            "generate_release_notes: true\n          tag_name: latest",
        ),
    ),
    "files that are replaced": (
        "release-replaced",
        lambda: re.sub(r"          overwrite_files: .*\n", "", WORKFLOW.read_text("utf-8")),
    ),
}


# Where one edit breaks a second thing, that is told as well.
ALSO = {
    "a branch filter in place of the tags": {"untrusted-trigger"},
    "publish under another name": {"permissions-widened", "unknown-job"},
    "another job with an identity token": {"unpinned-install", "unknown-job"},
    "another action for publishing": {"step-missing"},
    "an action of the repository itself": {"step-missing"},
    "a checkout beside the identity token": {"credentials-persisted"},
    "no publishing": {"unpinned-install", "unknown-action"},
    "an install beside the identity token": {"unknown-action"},
    "a script beside the identity token": {"unknown-action"},
    "an install in another job": {"unknown-action"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]

    assert names(tmp_path, mutate()) == {cause} | ALSO.get(title, set())


def test_an_install_is_a_lesser_fault_where_there_is_no_identity_token(tmp_path: Path) -> None:
    severities = {}
    for title in ("an install beside the identity token", "an install in another job"):
        folder = repository(tmp_path / title.replace(" ", "-"), MUTANTS[title][1]())
        causes = policy.examine(folder, subject=SUBJECT).causes
        severities[title] = {c.name: c.severity for c in causes}["unpinned-install"]

    assert list(severities.values()) == ["broken", "flawed"]


def test_a_renamed_workflow_is_not_the_one_that_is_registered(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    (folder / policy.FOLDER / "publish.yml").rename(folder / policy.FOLDER / "release.yml")

    (cause,) = policy.examine(folder, subject=SUBJECT).causes

    assert cause.name == "publisher-mismatch"
    assert "release.yml" in cause.message


def test_a_workflow_that_is_not_yaml_is_told_in_one_line_with_its_place(tmp_path: Path) -> None:
    folder = repository(tmp_path, edited('["v*.*.*"]', "[*.*.*]"))

    (cause,) = policy.examine(folder, subject=SUBJECT).causes

    assert cause.where == f"publish.yml:{_line_of('tags:')}"
    assert "quote" in cause.message
    assert str(tmp_path) not in str(cause)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"cp313-win_amd64", ', "", "incomplete-release"),
        ("cp313-win_amd64", "cp314-win_amd64", "incomplete-release"),
        ("cp313-manylinux_x86_64", "cp313-*linux_x86_64", "incomplete-release"),
        ('"cp313-win_amd64"', '"cp313-win_amd64", "cp312-win_amd64"', "incomplete-release"),
        ('test-command = "pytest {package}/tests"\n', "", "wheel-untested"),
        ('test-command = "', 'test-skip = "*"\ntest-command = "', "wheel-untested"),
    ],
)
def test_settings_that_build_something_else_are_caught(
    old: str, new: str, cause: str, tmp_path: Path
) -> None:
    assert names(tmp_path, project=edited(old, new, of=PROJECT)) == {cause}


def test_another_version_in_the_project_needs_its_own_tag(tmp_path: Path) -> None:
    old = re.search(r'^version = ".*"$', PROJECT.read_text("utf-8"), re.MULTILINE)
    assert old is not None

    assert (
        names(tmp_path / "a", project=edited(old[0], 'version = "1.0.0rc2"', of=PROJECT)) == set()
    )
    assert names(tmp_path / "b", project=edited(old[0], 'version = "1.0"', of=PROJECT)) == {
        "workflow-not-triggered",
        "validation-wrong",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environment: pypi", "environment: {name: PyPI, url: 'https://example.org'}"),
        ("on:\n  push:", '"on":\n  push:'),
        ("\njobs:\n", "\npermissions: {}\njobs:\n"),
        ("needs: validate", "needs: [validate]\n    if: startsWith(github.ref, 'refs/tags/')"),
        ("package-dir: bindings/python", "package-dir: ./bindings/python/"),
        ("cancel-in-progress: false", "cancel-in-progress: False"),
        ("[ubuntu-latest, windows-latest]", "[windows-2025, ubuntu-24.04]"),
        ("shell: bash", "env: {TAG: '${{ github.ref_name }}'}\n        shell: bash"),
    ],
)
def test_what_is_written_otherwise_and_means_the_same_is_no_fault(
    old: str, new: str, tmp_path: Path
) -> None:
    assert names(tmp_path, edited(old, new)) == set()


def test_the_files_of_the_release_may_be_named_by_a_pattern(tmp_path: Path) -> None:
    text = WORKFLOW.read_text("utf-8")
    text = re.sub(r"files: \|\n(?:            .*\n)+", "files: dist/*.whl\n", text)

    assert names(tmp_path, text) == set()


def test_a_folder_without_the_package_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"bindings/python/pyproject\.toml: cannot be read"):
        policy.examine(tmp_path, subject=SUBJECT)


def test_a_project_without_a_version_is_wrong_use(tmp_path: Path) -> None:
    folder = repository(tmp_path, project="[project]\nname = 'quiverdb'\n")

    with pytest.raises(WrongUse, match="no `version`"):
        policy.examine(folder, subject=SUBJECT)


def test_every_cause_that_can_be_told_is_in_the_table() -> None:
    told = {cause for cause, _ in MUTANTS.values()} | {"wheel-untested"}
    modules = set(Path(policy.__file__).parent.glob("*.py"))
    # What these tell is seen only when the workflow runs: test_pipeline_execution.py.
    modules -= {path for path in modules if path.stem in ("execution", "result")}
    source = "".join(path.read_text("utf-8") for path in modules)

    assert {name for name in catalogue() if f'"{name}"' in source} == told


def test_every_action_of_the_plan_has_a_pin_that_is_a_commit() -> None:
    for job in plan().jobs.values():
        for action in job.all_actions:
            pin = plan().pin(action)
            assert pin is not None, action
            assert re.fullmatch(r"[0-9a-f]{40}", pin.commit)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", pin.version)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workflow = ", "is not TOML"),
        ("flow = 'publish.yml'", r"unknown keys \['flow'\]"),
        ("workflow = 'publish.yml'", "lacks the keys"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(PlanError, match=told):
        load_plan(path)


def _line_of(text: str) -> int:
    lines = WORKFLOW.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
