from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from containers.runner.act_log import (
    ActLine,
    ActLog,
    ConductorLine,
    find_running,
    is_same_combination,
)
from verification.models.workflow import Workflow
from verification.models.workflow_call import with_called
from verification.models.workflow_file import load

# What the conductor printed of a run of tests/faults/small.yml in which a step was made to fail.
STORED = Path(__file__).parent / "data" / "act-0.2.89.jsonl"
SMALL = Path(__file__).parents[3] / "faults" / "small.yml"


@pytest.fixture
def workflow() -> Workflow:
    return load(SMALL)


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in STORED.read_text("utf-8").splitlines()]


def read(told: list[dict[str, Any]]) -> ActLog:
    log = ActLog()
    for line in told:
        if "container" in line:
            log.container(*line["container"])
        else:
            log.add(ConductorLine.model_validate(line))
    return log


def test_every_job_and_combination_of_the_file_is_told_in_its_order(workflow: Workflow) -> None:
    jobs = read(lines()).jobs(workflow)
    assert [(job.id, job.matrix, job.result) for job in jobs] == [
        ("make", {"os": "ubuntu-latest"}, "success"),
        ("make", {"os": "windows-latest"}, "success"),
        ("collect", {}, "failure"),
        ("after", {}, "not run"),
    ]
    assert [job.label for job in jobs[:2]] == ["ubuntu-latest", "windows-latest"]
    assert [job.name for job in jobs[:2]] == ["Make on ubuntu-latest", "Make on windows-latest"]


def test_the_failing_step_has_its_output_and_its_error(workflow: Workflow) -> None:
    collect = read(lines()).jobs(workflow)[2]
    assert collect.failing is not None
    assert collect.failing.name == "Fail"
    assert collect.errors == ("planted",)
    assert {step.name: step.result for step in collect.steps if not step.uses} == {
        "Look": "success",
        "Never": "skipped",
        "Fail": "failure",
        "Last": "not run",
    }


def test_each_combination_has_its_own_container(workflow: Workflow) -> None:
    first, second, third, fourth = read(lines()).jobs(workflow)
    assert first.address
    assert second.address
    assert len({first.container, second.container, third.container}) == 3
    assert fourth.container == fourth.address == ""


def test_times_are_those_of_the_lines(workflow: Workflow) -> None:
    first, _, third, fourth = read(lines()).jobs(workflow)
    assert first.started is not None
    assert first.ended is not None
    assert third.started is not None
    assert first.started < first.ended <= third.started
    assert fourth.started is fourth.ended is None
    for step in first.steps:
        assert step.started is not None
        assert step.ended is not None
        assert first.started <= step.started <= step.ended <= first.ended


def test_a_job_after_a_failed_one_says_whom_it_needed(workflow: Workflow) -> None:
    assert read(lines()).jobs(workflow)[3].reason == "needs collect, which did not succeed"


def test_a_log_that_breaks_off_makes_no_success(workflow: Workflow) -> None:
    told = lines()
    cut = next(
        at for at, line in enumerate(told) if line.get("act", {}).get("jobResult") == "success"
    )
    log = read(told[:cut])
    assert log.ended is None
    assert "success" not in {job.result for job in log.jobs(workflow)}
    assert {job.result for job in log.jobs(workflow, hung=True)} <= {"hung", "not run"}


def test_nothing_said_means_nothing_ran(workflow: Workflow) -> None:
    log = read([{"at": 1, "text": "Error: no"}, {"at": 2, "ended": 1}])
    assert not log.began
    assert (log.ended, log.others) == (1, ["Error: no"])
    assert {job.result for job in log.jobs(workflow)} == {"not run"}
    assert log.jobs(workflow)[0].reason == "act did not start it"


def test_what_a_program_prints_is_told_from_what_act_prints() -> None:
    line = {"jobID": "a", "job": "W/a", "matrix": {}, "stepID": ["0"], "stage": "Main"}
    printed = {**line, "msg": "e2e-build {}\n", "raw_output": True}
    assert ActLine.model_validate(printed).printed == "e2e-build {}"
    assert ActLine.model_validate({**line, "msg": "e2e-build {}"}).printed is None


def test_a_line_without_a_job_is_of_none() -> None:
    log = read([{"at": 1, "act": {"msg": "Start server\n", "level": "info"}}])
    assert (log.others, log.began) == (["Start server"], False)


def test_what_a_stand_in_cannot_do_is_kept() -> None:
    said = 'e2e-unsupported {"why": "submodules"}\n'
    line = {"jobID": "a", "job": "W/a", "stepID": ["0"], "msg": said, "raw_output": True}
    log = read([{"at": 1, "act": line}])
    assert log.unsupported == ["a: submodules"]


def test_a_failure_before_or_after_the_main_part_fails_the_step(workflow: Workflow) -> None:
    told = lines()
    at = next(
        at
        for at, line in enumerate(told)
        if line.get("act", {}).get("stage") == "Post" and line["act"].get("stepResult")
    )
    told[at]["act"]["stepResult"] = "failure"
    job = told[at]["act"]["jobID"]
    assert any(run.failing for run in read(told).jobs(workflow) if run.id == job)


@pytest.mark.parametrize(
    ("told", "matrix", "expected"),
    [({"a": 1}, {"a": "1"}, True), ({"a": "1"}, {"a": "2"}, False), ({}, {"a": "1"}, False)],
)
def test_combinations_are_compared_as_text(
    told: dict[str, Any], matrix: dict[str, Any], expected: bool
) -> None:
    assert is_same_combination(told, matrix) is expected


