from __future__ import annotations

import re
from pathlib import Path

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
    with_event,
    with_failed,
    with_index,
    with_job,
    with_run,
    with_server,
    with_upload,
)
from verification.models.cause import Cause, Severity
from verification.models.index_log import ExchangeLog
from verification.models.pipeline import FailedRequest, PipelineEvidence, ServerName
from verification.models.testbed import ContainerState, TestbedFailureRecord
from verification.models.workflow_file import parse
from verification.pipeline.failures import (
    failures_of_testbed,
    is_failed,
    job_failure,
    refused_uploads,
)

INVALID = "ERROR    InvalidDistribution: Metadata is missing required fields: Name."


def failure(run: PipelineEvidence, name: str) -> Cause:
    """Return the cause of a failed job."""
    (job_run,) = run.run.job_runs(name)
    assert is_failed(job_run)
    return job_failure(job_run, run, "1.2.0")


# ---- failures of the workflow and the package ----


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
def test_cause_of_a_failed_step_depends_on_its_action(name: str, cause: str) -> None:
    reported = failure(with_failed(evidence(), name), name)

    assert (reported.name, reported.severity) == (cause, Severity.BROKEN)
    for part in (name.capitalize(), "Work", "7"):
        assert part in reported.where
    assert "::error::no" in reported.message
    assert reported.facts["job"] == name


def test_failed_command_for_another_tag_is_a_version_mismatch() -> None:
    run = with_event(with_failed(evidence(), "validate"), tag="v9.9.9")

    assert failure(run, "validate").name == "version-mismatch"


def test_refused_identity_has_the_reason_of_the_index() -> None:
    refused = ExchangeLog(code="invalid-publisher", description="valid token, but no")
    run = with_index(with_failed(evidence(), "publish"), exchanges=(request(oidc=refused),))
    reported = failure(run, "publish")

    assert reported.name == "publisher-mismatch"
    assert reported.facts["code"] == "invalid-publisher"
    assert "valid token, but no" in reported.message


def test_refused_upload_has_the_reasons_of_the_index() -> None:
    run = with_upload(with_failed(evidence(), "publish"), refused="400 File already exists")
    reported = failure(run, "publish")

    assert reported.name == "upload-refused"
    assert reported.facts == {"job": "publish", "refused": ("400 File already exists",)}


UNVERIFIED = (
    "Invalid attestations supplied during upload: Could not verify the uploaded artifact using the "
    "included attestation: Verification failed: "
)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (f"{UNVERIFIED}invalid log entry: x", "stand-in-limited"),
        (f"{UNVERIFIED}failed to build timestamp certificate chain: x", "stand-in-limited"),
        (f"{UNVERIFIED}failed to verify SCT on signing certificate: x", "stand-in-limited"),
        (f"{UNVERIFIED}Certificate's Build Config URI (x) does not match", "upload-refused"),
        (f"{UNVERIFIED}Certificate's OIDCSourceRepositoryURI does not match", "upload-refused"),
        (f"{UNVERIFIED}subject does not match distribution digest", "upload-refused"),
    ],
)
def test_signature_of_other_servers_does_not_count_against_the_workflow(
    reason: str, cause: str
) -> None:
    """The live index trusts other servers than the index of a run."""
    run = with_upload(with_failed(evidence(), "publish"), refused=reason)
    assert failure(run, "publish").name == cause
    assert [refused.name for refused in refused_uploads(run.index)] == [cause]


@pytest.mark.parametrize("permission", ["write", "read"])
def test_failed_signing_is_no_refused_upload(permission: str) -> None:
    log = ("[command]twine check dist/a.whl", "[command]attest dist", "::error::no")
    run = with_failed(evidence(), "publish", *log)
    run = with_job(run, "publish", permissions={"id-token": permission})
    expected = "job-failed" if permission == "write" else "permission-missing"
    assert failure(run, "publish").name == expected


def test_refusal_of_another_job_is_ignored() -> None:
    run = with_upload(with_failed(evidence(), "publish"), refused="400 File already exists")

    assert failure(with_job(run, "publish", address="10.0.0.9"), "publish").name == "job-failed"


@pytest.mark.parametrize(
    "log",
    [
        ("[command]twine check dist/a.whl", "::error::twine check ended with exit code 1"),
        ("[command]twine check dist/a.whl", "[command]twine upload dist/a.whl", INVALID),
    ],
)
def test_file_that_twine_refuses_is_a_refused_upload(log: tuple[str, ...]) -> None:
    assert failure(with_failed(evidence(), "publish", *log), "publish").name == "upload-refused"


def test_refusal_by_twine_in_a_command_is_a_refused_upload() -> None:
    assert failure(with_failed(evidence(), "validate", INVALID), "validate").name == (
        "upload-refused"
    )


def test_failed_publish_without_id_token_is_a_missing_permission() -> None:
    run = with_job(with_failed(evidence(), "publish"), "publish", permissions={})

    assert failure(run, "publish").name == "permission-missing"


