"""act executes gate.yml, nightly.yml and ci.yml, with their steps on this host.

These tests do not cover what only GitHub has: another host, the download of the artifacts of an
earlier run, and a runner for Windows containers.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from containers.engine import Engine, Run
from tests.faults.act_on_host import ROOT, FinishedWorkflow, HostRunner, host_runner
from tests.helpers import wheel_builder as wheels
from verification.models import workflow_file
from verification.models.base import read_json
from verification.models.report import Report
from verification.models.workflow import Workflow, WorkflowStep
from verification.session.user_files import history

CORE = "quiverdb/_libs/libquiver.so"
CELL = "debian-13-uv-venv"
REPORTS = ("report-good", "report-broken")
OPTIONS = "--machine debian-13 -k uv-venv"
SUBJECT = "verification/subjects/quiverdb/subject.toml"
"""The description in the repository of the caller."""
FOLDER = ROOT / ".github" / "workflows"
UPLOAD = re.compile(r"actions/upload-artifact@\S+")
FAILING_TEST = "tests/unit/test_planted_failure.py"


def caller() -> str:
    """Return a workflow that passes a good and a broken wheel to gate.yml.

    The good one has a description in the repository of the caller."""
    upload = UPLOAD.search((FOLDER / "gate.yml").read_text("utf-8"))
    assert upload
    jobs = "".join(
        f"""
  {name}:
    needs: {needs}
    permissions: {{contents: read}}
    uses: ./.github/workflows/gate.yml
    with:
      {{artifact: wheels-{wheels}, subject: "{subject}", report: report-{name}, {options}}}
"""
        for name, needs, wheels, subject, options in (
            ("good", "build", "good", SUBJECT, f"options: {OPTIONS}"),
            ("divided", "good", "good", "", "shards: 2, options: --machine debian-13"),
            ("broken", "[print, divided]", "broken", "", f"options: {OPTIONS}"),
        )
    )
    return f"""
