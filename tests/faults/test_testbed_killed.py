"""A container of the testbed is killed while the release workflow runs: the testbed failed.

A line of act's log is the moment: the container is killed when the host reads the line.
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
from containers.workflow_testbed import IndexSetup, TagPush, WorkflowTestbed
from tests.faults.recording import SOURCES, path_of, read_pipeline, write_pipeline
from tests.helpers.release_workflow import PLANNED, PUBLISHERS
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
pytestmark = pytest.mark.xdist_group("runner")

Watch = Callable[[WorkflowTestbed, ConductorLine], None]


class Moment(NamedTuple):
    """A line of act's log: the id of its job, and what is in it."""

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
    """Kills one container of a running testbed at a moment."""

    def __init__(self, client: docker.DockerClient, target: str, moment: Moment) -> None:
        self.killed = False
        self._client = client
        self._target = target
        self._moment = moment
        self._is_reached = False

    def __call__(self, testbed: WorkflowTestbed, line: ConductorLine) -> None:
        """Read a line; kill the container from the moment on, as soon as there is one."""
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
        # Act names a container after the workflow and the job's name.
        job = testbed.runner.workflow.jobs.get(self._moment.job)
        name = f"-act-Publish-{job.name.replace(' ', '-')}" if job else "-act-Publish-"
        return [container for container in started if name in str(container.name)]


def _kill(container: Container) -> bool:
    try:
        container.kill()
    except docker.errors.APIError:  # it does not run yet, or not any more
        return False
    return True


@pytest.fixture
def release_run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Watch], PipelineEvidence]:
    """Return the way to run the workflow; a watch reads each line. A recording is written."""
    engine: Engine = request.getfixturevalue("found")
    run: Run = request.getfixturevalue("run")

    def started(watch: Watch) -> tuple[PipelineEvidence, IndexHosts]:
        workflow = tmp_path / WORKFLOW
        workflow.parent.mkdir(parents=True)
        shutil.copy(RELEASE, workflow)
        (tmp_path / "packages").mkdir()
        linux_wheel(tmp_path / "packages")
        push = TagPush(root=tmp_path, tags=("v0.5.0",))
        file = WorkflowFile(path=WORKFLOW, seconds=300)
        with workflow_testbed.start(engine, run, push, file, SETUP, decide) as testbed:
            add = ActLog.add

            def read(log: ActLog, line: ConductorLine) -> None:
                add(log, line)
                watch(testbed, line)

            monkeypatch.setattr(ActLog, "add", read)
            (result,) = testbed.start()
            return testbed.evidence(result, "quiverdb"), testbed.hosts

    def recorded(watch: Watch) -> PipelineEvidence:
        evidence, hosts = started(watch)
        if request.config.getoption("--record-evidence"):
            write_pipeline(path_of(request.node), evidence, hosts)
        return evidence

    return recorded


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("source", [SOURCES[0], pytest.param(SOURCES[1], marks=pytest.mark.long)])
def test_a_killed_container_is_the_testbeds_failure(
    request: pytest.FixtureRequest, source: str, moment: str, target: str
) -> None:
    if source == SOURCES[0]:
        shown = read_pipeline(path_of(request.node))
    else:
        with contextlib.closing(request.getfixturevalue("found").client()) as client:
            killer = Killer(client, target, MOMENTS[moment])
            shown = request.getfixturevalue("release_run")(killer)
            assert killer.killed, f"the moment did not come: {shown.run}"
    causes = diagnose_pipeline(shown, PLANNED, version="0.5.0")

    assert EXIT_CODES[verdict.of_causes(causes, strict=True)] is ExitCode.TESTBED_FAILED
    assert {cause.severity for cause in causes} == {Severity.TESTBED}


@pytest.mark.parametrize("source", [SOURCES[0], pytest.param(SOURCES[1], marks=pytest.mark.long)])
def test_a_run_in_which_nothing_is_killed_is_no_failure_of_the_testbed(
    request: pytest.FixtureRequest, source: str
) -> None:
    if source == SOURCES[0]:
        shown = read_pipeline(path_of(request.node))
    else:
        shown = request.getfixturevalue("release_run")(lambda *_: None)
    causes = diagnose_pipeline(shown, PLANNED, version="0.5.0")

    assert shown.run.result == "success"
    assert Severity.TESTBED not in {cause.severity for cause in causes}
    assert {name for name in shown.index.files if name.endswith(".whl")}
