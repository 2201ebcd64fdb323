"""Tests of the linters: each planted fault is reported by rule, and a healthy workflow is not."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.release_workflow import (
    CHECKOUT,
    PUBLISH,
    WORKFLOW,
    calling,
    edited,
    in_job,
    repository,
)
from verification.models.cause import Cause, Severity
from verification.pipeline.repository_files import WORKFLOW_FOLDER
from verification.session import workflow_linters
from verification.session.workflow_linters import lint, used_files

TAG = "          tag = os.environ"
VERSIONS = {"zizmor": "1.32.0", "actionlint": "1.17.0"}

# The change of publish.yml, and the rules of the linters that report it.
MUTANTS: dict[str, tuple[set[str], Callable[[], str]]] = {
    "an action with a tag": ({"unpinned-uses"}, lambda: edited(CHECKOUT, "actions/checkout@v7")),
    "an action with a branch": (
        {"unpinned-uses"},
        lambda: edited(PUBLISH, "pypa/gh-action-pypi-publish@release/v1"),
    ),
    "an action with a short hash": (
        {"unpinned-uses"},
        lambda: edited(CHECKOUT[17:57], CHECKOUT[17:30]),
    ),
    "a checkout that stores the token by default": (
        {"artipacked"},
        lambda: in_job("validate", "persist-credentials: false", "fetch-depth: 1"),
    ),
    "the identity token at workflow level": (
        {"excessive-permissions"},
        lambda: for_merge("permissions: {id-token: write}"),
    ),
    "all permissions for all jobs": (
        {"excessive-permissions"},
        lambda: for_merge("permissions: write-all"),
    ),
    "all permissions for merge": (
        {"excessive-permissions"},
        lambda: edited("permissions: {}", "permissions: write-all"),
    ),
    "the default permissions of the repository": (
        {"excessive-permissions"},
        lambda: for_merge(""),
    ),
    "a self-hosted runner": (
        {"self-hosted-runner"},
        lambda: in_job("publish", "runs-on: ubuntu-latest", "runs-on: [self-hosted, linux]"),
    ),
    "a runner that GitHub does not have": (
        {"runner-label"},
        lambda: in_job("publish", "runs-on: ubuntu-latest", "runs-on: ubuntu-newest"),
    ),
    "the title of an issue in a script": (
        {"template-injection", "expression"},
        lambda: edited(TAG, f"          # ${{{{ github.event.issue.title }}}}\n{TAG}"),
    ),
    "a dangerous trigger": (
        {"dangerous-triggers"},
        lambda: edited("on:\n  push:", "on:\n  pull_request_target:\n  push:"),
    ),
    "an unknown input of an action with a tag": (
        {"unpinned-uses", "action"},
        lambda: edited(f"{PUBLISH}\n        with:\n          packages-dir",
                       "pypa/gh-action-pypi-publish@release/v1\n        with:\n          dir"),
    ),
    "a key that GitHub does not know": (
        {"syntax-check"},
        lambda: in_job("publish", "timeout-minutes: 10", "timeout-seconds: 600"),
    ),
    "a job that does not exist": (
        {"job-needs", "expression"},
        lambda: in_job("release", "needs: validate", "needs: validation"),
    ),
    "an image by a tag that can change": (
        {"unpinned-images"},
        lambda: in_job("publish", "needs: validate", "needs: validate\n    container: debian"),
    ),
}  # fmt: skip


def for_merge(permissions: str) -> str:
    """Return publish.yml with permissions of the workflow, which the job merge inherits."""
    marked = (
        "name: Publish # zizmor: ignore[excessive-permissions] each job has its own permissions"
    )
    text = edited("    permissions: {}\n", "")
    assert marked in text
    return text.replace(marked, f"name: Publish\n{permissions}")


def found(causes: tuple[Cause, ...]) -> set[str]:
    """Return the rules of causes that are findings."""
    assert all(cause.name != "linter-unavailable" for cause in causes), causes
    return {str(cause.facts["rule"]) for cause in causes}


def test_real_workflow_has_no_finding_and_two_ignored_ones(tmp_path: Path) -> None:
    causes, linters = lint(repository(tmp_path), "publish.yml")

    assert causes == ()
    assert {linter.name: linter.version for linter in linters} == VERSIONS
    assert [linter.files for linter in linters] == [("publish.yml",)] * 2
    assert [linter.ignored for linter in linters] == [1, None]


@pytest.mark.parametrize("title", MUTANTS)
def test_planted_fault_is_found_by_its_rule(title: str, tmp_path: Path) -> None:
    rules, mutate = MUTANTS[title]

    causes, _ = lint(repository(tmp_path, mutate()), "publish.yml")

    assert found(causes) == rules
    for cause in causes:
        assert cause.severity in (Severity.FLAWED, Severity.NOTE)
        linter = cause.name.removesuffix("-finding")
        assert cause.facts["version"] == VERSIONS[linter]
        lines = cause.facts["lines"]
        assert isinstance(lines, tuple)
        assert cause.where == f"publish.yml:{lines[0]}"


def test_location_is_the_line_of_the_fault(tmp_path: Path) -> None:
    text = edited(PUBLISH, "pypa/gh-action-pypi-publish@release/v1")
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "release/v1" in row)

    (cause,) = lint(repository(tmp_path, text), "publish.yml").causes

    assert (cause.name, cause.where) == ("zizmor-finding", f"publish.yml:{line}")
    assert (cause.facts["severity"], cause.facts["confidence"]) == ("high", "high")
    assert str(cause.facts["url"]).endswith("#unpinned-uses")


@pytest.mark.parametrize(
    ("title", "severity"),
    [
        ("an action with a tag", Severity.FLAWED),  # high, high
        ("the default permissions of the repository", Severity.FLAWED),  # medium, medium
        ("a checkout that stores the token by default", Severity.NOTE),  # confidence low
        ("a runner that GitHub does not have", Severity.FLAWED),  # actionlint has no severity
    ],
)
def test_severity_follows_the_severity_and_confidence_of_the_linter(
    title: str, severity: Severity, tmp_path: Path
) -> None:
    causes, _ = lint(repository(tmp_path, MUTANTS[title][1]()), "publish.yml")

    assert {cause.severity for cause in causes} == {severity}


def test_equal_findings_of_a_file_are_one_cause(tmp_path: Path) -> None:
    steps = "      - uses: a/b@v1\n" * 40
    text = in_job("merge", "    steps:\n", f"    steps:\n{steps}")

    (cause,) = lint(repository(tmp_path, text), "publish.yml").causes

    assert cause.facts["rule"] == "unpinned-uses"
    lines = cause.facts["lines"]
    assert isinstance(lines, tuple)
    assert len(lines) == 40
    assert len(cause.message) < 200


# ---- what the repository ignores ----


def test_findings_that_a_comment_ignores_are_counted(tmp_path: Path) -> None:
    text = edited(CHECKOUT, "actions/checkout@v7 # zizmor: ignore[unpinned-uses]")

    causes, (zizmor, _) = lint(repository(tmp_path, text), "publish.yml")

    assert (causes, zizmor.ignored) == ((), 2)


def test_configuration_of_the_repository_counts(tmp_path: Path) -> None:
    text = in_job("publish", "runs-on: ubuntu-latest", "runs-on: special")
    root = repository(tmp_path, text.replace(CHECKOUT, "actions/checkout@v7"))
    rules = found(lint(root, "publish.yml").causes)
    ignore = "rules: {unpinned-uses: {ignore: [publish.yml]}}"
    (root / ".github" / "zizmor.yml").write_text(ignore, "utf-8")
    labels = "self-hosted-runner: {labels: [special]}"
    (root / ".github" / "actionlint.yaml").write_text(labels, "utf-8")

    causes, (zizmor, _) = lint(root, "publish.yml")

    assert rules == {"unpinned-uses", "runner-label"}
    assert (causes, zizmor.ignored) == ((), 3)


def test_configuration_outside_the_checkout_does_not_count(tmp_path: Path) -> None:
    root = repository(tmp_path, edited(CHECKOUT, "actions/checkout@v7"))
    (tmp_path / ".github").mkdir()
    ignore = "rules: {unpinned-uses: {disable: true}}"
    for path in (tmp_path / "zizmor.yml", tmp_path / ".github" / "zizmor.yml"):
        path.write_text(ignore, "utf-8")

    assert found(lint(root, "publish.yml").causes) == {"unpinned-uses"}


# ---- the files of a release ----


ACTION = (
    "name: a\ndescription: a\nruns:\n  using: composite\n  steps:\n"
    "    - {{uses: {uses}}}\n"
    "    - {{run: 'echo ${{{{ github.event.issue.title }}}}', shell: bash}}\n"
)


def test_called_workflows_and_local_actions_are_linted(tmp_path: Path) -> None:
    root = repository(tmp_path)
    for name, text in calling().items():
        steps = "    steps:\n      - uses: ./actions/first\n"
        (root / WORKFLOW_FOLDER / name).write_text(text.replace("    steps:\n", steps), "utf-8")
    for name, uses in (("first", "'./actions/second'"), ("second", "actions/checkout@v7")):
        (root / "actions" / name).mkdir(parents=True)
        (root / "actions" / name / "action.yml").write_text(ACTION.format(uses=uses), "utf-8")
    other = root / WORKFLOW_FOLDER / "other.yml"
    other.write_text("on: push\njobs: {a: {runs-on: x, steps: [{uses: a/b@v1}]}}", "utf-8")

    causes, (zizmor, actionlint) = lint(root, "publish.yml")

    workflows = {"publish.yml", "upload.yml"}
    actions = {"actions/first/action.yml", "actions/second/action.yml"}
    assert (set(zizmor.files), set(actionlint.files)) == (workflows | actions, workflows)
    places = {(cause.facts["rule"], cause.where.partition(":")[0]) for cause in causes}
    assert places >= {("template-injection", name) for name in actions}
    assert ("unpinned-uses", "actions/second/action.yml") in places
    assert "other.yml" not in {where for _, where in places}


@pytest.mark.parametrize("use", ["./../outside", "./absent", "./.github/workflows/publish.yml"])
def test_only_existing_files_of_the_checkout_are_linted(use: str, tmp_path: Path) -> None:
    root = repository(tmp_path, f"on: push\njobs: {{a: {{uses: {use}}}}}\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "action.yml").write_text(ACTION.format(uses="a/b@v1"), "utf-8")

    assert used_files(root, "publish.yml") == ((WORKFLOW_FOLDER / "publish.yml",), ())


@pytest.mark.parametrize(
    "use", ["a\x00b", "a" * 5000, "/".join("a" * 3000), "loop/x", "../" * 50 + "etc", "\ud800", "*"]
)
def test_use_that_names_no_file_is_left_out(use: str, tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / "loop").symlink_to("loop")
    text = f"jobs: {{a: {{steps: [{{uses: ./{use}}}]}}}}"
    path = root / WORKFLOW_FOLDER / "publish.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert used_files(root, "publish.yml") == ((WORKFLOW_FOLDER / "publish.yml",), ())


# ---- what a linter cannot check ----


HOSTILE: dict[str, bytes] = {
    "not YAML": b"on: [push\njobs",
    "binary": bytes(range(256)) * 4,
    "empty": b"",
    "a list": b"- a\n- b\n",
    "many aliases": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122)),
    "no newline in 1 MB": b"on: push\n#" + b"x" * (1 << 20),
}


@pytest.mark.parametrize("title", HOSTILE)
def test_file_that_a_linter_cannot_read_is_a_note(title: str, tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / WORKFLOW_FOLDER / "publish.yml").write_bytes(HOSTILE[title])

    causes, (zizmor, _) = lint(root, "publish.yml")

    assert zizmor.files == ()
    unread = [cause for cause in causes if cause.name == "linter-unavailable"]
    assert unread
    assert {cause.severity for cause in unread} == {Severity.NOTE}
    assert {cause.where for cause in unread} == {"publish.yml"}
    assert all(str(root) not in str(cause) for cause in causes)


def test_unreadable_file_does_not_hide_findings_of_others(tmp_path: Path) -> None:
    root = repository(tmp_path, edited(CHECKOUT, "./broken"))
    (root / "broken").mkdir()
    (root / "broken" / "action.yml").write_text("runs: [", "utf-8")
    (root / WORKFLOW_FOLDER / "publish.yml").write_text(
        edited(CHECKOUT, "./broken").replace(PUBLISH, "pypa/gh-action-pypi-publish@v1"), "utf-8"
    )

    causes, (zizmor, _) = lint(root, "publish.yml")

    assert zizmor.files == ("publish.yml",)
    assert {cause.facts.get("rule") for cause in causes} >= {None, "unpinned-uses"}
    unread = {cause.where for cause in causes if cause.name == "linter-unavailable"}
    assert unread == {"broken/action.yml"}


def test_invalid_configuration_is_a_note(tmp_path: Path) -> None:
    root = repository(tmp_path)
    for name in ("zizmor.yml", "actionlint.yaml"):
        (root / ".github" / name).write_text("x: [", "utf-8")

    causes, linters = lint(root, "publish.yml")

    assert {cause.name for cause in causes} == {"linter-unavailable"}
    assert {cause.facts["linter"] for cause in causes} == set(VERSIONS)
    assert all(linter.files == () for linter in linters)
    assert all(str(root) not in cause.message for cause in causes)


def test_other_version_than_the_locked_one_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "suite.txt"
    lock.write_text(
        "".join(f"{name}==0.0.1 --hash=sha256:{'0' * 64}\n" for name in ("zizmor", "other")),
        "utf-8",
    )
    monkeypatch.setattr(workflow_linters, "_LOCK", lock)

    causes, linters = lint(repository(tmp_path), "publish.yml")

    assert [(cause.name, cause.where) for cause in causes] == [
        ("linter-unavailable", "zizmor"),
        ("linter-unavailable", "actionlint"),
    ]
    assert [linter.version for linter in linters] == ["", ""]


def test_linter_that_is_not_installed_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))

    causes, _ = lint(repository(tmp_path), "publish.yml")

    assert [cause.name for cause in causes] == ["linter-unavailable"] * 2


SCRIPTS = {
    "it does not end": "sleep 60",
    "it ends with a signal": "kill -SEGV $$",
    "its output has another form": 'echo \'[{"ident": 1, "message": 2}]\'',
    "its output is not JSON": "echo thread panicked; exit 0",
    "it prints nothing": "exit 0",
}


@pytest.mark.parametrize("title", SCRIPTS)
def test_linter_without_a_result_is_a_note(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in VERSIONS.items():
        program = tmp_path / name
        text = f"#!/bin/sh\n[ $1 = --version ] && echo {version} && exit\n{SCRIPTS[title]}\n"
        program.write_text(text, "utf-8")
        program.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(workflow_linters, "_SECONDS", 0.5)

    causes, linters = lint(repository(tmp_path), "publish.yml")

    assert [cause.name for cause in causes] == ["linter-unavailable"] * 2
    assert {linter.name: linter.version for linter in linters} == VERSIONS
    assert all(linter.files == () for linter in linters)


def test_linters_get_no_variable_and_no_network_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, Any]]] = []
    run = subprocess.run

    def record(command: list[str], **options: Any) -> Any:
        started.append((command, options))
        return run(command, **options)

    monkeypatch.setenv("GH_TOKEN", "secret")
    monkeypatch.setattr(subprocess, "run", record)

    lint(repository(tmp_path), "publish.yml")

    assert "secret" not in json.dumps([list(options["env"].items()) for _, options in started])
    checks = [command for command, _ in started if "--" in command]
    assert {Path(command[0]).name for command in checks} == set(VERSIONS)
    assert all("--offline" in c for c in checks if c[0].endswith("zizmor"))
    assert all("-shellcheck=" in c for c in checks if c[0].endswith("actionlint"))


def test_workflow_file_of_this_repository_is_the_one_of_the_tests() -> None:
    causes, _ = lint(WORKFLOW.parents[2], WORKFLOW.name)

    assert causes == ()
