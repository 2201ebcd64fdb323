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
from verification.models.pipeline import JobRun
from verification.models.workflow import Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load

# The output of the conductor for a run of tests/faults/small.yml with a failing step.
RECORDED_LOG = Path(__file__).parent / "data" / "act-0.2.89.jsonl"
SMALL = Path(__file__).parents[3] / "faults" / "small.yml"


@pytest.fixture(scope="module")
def workflow() -> Workflow:
    return load(SMALL)


def recorded_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED_LOG.read_text("utf-8").splitlines()]


def read(lines: list[dict[str, Any]]) -> ActLog:
    log = ActLog()
    for line in lines:
        if "container" in line:
            log.add_container(*line["container"])
        else:
            log.add(ConductorLine.model_validate(line))
    return log


@pytest.fixture(scope="module")
def jobs(workflow: Workflow) -> tuple[JobRun, ...]:
    """Return the jobs of the recorded log."""
    return read(recorded_lines()).jobs(workflow)


def test_jobs_have_all_combinations_in_the_order_of_the_file(jobs: tuple[JobRun, ...]) -> None:
    assert [(job.id, job.matrix, job.result) for job in jobs] == [
        ("make", {"os": "ubuntu-latest"}, "success"),
        ("make", {"os": "windows-latest"}, "success"),
        ("collect", {}, "failure"),
        ("after", {}, "not run"),
    ]
    assert [job.label for job in jobs[:2]] == ["ubuntu-latest", "windows-latest"]
    assert [job.name for job in jobs[:2]] == ["Make on ubuntu-latest", "Make on windows-latest"]


def test_failing_step_has_its_output_and_its_error(jobs: tuple[JobRun, ...]) -> None:
    collect = jobs[2]
    assert collect.failed_step is not None
    assert collect.failed_step.name == "Fail"
    assert collect.errors == ("planted",)
    assert {step.name: step.result for step in collect.steps if not step.uses} == {
        "Look": "success",
        "Never": "skipped",
        "Fail": "failure",
        "Last": "not run",
    }


def test_each_combination_has_a_separate_container(jobs: tuple[JobRun, ...]) -> None:
    first, second, third, fourth = jobs
    assert first.address
    assert second.address
    assert len({first.container, second.container, third.container}) == 3
    assert fourth.container == fourth.address == ""


def test_times_of_jobs_and_steps_are_those_of_the_lines(jobs: tuple[JobRun, ...]) -> None:
    first, _, third, fourth = jobs
    assert first.started is not None
    assert first.ended is not None
    assert third.started is not None
    assert first.started < first.ended <= third.started
    assert fourth.started is fourth.ended is None
    for step in first.steps:
        assert step.started is not None
        assert step.ended is not None
        assert first.started <= step.started <= step.ended <= first.ended


def test_job_that_did_not_run_names_the_failed_job(jobs: tuple[JobRun, ...]) -> None:
    assert "collect" in jobs[3].reason


def test_incomplete_log_has_no_successful_job(workflow: Workflow) -> None:
    lines = recorded_lines()
    end = next(
        number
        for number, line in enumerate(lines)
        if line.get("act", {}).get("jobResult") == "success"
    )
    log = read(lines[:end])
    assert log.exit_code is None
    assert "success" not in {job.result for job in log.jobs(workflow)}
    assert {job.result for job in log.jobs(workflow, hung=True)} <= {"hung", "not run"}


def test_log_without_jobs_has_only_jobs_that_did_not_run(workflow: Workflow) -> None:
    log = read([{"at": 1, "text": "Error: no"}, {"at": 2, "ended": 1}])
    assert not log.has_jobs
    assert (log.exit_code, log.other_lines) == (1, ["Error: no"])
    jobs = log.jobs(workflow)
    assert {job.result for job in jobs} == {"not run"}
    assert jobs[0].reason


def test_program_output_is_separate_from_messages_of_act() -> None:
    line = {"jobID": "a", "job": "W/a", "matrix": {}, "stepID": ["0"], "stage": "Main"}
    output = {**line, "msg": "e2e-build {}\n", "raw_output": True}
    assert ActLine.model_validate(output).program_output == "e2e-build {}"
    assert ActLine.model_validate({**line, "msg": "e2e-build {}"}).program_output is None


