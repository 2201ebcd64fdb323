"""The content of ci.yml, gate.yml and nightly.yml, and the exit codes of the nightly scripts.

The rules of verification/pipeline check publish.yml.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from verification.models.workflow import Workflow, WorkflowStep
from verification.models.workflow_file import load, parse

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
TRIGGERS = {
    "ci.yml": {"pull_request", "push", "workflow_dispatch"},
    "gate.yml": {"pull_request", "workflow_call"},
    "nightly.yml": {"schedule", "workflow_dispatch"},
}
"""The allowed triggers by file. None of them gives a stranger's code more permissions."""
PERMISSIONS = {("contents", "read"), ("actions", "read")}
E2E = """\
#!/bin/bash
echo "e2e $*" >&2
case $1 in
  gate) exit ${GATE:-0} ;;
  merge) echo "new history" > "$QUIVERDB_E2E_HISTORY"; exit ${MERGE:-0} ;;
  compare) printf '%s\\n' "$COMPARE_OUTPUT"; exit ${COMPARE:-0} ;;
esac
"""
"""A script that replaces `./e2e`. The variables GATE, MERGE and COMPARE set its exit codes."""


def text_of(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def load_strings(text: str) -> Any:
    """Return YAML with all scalars as strings, also `on`."""
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506  (it creates only strings)


def pins() -> dict[str, tuple[str, str]]:
    """Return the commit and the version of each GitHub action in publish.yml, by its name."""
    return {
        step.action: (step.uses.partition("@")[2], step.comment)
        for job in load(FOLDER / "publish.yml").jobs.values()
        for step in job.steps
        if step.uses and step.action
    }


KNOWN = pins() | {"actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0")}


# ---- the form of the workflows ----


def faults(workflow: Workflow, text: str) -> Iterator[str]:
    """Yield the rules for our own workflow files that a workflow breaks."""
    if set(workflow.on) != TRIGGERS[workflow.path.name]:
        yield "triggers"
    if workflow.permissions != {}:
        yield "workflow permissions"
    if "secrets" in text or "id-token" in text or "pull_request_target" in text:
        yield "secrets"
    if workflow.concurrency is None:
        yield "no concurrency"
    strings = load_strings(text)["jobs"]
    for name, job in workflow.jobs.items():
        if job.permissions_from != "job" or not set(job.permissions.items()) <= PERMISSIONS:
            yield f"{name}: permissions"
        if "timeout-minutes" not in strings[name]:
            yield f"{name}: no time limit"
        for step in job.steps:
            yield from (f"{name}: {fault}" for fault in _step_faults(step))


def _step_faults(step: WorkflowStep) -> Iterator[str]:
    if step.uses and KNOWN.get(str(step.action)) != (step.uses.partition("@")[2], step.comment):
        yield f"{step.action} has another commit or version than in publish.yml"
    if step.action == "actions/checkout" and step.with_.get("persist-credentials") != "false":
        yield "the checkout stores its token"
    if step.action == "actions/upload-artifact" and step.condition != "always()":
        yield f"after a failure {step.with_['path']} is not uploaded"
    if step.run and "${{" in step.run:
        yield "an expression in a script"
    if step.run and "|" in step.run and step.shell != "bash":
        yield "a failure in a pipe is ignored without `shell: bash`"


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_workflow_has_minimal_permissions_and_pinned_actions(name: str) -> None:
    assert list(faults(load(FOLDER / name), text_of(name))) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("gate.yml", "  pull_request:", "  pull_request_target:", "triggers"),
        ("gate.yml", "permissions: {}\n", "permissions: {contents: write}\n", "workflow perm"),
        ("nightly.yml", "      actions: read", "      actions: write", "regressions: permissions"),
        ("gate.yml", "    timeout-minutes: 90\n", "", "gate: no time limit"),
        ("nightly.yml", "@3d3c42e5", "@4d3c42e5", "actions/checkout has another commit"),
        ("nightly.yml", "# v7.0.1", "# v7.0.2", "actions/checkout has another commit"),
        ("ci.yml", "persist-credentials: false", "persist-credentials: true", "stores its token"),
        ("gate.yml", "        if: always()\n", "", "report is not uploaded"),
        ("nightly.yml", '--branch "$BRANCH"', '--branch "${{ github.ref }}"', "an expression"),
        ("nightly.yml", "shell: bash\n        env:\n          CO", "env:\n          CO", "a pipe"),
        ("gate.yml", "GITHUB_OUTPUT\"", "GITHUB_OUTPUT\" # ${X:-secrets}", "secrets"),
    ],
)  # fmt: skip
def test_a_planted_fault_in_a_workflow_is_reported(
    name: str, old: str, new: str, fault: str
) -> None:
    text = text_of(name)
    changed = text.replace(old, new, 1)
    assert changed != text
    reported = list(faults(parse(changed, FOLDER / name), changed))
    assert any(fault in line for line in reported), reported