def test_hanging_job_is_a_hang_if_all_servers_answer() -> None:
    assert failure(with_job(evidence(), "release", result="hung"), "release").name == "hang"


def test_message_has_the_error_lines_or_the_last_lines_or_the_reason() -> None:
    def message(*log: str, reason: str = "") -> str:
        run = failed(job("other"))
        run = changed(run, steps=(changed(run.steps[0], log=log),), reason=reason)
        return job_failure(run, evidence(), "1.2.0").message

    errors = message("line 1", "ERROR: 2", "line 3", "::error::4")
    assert re.findall(r"line \d|ERROR: \d|::error::\d", errors) == ["ERROR: 2", "::error::4"]
    last = message("line 1", "line 2", "line 3", "line 4", " ")
    assert re.findall(r"line \d", last) == ["line 2", "line 3", "line 4"]
    assert "because" in message(reason="because")
    assert message()


# ---- failures of the testbed ----


def test_failed_upload_without_a_refusal_is_an_unreachable_index() -> None:
    log = ("[command]twine upload dist/a.whl", "ConnectionError: no answer")

    assert failure(with_failed(evidence(), "publish", *log), "publish").name == "index-unreachable"


@pytest.mark.parametrize("state", [KILLED, ContainerState(status="gone")])
@pytest.mark.parametrize("name", ["validate", "publish"])
def test_job_with_a_lost_container_is_a_lost_machine(name: str, state: ContainerState) -> None:
    run = with_upload(with_failed(evidence(), name), refused="400 no")

    assert failure(with_job(run, name, container_state=state), name).name == "machine-lost"
    run = with_job(evidence(), name, container_state=state)  # the job passed
    assert failure(run, name).name == "machine-lost"


@pytest.mark.parametrize(
    "state", [changed(RUNNING, out_of_memory=True), changed(RUNNING, met_limit="processes")]
)
def test_limit_that_a_job_or_a_server_met_is_a_testbed_failure(state: ContainerState) -> None:
    run = with_job(evidence(), "validate", container_state=state)
    assert failure(run, "validate").name == "testbed-limit"
    (reported,) = failures_of_testbed(with_server(evidence(), "index", state=state))
    assert (reported.name, reported.where) == ("testbed-limit", "index")


@pytest.mark.parametrize("exit_code", [None, 137])
def test_step_without_a_normal_exit_is_a_lost_machine(exit_code: int | None) -> None:
    run = with_failed(evidence(), "validate", exit_code=exit_code)

    assert failure(run, "validate").name == "machine-lost"


def test_failed_job_without_a_failed_step_is_a_lost_machine() -> None:
    run = with_job(evidence(), "validate", result="failure", reason="act ended")
    reported = failure(run, "validate")

    assert reported.name == "machine-lost"
    assert "act ended" in reported.message


@pytest.mark.parametrize(
    ("server", "cause"), [("forge", "forge-unreachable"), ("index", "index-unreachable")]
)
@pytest.mark.parametrize("result", ["failure", "hung"])
def test_failed_job_with_a_failed_request_is_an_unreachable_server(
    server: ServerName, cause: str, result: str
) -> None:
    lost = FailedRequest(client=ADDRESS, observed="POST /x was answered with 503")
    run = with_job(with_failed(evidence(), "validate"), "validate", result=result)

    assert failure(with_server(run, server, failed_requests=(lost,)), "validate").name == cause
    other = changed(lost, client="10.0.0.9")
    run = with_server(run, server, failed_requests=(other,))
    assert failure(run, "validate").severity is Severity.BROKEN


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("::error::getaddrinfo EAI_AGAIN raw.example.com", "raw.example.com"),
        ("curl: (6) Could not resolve host: raw.example.com", "raw.example.com"),
        ("fatal: unable to access: Could not resolve host: raw.example.com; x", "raw.example.com"),
        (
            "NameResolutionError: Failed to resolve 'raw.example.com' ([Errno -3])",
            "raw.example.com",
        ),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "a host"),
    ],
)
def test_step_that_needs_another_host_is_not_a_failure_of_the_workflow(
    line: str, host: str
) -> None:
    reported = failure(with_failed(evidence(), "validate", line, "Error: failed"), "validate")
    assert (reported.name, reported.severity) == ("stand-in-limited", Severity.TESTBED)
    assert host in reported.message
    passed = failure(
        with_failed(evidence(), "validate", "could not resolve the version"), "validate"
    )
    assert passed.severity is Severity.BROKEN


@pytest.mark.parametrize(
    ("lines", "code", "program"),
    [
        (("/e2e/1.sh: line 2: cmake: command not found",), 127, "cmake"),
        (("/e2e/1.sh: 2: cmake: not found",), 127, "cmake"),
        (("/bin/sh: 1: cmake: not found", "make: *** [Makefile:2: all] Error 127"), 2, "cmake"),
        (("env: \u2018cmake\u2019: No such file or directory",), 127, "cmake"),
        (("no reason",), 127, "a program"),
    ],
)
def test_program_that_the_runner_lacks_is_not_a_failure_of_the_workflow(
    lines: tuple[str, ...], code: int, program: str
) -> None:
    run = with_failed(evidence(), "validate", *lines, exit_code=code)
    reported = failure(run, "validate")
    assert (reported.name, reported.severity) == ("stand-in-limited", Severity.TESTBED)
    assert f"not have {program}:" in reported.message


