"""The input that the runner passes to the conductor, and the output that it reads."""

from __future__ import annotations

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

import pytest

from containers import images
from containers.engine import Engine, Run
from containers.runner import runs
from containers.runner.act_log import ConductorLine
from containers.runner.environment import RunnerEnvironment
from containers.runner.git_repository import GitRepository
from containers.runner.runs import Runner, WorkflowFile
from tests.helpers.sample_pipeline import KILLED, RUNNING
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import PipelineRun
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
AROUND = RunnerEnvironment(
    network="closed",
    ca_certificate="PEM",
    token="token",  # noqa: S106
    identity_url="https://token.example",
    identity_token="secret",  # noqa: S106
)
YES, NO = Decision(triggered=True, reason="it is a tag"), Decision(triggered=False, reason="no")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[GitRepository]:
    root = tmp_path / "repository"
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_text(TEXT)
    with GitRepository(root, owner="o", name="n") as made:
        yield made


def runner(
    monkeypatch: pytest.MonkeyPatch,
    origin: GitRepository,
    around: RunnerEnvironment = AROUND,
    decisions: tuple[Decision, ...] = (NO,),
) -> tuple[Runner, list[Event]]:
    """Return a runner and the events that it asks about."""
    events: list[Event] = []

    def decide(workflow: Workflow, event: Event) -> Decision:
        assert workflow.name == "Small"
        events.append(event)
        return decisions[len(events) - 1]

    monkeypatch.setattr(images, "ensure", lambda *_: SimpleNamespace(tag="runner:1"))
    return Runner(ENGINE, RUN, origin, around, WorkflowFile(path=PATH), decide), events


def attempt(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository, around: RunnerEnvironment
) -> Any:
    made, _ = runner(monkeypatch, origin, around)
    return runs._Attempt(made, origin.tag("v1"), 7, 2)


def packed(of: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        of._pack(tar, "shared", "/work")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def test_the_conductor_reads_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(IMAGE)])
    files = packed(attempt(monkeypatch, origin, AROUND))
    path = tmp_path / "config.json"
    path.write_bytes(files["conduct/config.json"])
    config = importlib.import_module("conductor.config").load(path)

    assert (config.identity.url, config.identity.token) == ("https://token.example", "secret")
    assert (config.attempt, config.folder, config.volume) == (2, "/work", "shared")
    assert config.labels["quiverdb-e2e.pipeline"].startswith("1-")
    assert "--env=GITHUB_RUN_ATTEMPT=2" in config.command
    assert "--platform=windows-latest=runner:1" in config.command
    assert f"--workflows={PATH}" in config.command
    assert json.loads(files["conduct/event.json"])["ref"] == "refs/tags/v1"
    assert files["conduct/ca.pem"].decode() == AROUND.ca_certificate
    assert "conduct/repository.git/HEAD" in files


def test_a_push_that_starts_nothing_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made, events = runner(monkeypatch, origin, decisions=(NO, NO))
    first, second = made.push(["v1", "v2"])

    assert [event.ref for event in events] == ["refs/tags/v1", "refs/tags/v2"]
    assert {event.tags for event in events} == {2}
    assert (first.result, first.triggered, first.decision) == ("not triggered", False, "no")
    assert first.run_id != second.run_id
    assert {job.result for job in first.jobs} == {"not run"}
    with pytest.raises(WrongUse, match="started no run"):
        made.rerun(first)


def test_a_push_of_no_tag_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made, _ = runner(monkeypatch, origin)
    with pytest.raises(WrongUse, match="no tag"):
        made.push([])


def test_the_first_run_has_the_id_that_the_forge_knows(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made, _ = runner(monkeypatch, origin)
    (run,) = made.start([origin.tag("v1")], first_id=4711)
    assert run.run_id == 4711


def test_a_job_on_an_unknown_machine_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    path = origin.tree / PATH
    path.write_text(TEXT.replace("runs-on: ubuntu-latest", "runs-on: macos-14"))
    with pytest.raises(TestbedFailure, match="job publish runs on macos-14") as failure:
        runner(monkeypatch, origin)
    assert failure.value.cause == "runner-unavailable"


def test_the_label_of_a_combination_is_its_own(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made, _ = runner(monkeypatch, origin)
    make, publish = made.workflow.jobs.values()
    assert made.label(make, {"os": "windows-latest"}) == "windows-latest"
    assert made.label(make, {}) == "ubuntu-latest"
    assert made.label(publish, {}) == "ubuntu-latest"


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


def result(of: Any, *lines: str, ended: int | None = None) -> PipelineRun:
    for name in lines:
        of.log.add(ConductorLine.model_validate({"at": 1.0, "act": LINES[name]}))
    if ended is not None:
        of.log.add(ConductorLine(at=2.0, ended=ended))
    found: PipelineRun = of.result(YES, 3.0)
    return found


def test_the_result_of_a_run_is_that_of_its_jobs_and_of_act(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made, _ = runner(monkeypatch, origin)
    push = origin.tag("v1")

    def fresh() -> Any:
        return runs._Attempt(made, push, 7, 1)

    assert result(fresh(), "made", "made too", "passed", ended=0).result == "success"
    assert result(fresh(), "made", "made too", "passed", ended=1).result == "failure"
    assert result(fresh(), "made", "made too", "failed", ended=0).result == "failure"
    assert result(fresh(), "passed", ended=0).result == "failure", "a job did not run"
    hung = fresh()
    hung.hung = True
    assert result(hung, "passed").result == "hung"
    assert result(fresh(), "passed", ended=0).seconds == 3.0


def test_a_run_of_which_no_job_began_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made = attempt(monkeypatch, origin, AROUND)
    made.log.add(ConductorLine(at=1.0, text="Error: no such workflow"))
    (failure,) = checked(made, ended=1)
    assert (failure.cause, failure.where) == ("machine-lost", "runner")
    assert failure.observed.endswith("started no job: Error: no such workflow")
    made.log.add(ConductorLine.model_validate({"at": 1.0, "act": LINES["set up"]}))
    assert checked(made, ended=1) == ()


def test_an_act_that_did_not_end_by_itself_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made = attempt(monkeypatch, origin, AROUND)
    assert [failure.cause for failure in checked(made)] == ["machine-lost"]
    assert [failure.observed for failure in checked(made, ended=-9)] == [
        "act was ended by signal 9"
    ]
    made.hung = True
    made.log.ended = None
    assert checked(made) == (), "the host ended it"


def test_a_container_that_ended_early_and_is_of_no_known_job_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, origin: GitRepository
) -> None:
    made = attempt(monkeypatch, origin, AROUND)
    for container, state in (("a" * 64, RUNNING), ("b" * 64, KILLED)):
        removed = {"container": container, "state": state.model_dump()}
        made.log.add(ConductorLine.model_validate({"at": 1.0, "removed": removed}))
    (failure,) = made.result(YES, 1.0).failures
    assert failure.cause == "machine-lost"
    assert "137" in failure.observed


def checked(of: Any, ended: int | None = None) -> tuple[TestbedFailureRecord, ...]:
    """Return the failures of an attempt whose act ended with this code."""
    of.failures.clear()
    if ended is not None:
        of.log.add(ConductorLine(at=2.0, ended=ended))
    of._check_act()
    failures: tuple[TestbedFailureRecord, ...] = of.result(YES, 1.0).failures
    return failures


def test_what_the_artifact_service_keeps_is_read(
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