def test_the_gate_returns_the_verdict_to_its_caller() -> None:
    called = load_strings(text_of("gate.yml"))["on"]["workflow_call"]
    assert set(called["inputs"]) == {
        *("artifact", "subject", "profile", "strict", "options", "report", "shards", "registry")
    }
    assert all("default" in settings for settings in called["inputs"].values())
    jobs = load(FOLDER / "gate.yml").jobs
    for name, output in called["outputs"].items():
        of_merge = f"inputs.shards > 1 && jobs.merge.outputs.{name}"
        assert output["value"] == f"${{{{ {of_merge} || jobs.gate.outputs.{name} }}}}"
        for job, title in (("gate", "Verify"), ("merge", "Merge")):
            assert jobs[job].outputs[name] == f"${{{{ steps.{job}.outputs.{name} }}}}"
            assert f"{name}=" in str(step("gate.yml", title).run)


def test_only_a_run_of_a_pull_request_is_cancelled_by_a_newer_one() -> None:
    concurrency = load(FOLDER / "gate.yml").concurrency
    assert concurrency is not None
    assert concurrency.cancel_in_progress == "${{ github.event_name == 'pull_request' }}"
    assert "github.run_id" in concurrency.group


# ---- the scripts of gate.yml and nightly.yml ----


def step(file: str, name: str) -> WorkflowStep:
    jobs = load(FOLDER / file).jobs.values()
    return next(step for job in jobs for step in job.steps if step.name == name)


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the programs that the scripts run, and with a history."""
    write_program(tmp_path / "e2e", E2E)
    write_program(tmp_path / "sudo", '#!/bin/sh\nshift\nexec "$@"\n')  # for a user without root
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "history.sqlite3").write_text("old history\n")
    return tmp_path


def run_script(
    folder: Path, name: str, file: str = "nightly.yml", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script of a step of a workflow with the shell options that GitHub uses."""
    script = step(file, name).run
    assert script
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


GATE = {
    "PROFILE": "quick",
    "SUBJECT": "",
    "WHEELS": "--wheels wheels",
    "STRICT": "",
    "OPTIONS": "-n 1",
    "SHARD": "1",
    "SHARDS": "1",
    "REGISTRY": "",
}
"""The environment of the step that runs the gate."""
NIGHT = {"OPTIONS": "--profile full", "WHAT": "source", "SHARD": "1/1", "REGISTRY": ""}
"""The environment of the step that runs the gate of a night."""


SHARD_CODES = [(0, 0), (1, 0), (3, 0), (5, 0), (4, 4), (2, 2), (137, 137)]
"""The exit codes of the gate of a shard, with those of its step."""


@pytest.mark.parametrize(("code", "expected"), SHARD_CODES)
def test_a_shard_fails_only_without_a_report(folder: Path, code: int, expected: int) -> None:
    write_program(folder / "e2e", f"#!/bin/bash\nprintf '%s\\n' \"$@\" >&2\nexit {code}\n")
    values = {**GATE, "SHARD": "2", "SHARDS": "3", "REGISTRY": "example.com/team"}
    result = run_script(folder, "Verify", "gate.yml", **values)
    assert result.returncode == expected, result.stderr
    words = ["--shard", "2/3", "--registry", "example.com/team"]
    assert " ".join(words) in " ".join(result.stderr.splitlines())
    assert not (folder / "output").exists(), "only the merge has a verdict"


