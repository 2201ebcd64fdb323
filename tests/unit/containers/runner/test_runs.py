"""The input of the conductor, and the results that the runner reads."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from containers import images
from containers.engine import Engine, Run
from containers.limits import default_limits
from containers.runner import runs
from containers.runner.act_log import ConductorLine, UnavailableImage
from containers.runner.action_sources import ResolvedActions
from containers.runner.environment import RunnerEnvironment
from containers.runner.git_repository import GitRepository
from containers.runner.runs import Runner, WorkflowFile
from tests.helpers.sample_pipeline import KILLED, RUNNING
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import PipelineRun, RunEvent
from verification.models.testbed import TestbedFailureRecord
from verification.models.workflow import Decision, Event, Workflow

IMAGE = Path(__file__).resolve().parents[4] / "containers" / "images" / "runner"
ENGINE = Engine(url="unix:///none", version="1", os="linux", origin="a test")
RUN = Run(id="1", owner="a:b:c:d")
PATH = ".github/workflows/publish.yml"
TEXT = """\
name: Small
on: {push: {tags: ["v*"]}}
jobs:
  make:
    strategy: {matrix: {os: [ubuntu-latest, windows-latest]}}
    runs-on: ${{ matrix.os }}
    steps: [{run: make}]
  publish:
    needs: make
    runs-on: ubuntu-latest
    permissions: {id-token: write}
    steps: [{run: publish}]