def test_missing_program_that_did_not_end_the_step_is_not_its_failure() -> None:
    lines = ("/e2e/1.sh: line 2: cmake: command not found", "the version is wrong")
    reported = failure(with_failed(evidence(), "validate", *lines), "validate")
    assert reported.severity is Severity.BROKEN


WINDOWS_SCRIPT = """\
on: push
DEFAULTS
jobs:
  validate:
    runs-on: windows-latest
    steps:
      - SHELL
        run: test
"""


def of_script(run: PipelineEvidence, shell: str, defaults: str, label: str) -> Cause:
    """Return the cause of the job `validate`, whose step is a script."""
    text = WINDOWS_SCRIPT.replace("SHELL", shell or "id: x").replace("DEFAULTS", defaults)
    (failing,) = run.run.job_runs("validate")
    changed_run = with_job(run, "validate", label=label)
    (job_run,) = changed_run.run.job_runs("validate")
    assert failing.failed_step
    assert failing.failed_step.line == 7
    return job_failure(job_run, changed_run, "1.2.0", parse(text, Path("publish.yml")))


DEFAULT_SHELL = "defaults: {run: {shell: SHELL}}"


@pytest.mark.parametrize(
    ("shell", "defaults", "label", "name"),
    [
        ("", "", "windows-latest", "stand-in-limited"),
        ("", "", "ubuntu-latest", "job-failed"),
        ("", "", "${{ inputs.os }}", "job-failed"),
        ("shell: bash", "", "windows-latest", "job-failed"),
        ("", DEFAULT_SHELL.replace("SHELL", "bash"), "windows-latest", "job-failed"),
        ("", DEFAULT_SHELL.replace("SHELL", "pwsh"), "windows-latest", "stand-in-limited"),
        ("shell: pwsh", "", "ubuntu-latest", "stand-in-limited"),
        ("shell: powershell", "", "windows-latest", "stand-in-limited"),
        ("shell: cmd", "", "windows-latest", "stand-in-limited"),
        ("shell: pwsh -File {0}", "", "windows-latest", "stand-in-limited"),
    ],
)
def test_script_that_needs_windows_is_not_a_failure_of_the_workflow(
    shell: str, defaults: str, label: str, name: str
) -> None:
    assert of_script(with_failed(evidence(), "validate"), shell, defaults, label).name == name


def test_shell_that_the_runner_lacks_has_no_exit_code() -> None:
    run = with_failed(evidence(), "validate", "executable file not found", exit_code=None)
    reported = of_script(run, "shell: pwsh", "", "windows-latest")
    assert reported.name == "stand-in-limited"
    assert "pwsh" in reported.message


def test_refused_upload_of_a_script_on_windows_is_a_failure_of_the_workflow() -> None:
    run = with_failed(evidence(), "validate", INVALID)
    assert of_script(run, "", "", "windows-latest").name == "upload-refused"


def test_failed_request_of_a_passed_job_is_not_a_failure() -> None:
    lost = FailedRequest(client=ADDRESS, observed="GET /x was not answered")
    run = with_server(evidence(), "index", failed_requests=(lost,))

    assert not any(map(is_failed, run.run.jobs))
    assert list(failures_of_testbed(run)) == []


def test_failure_that_a_stand_in_reports_is_a_testbed_failure() -> None:
    record = TestbedFailureRecord(cause="testbed-defect", where="job publish", observed="KeyError")
    run = with_job(with_failed(evidence(), "publish"), "publish", failures=(record,))

    assert failure(run, "publish").name == "testbed-defect"


def test_limit_of_a_stand_in_counts_only_for_its_job() -> None:
    run = with_run(with_failed(evidence(), "release"), unsupported=("release: a discussion",))

    assert failure(run, "release").name == "stand-in-limited"
    run = with_run(run, unsupported=("publish: attestations",))
    assert failure(run, "release").name == "release-missing"


@pytest.mark.parametrize(
    ("server", "cause"), [("forge", "forge-unreachable"), ("index", "index-unreachable")]
)
def test_ended_server_is_a_testbed_failure(server: ServerName, cause: str) -> None:
    (reported,) = failures_of_testbed(with_server(evidence(), server, state=KILLED))

    assert (reported.name, reported.where, reported.severity) == (cause, server, Severity.TESTBED)
    assert "137" in reported.message


def test_failure_of_the_runner_is_a_testbed_failure() -> None:
    record = TestbedFailureRecord(cause="machine-lost", where="runner", observed="act was killed")
    (reported,) = failures_of_testbed(with_run(evidence(), failures=(record,)))

    assert (reported.name, reported.where) == ("machine-lost", "runner")