@pytest.mark.parametrize(("code", "expected"), SHARD_CODES)
def test_a_shard_of_a_night_fails_only_without_a_report(
    folder: Path, code: int, expected: int
) -> None:
    values = {**NIGHT, "SHARD": "2/3", "REGISTRY": "example.com/team", "GATE": str(code)}
    result = run_script(folder, "Verify", **values)
    assert result.returncode == expected, result.stderr
    words = "gate --profile full --shard 2/3 --registry example.com/team"
    assert f"e2e {words}\n" in result.stderr


@pytest.mark.parametrize("file", ["gate.yml", "nightly.yml"])
@pytest.mark.parametrize(("shards", "expected"), [("1", "[1]"), ("3", "[1,2,3]")])
def test_shards_are_listed_for_the_matrix(
    folder: Path, shards: str, expected: str, file: str
) -> None:
    assert run_script(folder, "List", file, SHARDS=shards).returncode == 0
    first, *rest = (folder / "output").read_text().splitlines()
    assert first == f"shards={expected}"
    assert rest == ([f"total={shards}"] if file == "nightly.yml" else [])


def test_a_night_merges_the_reports_of_all_its_shards() -> None:
    jobs = load(FOLDER / "nightly.yml").jobs
    (upload,) = (s for s in jobs["gate"].steps if s.action == "actions/upload-artifact")
    (download,) = (s for s in jobs["regressions"].steps if s.action == "actions/download-artifact")
    prefix = "report-${{ matrix.what }}-shard-"
    assert upload.with_["name"] == f"{prefix}${{{{ matrix.shard }}}}"
    assert download.with_["pattern"] == f"{prefix}*"
    strings = load_strings(text_of("nightly.yml"))["jobs"]
    gate, merge = strings["gate"], strings["regressions"]
    assert gate["strategy"]["matrix"]["what"] == merge["strategy"]["matrix"]["what"]
    assert gate["strategy"]["matrix"]["shard"] == "${{ fromJSON(needs.plan.outputs.shards) }}"
    assert (gate["needs"], merge["needs"]) == ("plan", "gate")
    # A shard without a report must not hide the regressions of the other release.
    assert merge["if"] == "${{ !cancelled() }}"
    environment = step("nightly.yml", "Verify").env
    assert environment["QUIVERDB_E2E_HISTORY"] == "", "only the merged run is recorded"
    names = [
        artifact.with_["name"]
        for artifact in jobs["regressions"].steps
        if artifact.with_.get("name")
    ]
    assert names == ["history-${{ matrix.what }}", "report-${{ matrix.what }}"]


@pytest.mark.parametrize("code", [0, 1, 4])
def test_merge_returns_the_verdict_and_the_code(folder: Path, code: int) -> None:
    for number in (1, 2):
        (folder / "shards" / f"report-shard-{number}").mkdir(parents=True)
    (folder / "report").mkdir()
    (folder / "report" / "results.json").write_text('{"verdict": "failed"}')
    write_program(folder / "e2e", f"#!/bin/bash\nprintf '%s\\n' \"$@\" >&2\nexit {code}\n")
    result = run_script(folder, "Merge", "gate.yml")
    assert result.returncode == code
    names = ["merge", "shards/report-shard-1", "shards/report-shard-2"]
    assert result.stderr.splitlines() == names
    assert (folder / "output").read_text() == f"verdict=failed\ncode={code}\n"


@pytest.mark.parametrize(
    ("subject", "words"),
    [("", []), ("e2e/my package.toml", ["--subject", "caller/e2e/my package.toml"])],
)
def test_the_gate_uses_the_description_in_the_checkout_of_the_caller(
    folder: Path, subject: str, words: list[str]
) -> None:
    (folder / "report").mkdir()
    (folder / "report" / "results.json").write_text('{"verdict": "verified"}')
    write_program(folder / "e2e", "#!/bin/bash\nprintf '%s\\n' \"$@\" >&2\n")
    result = run_script(folder, "Verify", "gate.yml", **{**GATE, "SUBJECT": subject})
    assert result.returncode == 0, result.stderr
    started = ["gate", "--profile", "quick", *words, "--wheels", "wheels", "-n", "1"]
    assert result.stderr.splitlines() == started
    checkout = step("gate.yml", "Check out the caller")
    assert (checkout.condition, checkout.with_["path"]) == ("inputs.subject", "caller")
    assert "repository" not in checkout.with_