def test_a_combination_that_passed_is_not_failed_by_another(workflow: Workflow) -> None:
    told = lines()
    for line in told:  # as act 0.2.89 says where the other one failed
        if line.get("act", {}).get("jobID") == "make" and "jobResult" in line["act"]:
            line["act"]["jobResult"] = "failure"
    for line in told:
        act = line.get("act", {})
        if act.get("matrix") == {"os": "windows-latest"} and act.get("stepResult"):
            act["stepResult"] = "failure"
    first, second = read(told).jobs(workflow)[:2]
    assert (first.result, second.result) == ("success", "failure")


CALLED = """\
name: Upload
on: workflow_call
jobs:
  publish:
    name: Send
    runs-on: ubuntu-latest
    steps: [{run: send}]
  tell: {runs-on: ubuntu-latest, steps: [{run: tell}]}
"""
CALLER = """\
name: Release
on: push
jobs:
  build: {runs-on: ubuntu-latest, steps: [{run: a}]}
  publish:
    name: Publish
    needs: build
    uses: ./.github/workflows/upload.yml
  tell: {runs-on: ubuntu-latest, steps: [{run: a}]}
"""


@pytest.fixture
def calling(tmp_path: Path) -> Workflow:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(CALLER, "utf-8")
    (folder / "upload.yml").write_text(CALLED, "utf-8")
    return with_called(load(folder / "release.yml"), tmp_path)


def line(job: str, name: str, **values: Any) -> dict[str, Any]:
    return {"at": 1.0, "act": {"jobID": job, "job": f"{name}   ", "msg": "x", **values}}


def test_the_jobs_of_a_called_workflow_have_the_id_of_their_call(calling: Workflow) -> None:
    step = {"stepID": ["0"], "stage": "Main", "stepResult": "success"}
    log = read(
        [
            line("build", "Release/build", jobResult="success"),
            line("publish", "Publish/Upload/Send", **step),
            line("publish", "Publish/Upload/Send", jobResult="success"),
            line("tell", "Publish/Upload/tell", jobResult="failure"),
            line("tell", "Release/tell", **step),
            line("tell", "Release/tell", jobResult="success"),
        ]
    )
    assert [(job.id, job.name, job.result, job.needs) for job in log.jobs(calling)] == [
        ("build", "build", "success", ()),
        ("publish", "Publish / Send", "success", ("build",)),
        ("publish", "Publish / tell", "failure", ("build",)),
        ("tell", "tell", "success", ()),
    ]
    assert log.jobs(calling)[1].steps[0].result == "success"


def test_a_called_workflow_that_did_not_begin_has_the_log_of_its_call(calling: Workflow) -> None:
    log = read([line("publish", "Release/Publish", msg="Skipping job 'Publish'")])
    _, publish, tell, _ = log.jobs(calling)
    assert (publish.result, tell.result) == ("skipped", "skipped")


@pytest.mark.parametrize(
    ("job", "name", "file"),
    [
        ("publish", "anything", "upload.yml"),
        ("tell", "Release/tell", "release.yml"),
        ("tell", "Publish/Upload/tell", "upload.yml"),
        ("tell", f"quiverdb-e2e-1-act-Release-tell-{'0' * 64}", "release.yml"),
        ("tell", f"quiverdb-e2e-1-act-Publish-Upload-tell-{'0' * 64}", "upload.yml"),
        ("tell", f"quiverdb-e2e-1-act-Other-tell-{'0' * 64}", None),
        ("none", "Release/none", None),
    ],
)
def test_a_container_is_that_of_the_job_whose_name_it_has(
    calling: Workflow, job: str, name: str, file: str | None
) -> None:
    running = find_running(calling.running_jobs, job, name)
    assert (running.workflow.path.name if running else None) == file


def test_two_jobs_that_act_names_alike_are_none(calling: Workflow) -> None:
    own, called = (running for running in calling.running_jobs if running.job.id == "tell")
    expression = own.job.model_copy(update={"name": "${{ github.ref }}"})
    alike = [
        own.model_copy(update={"job": expression}),
        own.model_copy(update={"job": expression.model_copy(update={"needs": ("build",)})}),
    ]
    assert find_running([*alike, called], "tell", "Release/x") is None


def with_line(at: int, line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stored lines with one more."""
    entries = lines()
    return [*entries[:at], line, *entries[at:]]


def test_the_failing_step_has_the_exit_code_of_its_command(workflow: Workflow) -> None:
    collect = read(lines()).jobs(workflow)[2]
    assert [step.exit_code for step in collect.steps if step.result != "failure"] == [None] * 6
    assert collect.failing is not None
    assert collect.failing.exit_code == 7


def test_a_job_has_the_state_of_its_container_at_its_removal(workflow: Workflow) -> None:
    container = read(lines()).jobs(workflow)[2].container
    state = {"status": "exited", "exit_code": 137, "out_of_memory": False}
    entries = with_line(0, {"at": 1, "removed": {"container": container, "state": state}})
    log = read(entries)
    first, _, collect, _ = log.jobs(workflow)
    assert first.container_state is None
    assert collect.container_state is not None
    assert collect.container_state.model_dump() == state
    assert [name for name, _ in log.lost_containers()] == [container]


def test_a_failure_that_a_stand_in_reports_is_of_its_job(workflow: Workflow) -> None:
    report = 'e2e-failure {"cause": "index-unreachable", "why": "no answer"}'
    act = {
        "jobID": "collect",
        "job": "Small/collect",
        "matrix": {},
        "msg": report,
        "raw_output": True,
        "stage": "Main",
        "stepID": ["5"],
    }
    entries = lines()
    entries.append({"at": entries[-1]["at"], "act": act})
    (failure,) = read(entries).jobs(workflow)[2].failures
    assert (failure.cause, failure.where) == ("index-unreachable", "job collect")
    assert failure.observed == "no answer"
