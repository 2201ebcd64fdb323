from __future__ import annotations

import pytest

from tests.helpers.sample_pipeline import (
    ADDRESS,
    KILLED,
    RUNNING,
    changed,
    evidence,
    failed,
    job,
    request,
    with_failed,
    with_index,
    with_job,
    with_push,
    with_run,
    with_server,
    with_upload,
)
from verification.models.cause import Cause, Severity
from verification.models.index_log import ExchangeLog
from verification.models.pipeline import FailedRequest, PipelineEvidence, ServerName
from verification.models.testbed import ContainerState, TestbedFailureRecord
from verification.pipeline.failures import failures_of_testbed, is_failed, job_failure

INVALID = "ERROR    InvalidDistribution: Metadata is missing required fields: Name."


def failure(whole: PipelineEvidence, name: str) -> Cause:
    """Return the cause of a job that failed."""
    (run,) = whole.run.job(name)
    assert is_failed(run)
    return job_failure(run, whole, "1.2.0")


# ---- the workflow's and the package's ----


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("build", "build-failed"),
        ("merge", "artifact-lost"),
        ("validate", "job-failed"),
        ("release", "release-missing"),
        ("publish", "job-failed"),
    ],
)
def test_a_step_that_fails_by_itself_is_named_by_its_action(name: str, cause: str) -> None:
    reported = failure(with_failed(evidence(), name), name)

    assert (reported.name, reported.severity) == (cause, Severity.BROKEN)
    assert reported.where == f"job {name.capitalize()}: step Work (line 7)"
    assert "::error::no" in reported.message
    assert reported.facts["job"] == name


def test_a_command_that_fails_for_another_tag_is_a_mismatch() -> None:
    whole = with_push(with_failed(evidence(), "validate"), tag="v9.9.9")

    assert failure(whole, "validate").name == "version-mismatch"


def test_a_publish_that_got_no_upload_token_has_the_index_s_reason() -> None:
    refused = ExchangeLog(code="invalid-publisher", description="valid token, but no")
    whole = with_index(with_failed(evidence(), "publish"), exchanges=(request(oidc=refused),))
    reported = failure(whole, "publish")

    assert reported.name == "publisher-mismatch"
    assert "invalid-publisher: valid token, but no" in reported.message


def test_a_publish_that_failed_has_the_reasons_of_the_index() -> None:
    whole = with_upload(with_failed(evidence(), "publish"), refused="400 File already exists")
    reported = failure(whole, "publish")

    assert reported.name == "upload-refused"
    assert reported.facts == {"job": "publish", "refused": ("400 File already exists",)}


def test_a_refusal_that_was_answered_to_another_job_is_no_cause() -> None:
    whole = with_upload(with_failed(evidence(), "publish"), refused="400 File already exists")

    assert failure(with_job(whole, "publish", address="10.0.0.9"), "publish").name == "job-failed"


@pytest.mark.parametrize(
    "log",
    [
        ("[command]twine check dist/a.whl", "::error::twine check ended with exit code 1"),
        ("[command]twine check dist/a.whl", "[command]twine upload dist/a.whl", INVALID),
    ],
)
def test_a_file_that_twine_refuses_is_the_packages(log: tuple[str, ...]) -> None:
    assert failure(with_failed(evidence(), "publish", *log), "publish").name == "upload-refused"


def test_a_command_in_which_twine_refuses_a_file_is_the_packages() -> None:
    assert failure(with_failed(evidence(), "validate", INVALID), "validate").name == (
        "upload-refused"
    )


def test_a_publish_without_the_permission_is_named_by_it() -> None:
    whole = with_job(with_failed(evidence(), "publish"), "publish", permissions={})

    assert failure(whole, "publish").name == "permission-missing"


def test_a_job_that_hangs_while_every_server_answers_is_the_workflows() -> None:
    assert failure(with_job(evidence(), "release", result="hung"), "release").name == "hang"


def test_a_failure_shows_its_errors_or_its_last_lines_or_its_reason() -> None:
    def shown(*log: str, reason: str = "") -> str:
        run = failed(job("other"))
        run = changed(run, steps=(changed(run.steps[0], log=log),), reason=reason)
        return job_failure(run, evidence(), "1.2.0").message

    assert "it failed: ERROR: b | ::error::d;" in shown("a", "ERROR: b", "c", "::error::d")
    assert "it failed: b | c | d;" in shown("a", "b", "c", "d", " ")
    assert "it failed: because;" in shown(reason="because")
    assert "it failed: it gave no reason;" in shown()