@pytest.mark.parametrize(
    ("merge", "code", "uploaded"),
    [(0, 0, True), (1, 0, True), (5, 0, True), (3, 3, False), (4, 4, False)],
)
def test_a_night_without_a_verdict_on_the_package_fails_and_keeps_the_old_history(
    folder: Path, merge: int, code: int, uploaded: bool
) -> None:
    for number in (1, 2):
        (folder / "shards" / f"report-source-shard-{number}").mkdir(parents=True)
    result = run_script(folder, "Merge", MERGE=str(merge))
    assert result.returncode == code, result.stderr
    names = "merge shards/report-source-shard-1 shards/report-source-shard-2"
    assert f"e2e {names}\n" in result.stderr
    assert (folder / "output").read_text() == f"code={merge}\n"
    history = (folder / "history" / "history.sqlite3").read_text()
    assert history == ("new history\n" if uploaded else "old history\n")


def test_the_version_of_the_last_release_is_read_from_pip(folder: Path) -> None:
    output = "'quiverdb (1.2.3)' 'Available versions: 1.2.3, 1.0'"
    write_program(folder / "python3", f"#!/bin/sh\nprintf '%s\\n' {output}\n")
    result = run_script(folder, "Verify", **{**NIGHT, "OPTIONS": "-n 2", "WHAT": "release"})
    assert "e2e gate -n 2 --release 1.2.3 --shard 1/1\n" in result.stderr, result.stderr


NEW = "✘ new-failure: debian-13-uv-venv: failed (crash); first bad run 7"


@pytest.mark.parametrize(
    ("gate", "compare", "output", "code"),
    [
        (0, 0, "no regression", 0),
        (1, 0, "no regression", 0),  # only known failures
        (1, 1, NEW, 1),
        (0, 1, "✘ grown-wheel: a.whl: 1 -> 2 bytes", 1),
        (0, 4, "no earlier run", 0),
        (1, 4, "no earlier run", 1),  # the first night
        (5, 4, "no earlier run", 5),
        (0, 3, "history.sqlite3: malformed", 3),
    ],
)
def test_a_night_fails_only_for_regressions(
    folder: Path, gate: int, compare: int, output: str, code: int
) -> None:
    result = run_script(
        folder,
        "Report regressions",
        CODE=str(gate),
        COMPARE=str(compare),
        COMPARE_OUTPUT=output,
    )
    assert result.returncode == code, result.stderr
    assert output in result.stdout
    assert output in (folder / "summary").read_text("utf-8")
    errors = re.findall("^::error title=New tonight::(.*)$", result.stdout, re.MULTILINE)
    assert errors == ([output.removeprefix("✘ ")] if compare == 1 else [])
    warning = "::warning title=Known::" in result.stdout
    assert warning == (gate == 1 and compare == 0), "only known failures give a warning"


@pytest.mark.parametrize(
    ("runs", "code", "history"),
    [
        ("3 2 1", 0, "2"),  # run 3 has no history
        ("3", 0, None),
        ("", 0, None),
        (None, 7, None),  # a failed request must not start a new history
    ],
)
def test_the_history_is_from_the_last_run_that_has_one(
    folder: Path, runs: str | None, code: int, history: str | None
) -> None:
    listing = "exit 7" if runs is None else f"printf '%s\\n' {runs}"
    download = '[ "$3" -lt 3 ] && mkdir history && echo "$3" > history/run'
    write_program(
        folder / "gh", f'#!/bin/sh\nif [ "$2" = list ]; then {listing}; else {download}; fi\n'
    )
    (folder / "history" / "history.sqlite3").unlink()
    (folder / "history").rmdir()
    result = run_script(folder, "Fetch the history", BRANCH="main", NAME="history-source")
    assert result.returncode == code
    run = folder / "history" / "run"
    assert (run.read_text().strip() if run.exists() else None) == history
    assert ("::notice title=No history::" in result.stdout) == (code == 0 and history is None)
    assert (folder / "history").is_dir() == (code == 0)