name: Caller
on: push
permissions: {{}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir good broken; cp "$GOOD" good; cp "$BROKEN" broken
      - uses: {upload[0]}
        with: {{name: wheels-good, path: good}}
      - uses: {upload[0]}
        with: {{name: wheels-broken, path: broken}}
{jobs}
  print:
    needs: good
    runs-on: ubuntu-latest
    steps:
      - run: echo "output ${{{{ needs.good.outputs.verdict }}}} ${{{{ needs.good.outputs.code }}}}"
"""


@pytest.fixture(scope="module")
def broken_wheel(good_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.mutate(good_wheel, tmp_path_factory.mktemp("broken"), remove=[CORE])


@pytest.fixture(scope="module")
def host(container_engine: Engine, run: Run) -> Iterator[HostRunner]:
    """Return a runner for a copy of this repository, with two more files.

    The files are a workflow that calls gate.yml, and a failing test.
    """
    failing_test = 'def test_planted_failure() -> None:\n    raise AssertionError("planted")\n'
    files = {".github/workflows/caller.yml": caller(), FAILING_TEST: failing_test}
    with host_runner(container_engine, run, files) as runner:
        yield runner


# ---- gate.yml and nightly.yml ----


@pytest.fixture(scope="module")
def called(host: HostRunner, good_wheel: Path, broken_wheel: Path) -> FinishedWorkflow:
    """Return the results of a workflow that calls gate.yml for a good and a broken wheel."""
    return host.run("push", "caller.yml", GOOD=str(good_wheel), BROKEN=str(broken_wheel))


def report_of(finished: FinishedWorkflow, report: str) -> Report:
    return read_json(Report, finished.artifacts[report] / "results.json")


def verdict(finished: FinishedWorkflow, report: str) -> str:
    return str(report_of(finished, report).verdict)


@pytest.mark.long
def test_called_gate_judges_the_wheels_of_its_caller(called: FinishedWorkflow) -> None:
    assert called.code == 1
    results = {name.partition("/")[0]: result for name, result in called.results().items()}
    assert (results["good"], results["broken"]) == ("success", "failure"), called.log
    assert verdict(called, "report-good") == "verified"
    assert verdict(called, "report-broken") == "failed"
    assert "output verified 0" in called.log.splitlines()
    files = {name: report_of(called, name).selection.subject_file for name in REPORTS}
    assert str(files["report-good"]).endswith(f"/caller/{SUBJECT}")
    assert files["report-broken"] is None
    # act starts no job after a failed call. The outputs of the call itself are in its log.
    outputs = called.outputs("broken/")
    assert (outputs["verdict"], outputs["code"]) == ("failed", "1")


@pytest.mark.long
def test_divided_gate_has_one_report(called: FinishedWorkflow) -> None:
    parts = [report_of(called, f"report-divided-shard-{number}") for number in (1, 2)]
    merged = report_of(called, "report-divided")
    assert merged.verdict == "verified"
    cells = [cell.id for part in parts for cell in part.cells]
    assert sorted(cells) == sorted(cell.id for cell in merged.cells)
    assert len(cells) == 2
    assert all(len(part.cells) == 1 for part in parts)


@pytest.mark.long
def test_cause_is_in_log_summary_annotations_and_report(called: FinishedWorkflow) -> None:
    cause = "missing-bundled-library"
    assert cause in called.log
    (first, *_) = called.annotations("error")
    assert cause in first
    assert CORE in first
    assert cause in called.summary
    assert {"index.html", "junit.xml", "VERIFICATION.md"} <= {
        path.name for path in called.artifacts["report-broken"].iterdir()
    }


@pytest.mark.long
def test_log_has_a_group_for_the_set_up_and_a_line_for_each_cell(called: FinishedWorkflow) -> None:
    lines = called.log.splitlines()
    start, end = (
        next(number for number, line in enumerate(lines) if command in line)
        for command in ("::group::", "::endgroup::")
    )
    assert any(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines[start:end])
    pattern = rf"\d\d:\d\d:\d\d .*\b{CELL} (works|fails)\b.*\d+\.\d s"
    outcomes = [match[1] for line in lines if (match := re.fullmatch(pattern, line))]
    # The gate of the good wheel, the divided one, and that of the broken wheel.
    assert Counter(outcomes) == {"works": 2, "fails": 1}
    assert "\x1b7" not in called.log, "the log has no animation"


@pytest.mark.long
def test_night_fails_only_for_new_failures(
    called: FinishedWorkflow,
    host: HostRunner,
    broken_wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The run of the night before was verified. It is of the same kind as the divided one.
    earlier = host.earlier_runs / "1" / "history-source"
    earlier.mkdir(parents=True)
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", str(earlier / "history.sqlite3"))
    results = called.artifacts["report-divided"] / "results.json"
    history().record(read_json(Report, results))

    options_of_gate = f"--wheels {broken_wheel.parent} --machine debian-13"
    payload = {"inputs": {"options": options_of_gate, "shards": "2"}}
    # The other jobs are the long tests, which include this one, and the Windows engine.
    options = ("--job", "regressions", "--matrix", "what:source")
    first = host.run("workflow_dispatch", "nightly.yml", payload, *options)
    shutil.copytree(first.artifacts["history-source"], host.earlier_runs / "2" / "history-source")
    second = host.run("workflow_dispatch", "nightly.yml", payload, *options)

    name = "Nightly/Merge and compare source"
    # act adds the number of the job in the matrix to its name.
    jobs = {
        "Nightly/List the shards",
        name,
        *(f"Nightly/Verify source ({n}/2)-{n}" for n in (1, 2)),
    }
    for night, result in ((first, "failure"), (second, "success")):
        assert night.results() == {**dict.fromkeys(jobs, "success"), name: result}, night.log
    new = [text for text in first.annotations("error") if "new-failure" in text]
    assert {cell.id for cell in report_of(first, "report-source").cells} == {
        cell for cell in ("debian-13-pip-venv", CELL) if any(cell in text for text in new)
    }
    for text in new:
        assert "missing-bundled-library" in text
        assert text.partition(": ")[2] in first.summary
    assert [text for text in second.annotations("error") if "new-failure" in text] == []
    assert second.annotations("warning"), "the known failure is still reported"
    for night in (first, second):
        assert verdict(night, "report-source") == "failed"
    # This engine runs no Windows containers, and act has no stand-in for such a runner.
    windows = host.run("workflow_dispatch", "nightly.yml", payload, "--job", "windows-engine")
    assert "windows-2022" in windows.log
    assert "Skipping unsupported platform" in windows.log
    assert not windows.results()


# ---- ci.yml ----

CI_JOBS = {"lint": "./e2e lint", "test": "./e2e test"}
PASSING_TESTS = "tests/unit/test_map.py"


def results_by_job(finished: FinishedWorkflow) -> dict[str, str]:
    """Return the results of a run of ci.yml, by the ids of the jobs."""
    jobs = workflow_file.load(FOLDER / "ci.yml").jobs
    ids = {f"CI/{job.name}": name for name, job in jobs.items()}
    return {ids[name]: result for name, result in finished.results().items()}


@pytest.mark.long
def test_ci_passes_with_passing_tests(container_engine: Engine, run: Run) -> None:
    with host_runner(container_engine, run, {}) as host:
        finished = host.run("workflow_dispatch", "ci.yml", {"inputs": {"tests": PASSING_TESTS}})

    assert results_by_job(finished) == {"lint": "success", "test": "success"}, finished.log
    assert finished.code == 0


@pytest.mark.long
def test_ci_fails_with_a_failing_test(host: HostRunner) -> None:
    payload = {"inputs": {"tests": FAILING_TEST}}
    finished = host.run("workflow_dispatch", "ci.yml", payload, "--job", "test")

    assert results_by_job(finished) == {"test": "failure"}, finished.log
    assert f"{FAILING_TEST}::test_planted_failure" in finished.log
    assert finished.code == 1


@pytest.mark.long
def test_ci_fails_with_a_fault_of_style(container_engine: Engine, run: Run) -> None:
    with host_runner(container_engine, run, {FAILING_TEST: "import os\n"}) as host:
        finished = host.run("workflow_dispatch", "ci.yml", {}, "--job", "lint")

    assert results_by_job(finished) == {"lint": "failure"}, finished.log
    assert "F401" in finished.log
    assert finished.code == 1


def may_pass_silently(step: WorkflowStep) -> bool:
    """Return True if a step can be skipped, or can fail without an effect."""
    return bool(step.condition or step.continue_on_error)


def ci_faults(workflow: Workflow) -> Iterator[str]:
    """Yield the names of the faults of ci.yml."""
    text = workflow.path.read_text("utf-8")
    triggers = yaml.load(text, yaml.BaseLoader)["on"]  # noqa: S506  (it makes only texts)
    if set(triggers) != {"pull_request", "push", "workflow_dispatch"}:
        yield "triggers"
    if triggers.get("push") != {"branches": ["main"]} or triggers.get("pull_request"):
        yield "filters"
    if set(triggers.get("workflow_dispatch", {}).get("inputs", ())) != {"tests"}:
        yield "inputs"
    if set(workflow.jobs) != set(CI_JOBS):
        yield "jobs"
    for name, command in CI_JOBS.items():
        job = workflow.jobs.get(name)
        steps = job.steps if job else ()
        scripts = [step.run or "" for step in steps if not may_pass_silently(step)]
        if not any(command in script for script in scripts):
            yield f"{name}: command"
        if job and (job.condition or job.continue_on_error):
            yield f"{name}: condition"
        if job and job.permissions != {"contents": "read"}:
            yield f"{name}: permissions"


def test_ci_has_no_fault() -> None:
    assert list(ci_faults(workflow_file.load(FOLDER / "ci.yml"))) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  pull_request:\n", "", "triggers"),
        ("  pull_request:\n", "  pull_request_target:\n", "triggers"),
        ("branches: [main]", "branches: [release]", "filters"),
        ("  pull_request:\n", "  pull_request: {paths: [docs/**]}\n", "filters"),
        ("      tests:\n", "      options:\n", "inputs"),
        ("run: ./e2e lint", "run: ./e2e doctor", "lint: command"),
        ("./e2e test $TESTS", "./e2e doctor", "test: command"),
        ("run: ./e2e lint", "if: github.ref == 'never'\n        run: ./e2e lint", "lint: command"),
        ("  test:\n    name", "  test:\n    if: false\n    name", "test: condition"),
        ("run: ./e2e lint", "continue-on-error: true\n        run: ./e2e lint", "lint: command"),
        ("      contents: read", "      contents: write", "lint: permissions"),
    ],
)
def test_fault_of_ci_is_reported(tmp_path: Path, old: str, new: str, fault: str) -> None:
    text = (FOLDER / "ci.yml").read_text("utf-8")
    assert old in text
    path = tmp_path / "ci.yml"
    path.write_text(text.replace(old, new, 1), "utf-8")

    assert fault in set(ci_faults(workflow_file.load(path)))


@pytest.mark.parametrize(("code", "tests"), [(0, ""), (1, "-k word tests/unit"), (3, "-x")])
def test_the_step_test_of_ci_passes_words_and_exit_code(
    tmp_path: Path, code: int, tests: str
) -> None:
    """The step runs with a stand-in for e2e that prints its arguments."""
    scripts = {
        "e2e": f'#!/bin/sh\nprintf "<%s>" "$@"\nexit {code}\n',
        "sudo": '#!/bin/sh\nshift\nexec "$@"\n',
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text, "utf-8")
        (tmp_path / name).chmod(0o700)
    steps = workflow_file.load(FOLDER / "ci.yml").jobs["test"].steps
    (script,) = (step.run for step in steps if step.run)
    process = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TESTS": tests},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == code, process.stderr
    assert process.stdout == "".join(f"<{word}>" for word in ("test", *tests.split()))
