"""The content of gate.yml and nightly.yml, and the reaction of their scripts to each exit code.

The rules of verification/pipeline check publish.yml.
"""

from __future__ import annotations

import os
import re
import stat
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
    "gate.yml": {"pull_request", "workflow_call"},
    "nightly.yml": {"schedule", "workflow_dispatch"},
}
"""What may start each: nothing that runs a stranger's code with more rights."""
GRANTS = {("contents", "read"), ("actions", "read")}
ANSWER = """\
#!/bin/bash
echo "e2e $*" >&2
case $1 in
  gate) echo "history of tonight" > "$QUIVERDB_E2E_HISTORY"; exit ${GATE:-0} ;;
  compare) printf '%s\\n' "$TOLD"; exit ${COMPARED:-0} ;;
esac
"""


def pins() -> dict[str, tuple[str, str]]:
    """Return the commit and the version of each action that publish.yml names."""
    return {
        step.action: (step.uses.partition("@")[2], step.comment)
        for job in load(FOLDER / "publish.yml").jobs.values()
        for step in job.steps
        if step.uses and step.action
    }


KNOWN = pins() | {"actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0")}


def texts(text: str) -> Any:
    """Return YAML as it is written: no word is a value, `on` neither."""
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506  (it makes nothing but texts)


def faults(found: Workflow, text: str) -> Iterator[str]:
    """Yield what is wrong with the form of a workflow that verifies."""
    if set(found.on) != TRIGGERS[found.path.name]:
        yield "triggers"
    if found.permissions != {}:
        yield "workflow permissions"
    if "secrets" in text or "id-token" in text or "pull_request_target" in text:
        yield "secrets"
    if found.concurrency is None:
        yield "concurrency"
    limits = texts(text)["jobs"]
    for name, job in found.jobs.items():
        if job.permissions_from != "job" or not set(job.permissions.items()) <= GRANTS:
            yield f"{name}: permissions"
        if "timeout-minutes" not in limits[name]:
            yield f"{name}: no limit of time"
        for step in job.steps:
            yield from _of_step(name, step)