def test_line_without_a_job_belongs_to_no_job() -> None:
    log = read([{"at": 1, "act": {"msg": "Start server\n", "level": "info"}}])
    assert (log.other_lines, log.has_jobs) == (["Start server"], False)


def test_unsupported_request_of_a_stand_in_is_recorded() -> None:
    report = 'e2e-unsupported {"why": "submodules"}\n'
    line = {"jobID": "a", "job": "W/a", "stepID": ["0"], "msg": report, "raw_output": True}
    log = read([{"at": 1, "act": line}])
    assert log.unsupported == ["a: submodules"]


def test_failure_of_a_post_step_fails_the_step(workflow: Workflow) -> None:
    lines = recorded_lines()
    act = next(
        line["act"]
        for line in lines
        if line.get("act", {}).get("stage") == "Post" and line["act"].get("stepResult")
    )
    act["stepResult"] = "failure"
    assert any(job.failed_step for job in read(lines).jobs(workflow) if job.id == act["jobID"])


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [({"a": 1}, {"a": "1"}, True), ({"a": "1"}, {"a": "2"}, False), ({}, {"a": "1"}, False)],
)
def test_combinations_are_compared_as_text(
    first: dict[str, Any], second: dict[str, Any], *, is_same: bool
) -> None:
    assert is_same_combination(first, second) is is_same


def test_successful_combination_does_not_fail_with_another_one(workflow: Workflow) -> None:
    lines = recorded_lines()
    for line in lines:
        act = line.get("act", {})
        if act.get("jobID") == "make" and "jobResult" in act:
            act["jobResult"] = "failure"  # act 0.2.89 has one result for all combinations
        if act.get("matrix") == {"os": "windows-latest"} and act.get("stepResult"):
            act["stepResult"] = "failure"
    first, second = read(lines).jobs(workflow)[:2]
    assert (first.result, second.result) == ("success", "failure")