# ---- the testbed's ----


def test_an_upload_that_nobody_refused_is_not_the_packages() -> None:
    log = ("[command]twine upload dist/a.whl", "ConnectionError: no answer")

    assert failure(with_failed(evidence(), "publish", *log), "publish").name == "index-unreachable"


@pytest.mark.parametrize(
    "state", [KILLED, ContainerState(status="gone"), changed(RUNNING, out_of_memory=True)]
)
@pytest.mark.parametrize("name", ["validate", "publish"])
def test_a_job_whose_container_was_lost_is_the_testbeds(name: str, state: ContainerState) -> None:
    whole = with_upload(with_failed(evidence(), name), refused="400 no")

    assert failure(with_job(whole, name, container_state=state), name).name == "machine-lost"
    whole = with_job(evidence(), name, container_state=state)
    assert failure(whole, name).name == "machine-lost", "the job passed all the same"


@pytest.mark.parametrize("exit_code", [None, 137])
def test_a_step_whose_command_did_not_end_by_itself_is_the_testbeds(exit_code: int | None) -> None:
    whole = with_failed(evidence(), "validate", exit_code=exit_code)

    assert failure(whole, "validate").name == "machine-lost"


def test_a_job_without_a_failed_step_is_the_testbeds() -> None:
    whole = with_job(evidence(), "validate", result="failure", reason="act ended")
    reported = failure(whole, "validate")

    assert reported.name == "machine-lost"
    assert "act ended" in reported.message


@pytest.mark.parametrize(
    ("server", "cause"), [("forge", "forge-unreachable"), ("index", "index-unreachable")]
)
@pytest.mark.parametrize("result", ["failure", "hung"])
def test_a_job_with_a_request_that_had_no_answer_is_the_testbeds(
    server: ServerName, cause: str, result: str
) -> None:
    lost = FailedRequest(client=ADDRESS, observed="POST /x was answered with 503")
    whole = with_job(with_failed(evidence(), "validate"), "validate", result=result)

    assert failure(with_server(whole, server, failed_requests=(lost,)), "validate").name == cause
    other = changed(lost, client="10.0.0.9")
    whole = with_server(whole, server, failed_requests=(other,))
    assert failure(whole, "validate").severity is Severity.BROKEN


def test_a_request_without_an_answer_in_a_job_that_passed_is_no_failure() -> None:
    lost = FailedRequest(client=ADDRESS, observed="GET /x was not answered")
    whole = with_server(evidence(), "index", failed_requests=(lost,))

    assert not any(map(is_failed, whole.run.jobs))
    assert list(failures_of_testbed(whole)) == []


def test_a_failure_that_a_stand_in_reports_is_the_testbeds() -> None:
    record = TestbedFailureRecord(cause="testbed-defect", where="job publish", observed="KeyError")
    whole = with_job(with_failed(evidence(), "publish"), "publish", failures=(record,))

    assert failure(whole, "publish").name == "testbed-defect"


def test_what_a_stand_in_cannot_do_is_not_the_jobs_fault() -> None:
    whole = with_run(with_failed(evidence(), "release"), unsupported=("release: a discussion",))

    assert failure(whole, "release").name == "stand-in-limited"
    whole = with_run(whole, unsupported=("publish: attestations",))
    assert failure(whole, "release").name == "release-missing"


@pytest.mark.parametrize(
    ("server", "cause"), [("forge", "forge-unreachable"), ("index", "index-unreachable")]
)
def test_a_server_that_ended_is_a_failure_of_the_testbed(server: ServerName, cause: str) -> None:
    (reported,) = failures_of_testbed(with_server(evidence(), server, state=KILLED))

    assert (reported.name, reported.where, reported.severity) == (cause, server, Severity.TESTBED)
    assert "137" in reported.message


def test_a_failure_of_the_runner_is_one_of_the_testbed() -> None:
    record = TestbedFailureRecord(cause="machine-lost", where="runner", observed="act was killed")
    (reported,) = failures_of_testbed(with_run(evidence(), failures=(record,)))

    assert (reported.name, reported.where) == ("machine-lost", "runner")