def _of_step(job: str, step: WorkflowStep) -> Iterator[str]:
    if step.uses:
        _, _, commit = step.uses.partition("@")
        if KNOWN.get(str(step.action)) != (commit, step.comment):
            yield f"{job}: {step.action} is not pinned as elsewhere"
    if step.action == "actions/checkout" and step.with_.get("persist-credentials") != "false":
        yield f"{job}: the checkout keeps its token"
    if step.action == "actions/upload-artifact" and step.condition != "always()":
        yield f"{job}: what failed leaves no {step.with_['path']}"
    if step.run and "${{" in step.run:
        yield f"{job}: an expression within a script"
    if step.run and step.shell != "bash":
        yield f"{job}: without `shell: bash` a script goes on after a failure in a pipe"


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_the_workflows_that_verify_may_do_little_and_run_pinned_actions(name: str) -> None:
    path = FOLDER / name
    assert list(faults(load(path), path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("gate.yml", "  pull_request:", "  pull_request_target:", "triggers"),
        ("gate.yml", "permissions: {}\n", "permissions: {contents: write}\n", "workflow perm"),
        ("nightly.yml", "      actions: read", "      actions: write", "linux-engine: permissions"),
        ("gate.yml", "    timeout-minutes: 90\n", "", "gate: no limit of time"),
        ("nightly.yml", "@3d3c42e5", "@4d3c42e5", "actions/checkout is not pinned"),
        ("nightly.yml", "# v7.0.1", "# v7.0.2", "actions/checkout is not pinned"),
        ("gate.yml", "persist-credentials: false", "persist-credentials: true", "keeps its token"),
        ("gate.yml", "        if: always()\n", "", "leaves no report"),
        ("nightly.yml", '--branch "$BRANCH"', '--branch "${{ github.ref }}"', "an expression"),
        ("nightly.yml", "shell: bash\n        env:\n          CO", "env:\n          CO", "goes on"),
        ("gate.yml", "GITHUB_OUTPUT\"", "GITHUB_OUTPUT\" # ${X:-secrets}", "secrets"),
    ],
)  # fmt: skip
def test_each_fault_of_the_form_is_found(name: str, old: str, new: str, fault: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    changed = text.replace(old, new, 1)
    assert changed != text
    found = list(faults(parse(changed, FOLDER / name), changed))
    assert any(fault in one for one in found), found


def test_the_gate_tells_its_caller_the_verdict() -> None:
    called = texts((FOLDER / "gate.yml").read_text("utf-8"))["on"]["workflow_call"]
    assert set(called["inputs"]) == {"artifact", "profile", "strict", "options", "report"}
    assert all("default" in given for given in called["inputs"].values())
    job = load(FOLDER / "gate.yml").jobs["gate"]
    for name, output in called["outputs"].items():
        assert output["value"] == f"${{{{ jobs.gate.outputs.{name} }}}}"
        assert job.outputs[name] == f"${{{{ steps.gate.outputs.{name} }}}}"
        assert f"{name}=" in str(step("gate.yml", "Verify").run)


def test_only_a_pull_requests_run_gives_way_to_a_newer_one() -> None:
    concurrency = load(FOLDER / "gate.yml").concurrency
    assert concurrency is not None
    assert concurrency.cancel_in_progress == "${{ github.event_name == 'pull_request' }}"
    assert "github.run_id" in concurrency.group


# ---- the nights' scripts, with a gate and a comparison that only tell an exit code ----


def step(file: str, name: str) -> WorkflowStep:
    jobs = load(FOLDER / file).jobs.values()
    return next(step for job in jobs for step in job.steps if step.name == name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    e2e = tmp_path / "e2e"
    e2e.write_text(ANSWER)
    e2e.chmod(e2e.stat().st_mode | stat.S_IXUSR)
    sudo = tmp_path / "sudo"  # where these tests are not run by root
    sudo.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    sudo.chmod(sudo.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "history.sqlite3").write_text("history of the nights before\n")
    return tmp_path


def script(place: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    run = step("nightly.yml", name).run
    assert run
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run],
        cwd=place,
        env={
            **os.environ,
            "PATH": f"{place}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(place / "output"),
            "GITHUB_STEP_SUMMARY": str(place / "summary"),
            **environment,
        },
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("gate", "ends", "kept"),
    [(0, 0, True), (1, 0, True), (5, 0, True), (3, 3, False), (4, 4, False)],
)
def test_a_night_without_a_verdict_on_the_package_fails_and_is_not_kept(
    place: Path, gate: int, ends: int, kept: bool
) -> None:
    ran = script(place, "Verify", OPTIONS="--profile full", WHAT="source", GATE=str(gate))
    assert ran.returncode == ends, ran.stderr
    assert "e2e gate --profile full\n" in ran.stderr
    assert (place / "output").read_text() == f"code={gate}\n"
    told = (place / "history" / "history.sqlite3").read_text()
    assert told == ("history of tonight\n" if kept else "history of the nights before\n")


def test_the_last_release_is_asked_of_the_package_index(place: Path) -> None:
    pip = place / "python3"
    pip.write_text(
        "#!/bin/sh\nprintf '%s\\n' 'quiverdb (1.2.3)' 'Available versions: 1.2.3, 1.0'\n"
    )
    pip.chmod(0o755)
    ran = script(place, "Verify", OPTIONS="-n 2", WHAT="release")
    assert "e2e gate -n 2 --release 1.2.3\n" in ran.stderr, ran.stderr


NEW = "✘ new-failure: debian-13-uv-venv: failed (crash); first bad run 7"


@pytest.mark.parametrize(
    ("gate", "compared", "told", "ends"),
    [
        (0, 0, "nothing new and bad", 0),
        (1, 0, "nothing new and bad", 0),  # what is bad is known
        (1, 1, NEW, 1),
        (0, 1, "✘ grown-wheel: a.whl: 1 -> 2 bytes", 1),
        (0, 4, "e2e: compare: there is no earlier run like 1", 0),
        (1, 4, "e2e: compare: there is no earlier run like 1", 1),  # the first night
        (5, 4, "e2e: compare: there is no earlier run like 1", 5),
        (0, 3, "e2e: compare: history.sqlite3: malformed", 3),
    ],
)
def test_a_night_fails_for_what_is_new(
    place: Path, gate: int, compared: int, told: str, ends: int
) -> None:
    ran = script(place, "Say what is new", CODE=str(gate), COMPARED=str(compared), TOLD=told)
    assert ran.returncode == ends, ran.stderr
    assert told in ran.stdout
    assert told in (place / "summary").read_text("utf-8")
    errors = re.findall("^::error title=New tonight::(.*)$", ran.stdout, re.MULTILINE)
    assert errors == ([told.removeprefix("✘ ")] if compared == 1 else [])
    known = "::warning title=Known::" in ran.stdout
    assert known == (gate == 1 and compared == 0), "what is known to be bad is shown"


@pytest.mark.parametrize(
    ("nights", "ends", "said"),
    [
        ("3 2 1", 0, "the history is that of the run 2"),  # that of 3 has none
        ("3", 0, "::notice title=No history::"),
        ("", 0, "::notice title=No history::"),
        (None, 7, ""),  # that none can be asked for is no reason to begin anew
    ],
)
def test_the_history_is_that_of_the_last_night_that_kept_one(
    place: Path, nights: str | None, ends: int, said: str
) -> None:
    gh = place / "gh"
    listed = "exit 7" if nights is None else f"printf '%s\\n' {nights}"
    gh.write_text(
        f'#!/bin/sh\nif [ "$2" = list ]; then {listed}; else [ "$3" -lt 3 ] && mkdir history; fi\n'
    )
    gh.chmod(0o755)
    (place / "history" / "history.sqlite3").unlink()
    (place / "history").rmdir()
    ran = script(place, "Fetch the history", BRANCH="main", NAME="history-source")
    assert ran.returncode == ends
    assert said in ran.stdout
    assert (place / "history").is_dir() == (ends == 0)