CALLED = """\
name: Upload
on: workflow_call
jobs:
  publish:
    name: Send
    runs-on: ubuntu-latest
    steps: [{run: send}]
  notify: {runs-on: ubuntu-latest, steps: [{run: notify}]}
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
  notify: {runs-on: ubuntu-latest, steps: [{run: a}]}
"""


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Return a workflow that calls another workflow of its repository."""
    root = tmp_path_factory.mktemp("repository")
    folder = root / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(CALLER, "utf-8")
    (folder / "upload.yml").write_text(CALLED, "utf-8")
    return with_called_workflows(load(folder / "release.yml"), root)


def act_line(job: str, name: str, **values: Any) -> dict[str, Any]:
    return {"at": 1.0, "act": {"jobID": job, "job": f"{name}   ", "msg": "x", **values}}


def test_jobs_of_a_called_workflow_have_the_id_of_the_calling_job(calling: Workflow) -> None:
    step = {"stepID": ["0"], "stage": "Main", "stepResult": "success"}
    log = read(
        [
            act_line("build", "Release/build", jobResult="success"),
            act_line("publish", "Publish/Upload/Send", **step),
            act_line("publish", "Publish/Upload/Send", jobResult="success"),
            act_line("notify", "Publish/Upload/notify", jobResult="failure"),
            act_line("notify", "Release/notify", **step),
            act_line("notify", "Release/notify", jobResult="success"),
        ]
    )
    assert [(job.id, job.name, job.result, job.needs) for job in log.jobs(calling)] == [
        ("build", "build", "success", ()),
        ("publish", "Publish / Send", "success", ("build",)),
        ("publish", "Publish / notify", "failure", ("build",)),
        ("notify", "notify", "success", ()),
    ]
    assert log.jobs(calling)[1].steps[0].result == "success"


def test_called_workflow_that_did_not_start_has_the_log_of_the_calling_job(
    calling: Workflow,
) -> None:
    log = read([act_line("publish", "Release/Publish", msg="Skipping job 'Publish'")])
    _, publish, notify, _ = log.jobs(calling)
    assert (publish.result, notify.result) == ("skipped", "skipped")


@pytest.mark.parametrize(
    ("job", "name", "file"),
    [
        ("publish", "anything", "upload.yml"),
        ("notify", "Release/notify", "release.yml"),
        ("notify", "Publish/Upload/notify", "upload.yml"),
        ("notify", f"quiverdb-e2e-1-act-Release-notify-{'0' * 64}", "release.yml"),
        ("notify", f"quiverdb-e2e-1-act-Publish-Upload-notify-{'0' * 64}", "upload.yml"),
        ("notify", f"quiverdb-e2e-1-act-Other-notify-{'0' * 64}", None),
        ("none", "Release/none", None),
    ],
)
def test_job_is_identified_by_its_id_and_name(
    calling: Workflow, job: str, name: str, file: str | None
) -> None:
    running = find_running(calling.running_jobs, job, name)
    assert (running.workflow.path.name if running else None) == file


def test_ambiguous_name_identifies_no_job(calling: Workflow) -> None:
    caller, called = (running for running in calling.running_jobs if running.job.id == "notify")
    expression = caller.job.model_copy(update={"name": "${{ github.ref }}"})
    ambiguous = [
        caller.model_copy(update={"job": expression}),
        caller.model_copy(update={"job": expression.model_copy(update={"needs": ("build",)})}),
    ]
    assert find_running([*ambiguous, called], "notify", "Release/x") is None


def test_failing_step_has_the_exit_code_of_its_command(jobs: tuple[JobRun, ...]) -> None:
    collect = jobs[2]
    assert [step.exit_code for step in collect.steps if step.result != "failure"] == [None] * 6
    assert collect.failed_step is not None
    assert collect.failed_step.exit_code == 7


def test_job_has_the_state_of_its_container_before_its_removal(
    workflow: Workflow, jobs: tuple[JobRun, ...]
) -> None:
    container = jobs[2].container
    state = {"status": "exited", "exit_code": 137, "out_of_memory": False, "met_limit": ""}
    removal = {"at": 1, "removed": {"container": container, "state": state}}
    log = read([removal, *recorded_lines()])
    first, _, collect, _ = log.jobs(workflow)
    assert first.container_state is None
    assert collect.container_state is not None
    assert collect.container_state.model_dump() == state
    assert [name for name, _ in log.lost_containers()] == [container]


def test_failure_of_a_stand_in_belongs_to_its_job(workflow: Workflow) -> None:
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
    lines = recorded_lines()
    lines.append({"at": lines[-1]["at"], "act": act})
    (failure,) = read(lines).jobs(workflow)[2].failures
    assert (failure.cause, failure.where) == ("index-unreachable", "job collect")
    assert failure.observed == "no answer"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("exit with `FAILURE`: 7", 7),
        ("exitcode '2': failure", 2),
        ("exitcode '127': command not found, please refer to https://example.com", 127),
    ],
)
def test_failed_step_has_the_exit_code_of_its_program(
    workflow: Workflow, text: str, code: int
) -> None:
    step = {"jobID": "after", "job": "Small/after", "stepID": ["0"], "stage": "Main"}
    texts = (text, "Failure - Main x")
    lines = [{"at": 1.0, "act": {**step, "msg": f"  \u274c  {text}"}} for text in texts]
    lines.append({"at": 2.0, "act": {**step, "stepResult": "failure"}})
    lines.append({"at": 3.0, "act": {**step, "jobResult": "failure"}})
    failed = read(lines).jobs(workflow)[-1].failed_step
    assert failed is not None
    assert failed.exit_code == code


def test_action_that_act_cannot_download_is_a_failure_of_its_job(workflow: Workflow) -> None:
    url = "https://github.com/other/none"
    texts = {
        f"LocalRepositoryCache matched {url} with ref v3 to /opt/real/x": 0,
        f"LocalRepositoryCache not matched {url} with Ref v3": 1,
    }
    for text, count in texts.items():
        line = {"jobID": "after", "job": "Small/after", "msg": text}
        job = read([{"at": 1.0, "act": line}]).jobs(workflow)[-1]
        assert [failure.cause for failure in job.failures] == ["action-unavailable"] * count
        assert all("other/none@v3" in failure.observed for failure in job.failures)


def test_unsupported_request_of_a_job_to_the_engine_is_recorded() -> None:
    assert read([{"at": 1.0, "unsupported": "services"}]).unsupported == ["services"]