"""
ENVIRONMENT = RunnerEnvironment(
    network="closed",
    ca_certificate="PEM",
    token="token",  # noqa: S106
    identity_url="https://token.example",
    identity_token="secret",  # noqa: S106
)
EVENT = RunEvent(ref="refs/heads/main", sha="a" * 40, object="a" * 40, source="a test")
YES, NO = Decision(triggered=True, reason="it is a tag"), Decision(triggered=False, reason="no")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitRepository]:
    """Return a repository with the workflow and the tag v1, which the tests only read."""
    root = tmp_path_factory.mktemp("repository")
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_text(TEXT)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("QUIVERDB_E2E_STATE", str(tmp_path_factory.mktemp("state")))
        with GitRepository(root, owner="o", name="n") as repository:
            repository.tag("v1")
            yield repository


def make_runner(
    monkeypatch: pytest.MonkeyPatch,
    origin: GitRepository,
    decisions: tuple[Decision, ...] = (NO,),
) -> tuple[Runner, list[Event]]:
    """Return a runner that gets these decisions, and the events for which it requests one."""
    events: list[Event] = []

    def decide(workflow: Workflow, event: Event) -> Decision:
        assert workflow.name == "Small"
        events.append(event)
        return decisions[len(events) - 1]

    monkeypatch.setattr(images, "ensure", lambda *_: SimpleNamespace(tag="runner:1"))
    return Runner(ENGINE, RUN, origin, ENVIRONMENT, WorkflowFile(path=PATH), decide), events


def make_attempt(monkeypatch: pytest.MonkeyPatch, origin: GitRepository) -> Any:
    runner, _ = make_runner(monkeypatch, origin)
    return runs._Attempt(runner, origin.pushes["v1"], 7, 2)


def files_for_conductor(attempt: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        attempt._pack(tar, "shared", "/work")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def test_conductor_can_read_its_configuration(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(IMAGE)])
    files = files_for_conductor(make_attempt(monkeypatch, origin))
    path = tmp_path / "config.json"
    path.write_bytes(files["conduct/config.json"])
    config = importlib.import_module("conductor.config").load(path)

    assert (config.identity.url, config.identity.token) == ("https://token.example", "secret")
    assert (config.attempt, config.folder, config.volume) == (2, "/work", "shared")
    assert config.labels["quiverdb-e2e.pipeline"].startswith("1-")
    assert config.host_config["Memory"] == default_limits("job").memory_mib << 20
    assert (config.host_config["CapDrop"], "SETUID" in config.capabilities) == (["ALL"], True)
    assert "--env=GITHUB_RUN_ATTEMPT=2" in config.command
    assert "--platform=windows-latest=runner:1" in config.command
    assert f"--workflows={PATH}" in config.command
    assert json.loads(files["conduct/event.json"])["ref"] == "refs/tags/v1"
    assert files["conduct/ca.pem"].decode() == ENVIRONMENT.ca_certificate
    assert "conduct/repository.git/HEAD" in files
    assert b"RUNNER_OS" in files[f"conduct/files/{PATH}"]


def test_actions_are_packed_without_git_and_their_dockerfiles_are_known(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository, tmp_path: Path
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    for name in (".git/config", "action.yml", ".github/x.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", "utf-8")
    real = {"/opt/real/a-b@v1": tmp_path}
    attempt.runner.actions = ResolvedActions((), (), real, {"x/Dockerfile": "a.yml:1: ./x"})
    files = files_for_conductor(attempt)
    packed = {name for name in files if name.startswith("opt/real/")}
    assert packed == {"opt/real/a-b@v1/action.yml", "opt/real/a-b@v1/.github/x.yml"}
    assert json.loads(files["conduct/config.json"])["dockerfiles"] == ["x/Dockerfile"]
    for image, where in {"x/Dockerfile": "a.yml:1: ./x", "x:1": "image x:1"}.items():
        failure = attempt._unavailable(UnavailableImage(image=image, why="it needs y"))
        assert (failure.cause, failure.where) == ("action-unavailable", where)


def test_push_that_starts_no_run_has_the_reason_and_cannot_be_rerun(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    runner, events = make_runner(monkeypatch, origin, decisions=(NO, NO))
    first, second = runner.push(["v2", "v3"])

    assert [event.ref for event in events] == ["refs/tags/v2", "refs/tags/v3"]
    assert {event.tags for event in events} == {2}
    assert (first.result, first.triggered, first.decision) == ("not triggered", False, "no")
    assert first.run_id != second.run_id
    assert {job.result for job in first.jobs} == {"not run"}
    with pytest.raises(WrongUse, match=r"\bv2\b"):
        runner.rerun(first)


def test_push_without_a_tag_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    runner, events = make_runner(monkeypatch, origin)
    with pytest.raises(WrongUse):
        runner.push([])
    assert events == []


def test_first_run_has_the_given_id(monkeypatch: pytest.MonkeyPatch, origin: GitRepository) -> None:
    runner, _ = make_runner(monkeypatch, origin)
    (run,) = runner.start([origin.pushes["v1"]], first_id=4711)
    assert run.run_id == 4711


def test_job_with_an_unknown_runner_label_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text(TEXT.replace("runs-on: ubuntu-latest", "runs-on: self-hosted"))
    origin: Any = SimpleNamespace(tree=tmp_path)
    runner, _ = make_runner(monkeypatch, origin)
    assert any("publish" in limit for limit in runner.values.limits)
    with pytest.raises(TestbedFailure, match=r"(?=.*\bpublish\b)(?=.*self-hosted)") as failure:
        runner.hosted_runners(EVENT)
    assert failure.value.cause == "runner-unavailable"


@pytest.mark.parametrize("is_available", [True, False])
def test_image_of_a_job_must_be_on_the_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_available: bool
) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text(TEXT.replace("    needs: make\n", "    needs: make\n    container: py:3\n"))
    origin: Any = SimpleNamespace(tree=tmp_path)

    def get(name: str) -> Any:
        assert name == "py:3"
        if not is_available:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(id="sha256:1")

    client = SimpleNamespace(images=SimpleNamespace(get=get), close=lambda: None)
    monkeypatch.setattr(Engine, "client", lambda _: client)
    if is_available:
        make_runner(monkeypatch, origin)
        return
    with pytest.raises(TestbedFailure, match=r"(?=.*\bpublish\b)(?=.*py:3)") as failure:
        make_runner(monkeypatch, origin)
    assert failure.value.cause == "runner-unavailable"


def test_label_with_an_unknown_value_has_no_runner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text(
        TEXT.replace("ubuntu-latest\n    perm", "${{ needs.make.outputs.l }}\n    perm")
    )
    origin: Any = SimpleNamespace(tree=tmp_path)
    runner, _ = make_runner(monkeypatch, origin)
    _, publish = runner.workflow.running_jobs
    assert runner.hosted_runner(publish, {}, EVENT) is None
    assert [found.label for found in runner.hosted_runners(EVENT)] == [
        "ubuntu-latest",
        "windows-latest",
    ]


@pytest.mark.parametrize(
    ("environment", "value", "result"),
    [
        ("pypi", "", "pypi"),
        ("${{ inputs.index }}", "pypi", "pypi"),
        ("${{ inputs.index }}", "", None),
        ("${{ needs.make.outputs.index }}", "${{ needs.make.outputs.index }}", "limited"),
    ],
)
def test_job_has_the_value_of_its_environment(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: str,
    value: str,
    result: str | None,
) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text(TEXT.replace("    perm", f"    environment: {environment}\n    perm"))
    origin: Any = SimpleNamespace(tree=tmp_path)
    runner, _ = make_runner(monkeypatch, origin)
    runner.file = runner.file.model_copy(update={"evaluate": lambda *_: value})
    _, publish = runner.workflow.running_jobs
    if result == "limited":
        with pytest.raises(TestbedFailure, match=r"needs\.make") as failure:
            runner.with_environment(publish, EVENT)
        assert failure.value.cause == "stand-in-limited"
    else:
        assert runner.with_environment(publish, EVENT).job.environment == result


def test_act_gets_the_secrets_by_name_and_the_report_names_them(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    attempt.runner.environment = dataclasses.replace(ENVIRONMENT, secrets={"UPLOAD": "pypi-x"})
    config = json.loads(files_for_conductor(attempt)["conduct/config.json"])
    assert config["environment"] == {"GITHUB_TOKEN": "token", "UPLOAD": "pypi-x"}
    assert {"--secret=GITHUB_TOKEN", "--secret=UPLOAD"} <= set(config["command"])
    assert not any("pypi-x" in word for word in config["command"])
    limits = attempt.result(NO, 1.0).stand_ins
    assert any("UPLOAD" in limit for limit in limits)
    assert not any("pypi-x" in limit for limit in limits)


def test_label_of_a_job_depends_on_the_combination(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    runner, _ = make_runner(monkeypatch, origin)
    make, publish = runner.workflow.running_jobs
    labels = [
        found.label
        for job, os in ((make, "windows-latest"), (make, ""), (publish, ""))
        if (found := runner.hosted_runner(job, {"os": os} if os else {}, EVENT))
    ]
    assert labels == ["windows-latest", "ubuntu-latest", "ubuntu-latest"]


UNKNOWN = "${{ needs.make.result }}"


@pytest.mark.parametrize("value", [UNKNOWN, "macos-15"])
def test_job_of_a_run_has_the_value_of_its_label(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text(TEXT.replace("ubuntu-latest\n    perm", f"{UNKNOWN}\n    perm"))
    origin: Any = SimpleNamespace(tree=tmp_path)
    runner, _ = make_runner(monkeypatch, origin)
    values = {"evaluate": lambda text, *_: text.replace(UNKNOWN, value)}
    runner.file = runner.file.model_copy(update=values)
    jobs = runs._Attempt(runner, EVENT, 7, 1).result(NO, 1.0).jobs
    assert [job.label for job in jobs] == ["ubuntu-latest", "windows-latest", value]


LINES: dict[str, dict[str, Any]] = {
    "set up": {"jobID": "make", "job": "Small/make", "msg": "Run Set up job"},
    "made": {
        "jobID": "make",
        "job": "Small/make-1",
        "matrix": {"os": "ubuntu-latest"},
        "jobResult": "success",
    },
    "made too": {
        "jobID": "make",
        "job": "Small/make-2",
        "matrix": {"os": "windows-latest"},
        "jobResult": "success",
    },
    "passed": {"jobID": "publish", "job": "Small/publish", "msg": "x", "jobResult": "success"},
    "failed": {"jobID": "publish", "job": "Small/publish", "msg": "x", "jobResult": "failure"},
}


@pytest.mark.parametrize(
    ("lines", "exit_code", "hung", "expected"),
    [
        (("made", "made too", "passed"), 0, False, "success"),
        (("made", "made too", "passed"), 1, False, "failure"),
        (("made", "made too", "failed"), 0, False, "failure"),
        (("passed",), 0, False, "failure"),
        (("passed",), None, True, "hung"),
    ],
    ids=["success", "act failed", "a job failed", "a job did not run", "time limit"],
)
def test_result_of_a_run_depends_on_its_jobs_and_on_act(
    monkeypatch: pytest.MonkeyPatch,
    origin: GitRepository,
    lines: tuple[str, ...],
    exit_code: int | None,
    expected: str,
    *,
    hung: bool,
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    attempt.hung = hung
    for name in lines:
        attempt.log.add(ConductorLine.model_validate({"at": 1.0, "act": LINES[name]}))
    attempt.log.add(ConductorLine(at=2.0, ended=exit_code))
    run: PipelineRun = attempt.result(YES, 3.0)
    assert (run.result, run.seconds) == (expected, 3.0)


def test_run_without_a_job_is_a_testbed_failure_with_the_output_of_act(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    attempt.log.add(ConductorLine(at=1.0, text="Error: no such workflow"))
    (failure,) = failures_at_exit(attempt, 1)
    assert (failure.cause, failure.where) == ("machine-lost", "runner")
    assert "Error: no such workflow" in failure.observed
    attempt.log.add(ConductorLine.model_validate({"at": 1.0, "act": LINES["set up"]}))
    assert failures_at_exit(attempt, 1) == ()


def test_killed_act_is_a_testbed_failure_before_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    attempt.log.add(ConductorLine.model_validate({"at": 1.0, "act": LINES["set up"]}))
    (without_exit_code,) = failures_at_exit(attempt, None)
    assert without_exit_code.cause == "machine-lost"
    (with_signal,) = failures_at_exit(attempt, -9)
    assert (with_signal.cause, "9" in with_signal.observed) == ("machine-lost", True)
    attempt.hung = True
    attempt.log.exit_code = None
    assert failures_at_exit(attempt, None) == ()


def test_ended_container_of_no_known_job_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    attempt = make_attempt(monkeypatch, origin)
    for container, state in (("a" * 64, RUNNING), ("b" * 64, KILLED)):
        removed = {"container": container, "state": state.model_dump()}
        attempt.log.add(ConductorLine.model_validate({"at": 1.0, "removed": removed}))
    (failure,) = attempt.result(YES, 1.0).failures
    assert failure.cause == "machine-lost"
    assert "137" in failure.observed


def failures_at_exit(attempt: Any, exit_code: int | None) -> tuple[TestbedFailureRecord, ...]:
    """Return the failures of an attempt after act ended with this exit code."""
    attempt.failures.clear()
    if exit_code is not None:
        attempt.log.add(ConductorLine(at=2.0, ended=exit_code))
    attempt._check_exit()
    failures: tuple[TestbedFailureRecord, ...] = attempt.result(YES, 1.0).failures
    return failures


def test_artifacts_of_the_artifact_service_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(IMAGE)])
    folder = tmp_path / "artifacts"
    store = importlib.import_module("conductor.artifacts").Store(folder, 1)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.whl", b"wheel")
    for name, data in (("dist", content.getvalue()), ("log.txt", b"text")):
        url = str(store.call("CreateArtifact", {"name": name}, "http://x")["signed_upload_url"])
        store.put(url.rpartition("/")[2], {}, data)
        store.call("FinalizeArtifact", {"name": name}, "http://x")
    store.call("CreateArtifact", {"name": "unfinished"}, "http://x")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, "artifacts")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        dist, log = runs._artifacts(tar)

    assert (dist.name, list(dist.files)) == ("dist", ["a.whl"])
    assert (log.name, list(log.files)) == ("log.txt", ["log.txt"])
