"""A container that is killed while the release workflow runs is a testbed failure.

The container is killed when the host reads a certain line of the log of act.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from containers import workflow_testbed
from containers.engine import Engine, Run
from containers.runner.act_log import ActLog, ConductorLine
from containers.runner.runs import LABEL_PIPELINE, WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent, WorkflowTestbed
from tests.faults.recording import SOURCES, path_of, read_pipeline, write_pipeline
from tests.helpers.release_workflow import PLANNED, PUBLISHERS
from tests.helpers.sample_pipeline import PUBLISH
from tests.helpers.sample_wheels import linux_wheel
from verification import verdict
from verification.models.cause import Severity
from verification.models.errors import ExitCode
from verification.models.pipeline import PipelineEvidence
from verification.models.testbed import IndexHosts
from verification.models.verdict import EXIT_CODES
from verification.pipeline import publishers
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.triggers import decide

RELEASE = Path(__file__).with_name("release.yml")
WORKFLOW = ".github/workflows/publish.yml"
SETUP = IndexSetup(publishers=publishers.load(PUBLISHERS))
TARGETS = ("forge", "index", "job", "relay")

OnLine = Callable[[WorkflowTestbed, ConductorLine], None]


class Moment(NamedTuple):
    """A line of the log of act: the id of its job, and a part of its text."""

    job: str
    text: str


MOMENTS = {
    "act-starts": Moment("", "Start server on"),
    "build-starts": Moment("build", "docker run image"),
    "build-checks-out": Moment("build", "Run Main Check out"),
    "build-keeps-the-wheel": Moment("build", "Run Main Keep the wheel"),
    "publish-starts": Moment("publish", "docker run image"),
    "publish-fetches-the-wheel": Moment("publish", "Run Main Fetch the wheel"),
    "publish-creates-the-release": Moment("publish", "Creating new GitHub release"),
    "publish-proves-its-identity": Moment("publish", "Run Main Publish"),
    "publish-checks-the-wheel": Moment("publish", "[command]twine check"),
    "publish-uploads": Moment("publish", "[command]twine upload"),
}


class Killer:
    """Kills one container of a running testbed when a moment is reached."""

    def __init__(self, client: docker.DockerClient, target: str, moment: Moment) -> None:
        self.killed = False
        self._client = client
        self._target = target
        self._moment = moment
        self._is_reached = False

    def __call__(self, testbed: WorkflowTestbed, line: ConductorLine) -> None:
        """Read a line. Kill the container if the moment is reached and the container exists."""
        if line.act and line.act.job_id == self._moment.job:
            self._is_reached |= self._moment.text in line.act.msg
        if self._is_reached and not self.killed:
            self.killed = any(map(_kill, self._containers(testbed)))

    def _containers(self, testbed: WorkflowTestbed) -> list[Container]:
        servers = {"forge": testbed.forge, "index": testbed.index}
        if server := servers.get(self._target):
            return [self._client.containers.get(server.id)]
        labels = [f"{name}={value}" for name, value in testbed.runner.run.labels().items()]
        filters: dict[str, str | list[str] | bool] = {"label": [*labels, LABEL_PIPELINE]}
        started = self._client.containers.list(filters=filters, ignore_removed=True)
        if self._target == "relay":
            return [container for container in started if str(container.name).endswith("-act")]
        # The name of a container of act contains the names of the workflow and the job.
        job = testbed.runner.workflow.jobs.get(self._moment.job)
        name = f"-act-Publish-{job.name.replace(' ', '-')}" if job else "-act-Publish-"
        return [container for container in started if name in str(container.name)]


def _kill(container: Container) -> bool:
    try:
        container.kill()
    except docker.errors.APIError:  # it does not run
        return False
    return True


@pytest.fixture
def release_run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[OnLine], PipelineEvidence]:
    """Return a function that runs the workflow, and records the evidence if the option asks for it.

    Its argument is a function that is called for each line of the log of act.
    """
    engine: Engine = request.getfixturevalue("container_engine")
    run: Run = request.getfixturevalue("run")

    def run_workflow(on_line: OnLine) -> tuple[PipelineEvidence, IndexHosts]:
        workflow = tmp_path / WORKFLOW
        workflow.parent.mkdir(parents=True)
        shutil.copy(RELEASE, workflow)
        (tmp_path / "packages").mkdir()
        linux_wheel(tmp_path / "packages")
        push = StartingEvent(root=tmp_path, tags=("v0.5.0",))
        file = WorkflowFile(path=WORKFLOW, seconds=300)
        with workflow_testbed.start(engine, run, push, file, SETUP, decide) as testbed:
            add = ActLog.add

            def read(log: ActLog, line: ConductorLine) -> None:
                add(log, line)
                on_line(testbed, line)

            monkeypatch.setattr(ActLog, "add", read)
            (result,) = testbed.start()
            return testbed.evidence(result, "quiverdb"), testbed.hosts

    def run_and_record(on_line: OnLine) -> PipelineEvidence:
        evidence, hosts = run_workflow(on_line)
        if request.config.getoption("--record-evidence"):
            write_pipeline(path_of(request.node), evidence, hosts)
        return evidence

    return run_and_record


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("source", [SOURCES[0], pytest.param(SOURCES[1], marks=pytest.mark.long)])
def test_killed_container_is_a_testbed_failure(
    request: pytest.FixtureRequest, source: str, moment: str, target: str
) -> None:
    if source == SOURCES[0]:
        evidence = read_pipeline(path_of(request.node))
    else:
        with contextlib.closing(request.getfixturevalue("container_engine").client()) as client:
            killer = Killer(client, target, MOMENTS[moment])
            evidence = request.getfixturevalue("release_run")(killer)
            assert killer.killed, f"the moment was not reached: {evidence.run}"
    causes = diagnose_pipeline(evidence, {evidence.run.workflow: PUBLISH}, PLANNED, version="0.5.0")

    assert EXIT_CODES[verdict.verdict_of_causes(causes, strict=True)] is ExitCode.TESTBED_FAILED
    assert {cause.severity for cause in causes} == {Severity.TESTBED}


@pytest.mark.parametrize("source", [SOURCES[0], pytest.param(SOURCES[1], marks=pytest.mark.long)])
def test_undisturbed_run_is_no_testbed_failure(request: pytest.FixtureRequest, source: str) -> None:
    if source == SOURCES[0]:
        evidence = read_pipeline(path_of(request.node))
    else:
        evidence = request.getfixturevalue("release_run")(lambda *_: None)
    causes = diagnose_pipeline(evidence, {evidence.run.workflow: PUBLISH}, PLANNED, version="0.5.0")

    assert evidence.run.result == "success"
    assert Severity.TESTBED not in {cause.severity for cause in causes}
    assert {name for name in evidence.index.files if name.endswith(".whl")}
