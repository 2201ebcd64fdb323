"""Sample evidence of a successful run of the release workflow, and functions that change it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from verification.models.base import Model
from verification.models.forge import ForgeAsset, ForgeRelease
from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog
from verification.models.pipeline import (
    BuiltWheel,
    IndexRecord,
    JobRun,
    LivePublisherCheck,
    PipelineEvidence,
    PipelineResult,
    PipelineRun,
    RunEvent,
    Server,
    ServerName,
    StepRun,
    WorkflowArtifact,
)
from verification.models.testbed import ContainerState
from verification.models.verdict import Verdict
from verification.models.workflow_file import load

LINUX = "quiverdb-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS = "quiverdb-1.2.0-cp313-cp313-win_amd64.whl"
BUILT = {LINUX: "a" * 64, WINDOWS: "b" * 64}
SPANS = {
    "build": (0.0, 10.0),
    "merge": (11.0, 12.0),
    "validate": (13.0, 14.0),
    "release": (15.0, 17.0),
    "publish": (15.5, 18.0),
}
ADDRESS = "10.0.0.3"
"""The address of the container of each job. The requests to the servers come from it."""
ACTIONS = {
    "build": "pypa/cibuildwheel@v4",
    "merge": "actions/upload-artifact/merge@v7",
    "release": "softprops/action-gh-release@v3",
    "publish": "pypa/gh-action-pypi-publish@v1",
}
"""The GitHub action that the step of a job uses, by job. Steps of other jobs run a command."""
PUBLISH = load(Path(__file__).parents[2] / ".github" / "workflows" / "publish.yml")
"""The release workflow of quiverdb."""
RUNNING = ContainerState(status="running")
KILLED = ContainerState(status="exited", exit_code=137)
IDENTITY = {"ref": "refs/tags/v1.2.0", "sha": "c" * 40, "publisher": "publish.yml"}
AnyModel = TypeVar("AnyModel", bound=Model)


def changed(model: AnyModel, **values: object) -> AnyModel:
    """Return a validated copy of a model with other values."""
    return type(model).model_validate({**dict(model), **values})


def job(name: str, span: tuple[float, float] = (0.0, 1.0)) -> JobRun:
    """Return a job that passed."""
    return JobRun(
        id=name,
        name=name.capitalize(),
        label="ubuntu-latest",
        result="success",
        started=span[0],
        ended=span[1],
        address=ADDRESS,
        container_state=RUNNING,
        permissions={"id-token": "write"},
        steps=(
            StepRun(name="Work", uses=ACTIONS.get(name), line=7, result="success", log=("done",)),
        ),
    )


def failed(run: JobRun, *log: str, exit_code: int | None = 1) -> JobRun:
    """Return a job whose step failed. ``log`` has the lines of its command."""
    values = {"result": "failure", "exit_code": exit_code, "log": log or ("::error::no",)}
    step = changed(run.steps[0], **values)
    return changed(run, result="failure", steps=(step,))


def request(*, upload: UploadLog | None = None, oidc: ExchangeLog | None = None) -> IndexRequest:
    """Return a line of the index's log."""
    return IndexRequest(
        time="2026-01-01T00:00:00Z",
        client=ADDRESS,
        status=200,
        complete=True,
        upload=upload,
        oidc=oidc,
    )


def release() -> ForgeRelease:
    """Return a release page with both wheels."""
    return ForgeRelease(
        id=1,
        tag="v1.2.0",
        target="main",
        name="v1.2.0",
        body="What's changed",
        draft=False,
        prerelease=False,
        latest=True,
        created_at="2026-01-01T00:00:00Z",
        published_at="2026-01-01T00:00:00Z",
        assets=tuple(
            ForgeAsset(
                id=number,
                name=name,
                label=None,
                size=10,
                sha256=digest,
                content_type="application/octet-stream",
            )
            for number, (name, digest) in enumerate(BUILT.items())
        ),
    )


def evidence() -> PipelineEvidence:
    """Return the evidence of a successful release."""
    return PipelineEvidence(
        run=PipelineRun(
            event=RunEvent(
                tag="v1.2.0",
                ref="refs/tags/v1.2.0",
                annotated=True,
                sha="c" * 40,
                object="d" * 40,
                source="commit",
            ),
            run_id=5,
            attempt=1,
            triggered=True,
            decision="v1.2.0 matches v*.*.*",
            result="success",
            jobs=tuple(job(name, span) for name, span in SPANS.items()),
            artifacts=(WorkflowArtifact(name="dist", files=BUILT),),
            wheels=tuple(
                BuiltWheel(name=name, sha256=digest, platform="linux", reused=False, seconds=1)
                for name, digest in BUILT.items()
            ),
            actions=(),
            unsupported=(),
            stand_ins=(),
            seconds=18.04,
            act="act 1",
        ),
        repository="quiverdb-e2e-owner/quiver2",
        workflow=".github/workflows/publish.yml",
        releases=(release(),),
        tokens=(),
        index=IndexRecord(
            files=BUILT,
            uploads=tuple(
                request(upload=UploadLog(file=name, identity=IDENTITY, attestations=1))
                for name in BUILT
            ),
            exchanges=(request(oidc=ExchangeLog(identity=IDENTITY, projects=("quiverdb",))),),
        ),
        servers=(Server(name="forge", state=RUNNING), Server(name="index", state=RUNNING)),
    )


def result(**values: object) -> PipelineResult:
    """Return the result of a successful release, with other values."""
    successful = PipelineResult(
        static=(),
        evidence=evidence(),
        dynamic=(),
        live=LivePublisherCheck(verdict=Verdict.VERIFIED),
        workflow=PUBLISH,
    )
    return changed(successful, **values)


def with_run(base: PipelineEvidence, **values: object) -> PipelineEvidence:
    """Return evidence with other values of the run."""
    return changed(base, run=changed(base.run, **values))


def with_event(base: PipelineEvidence, **values: object) -> PipelineEvidence:
    """Return evidence with other values of the event."""
    return with_run(base, event=changed(base.run.event, **values))


def with_job(base: PipelineEvidence, name: str, **values: object) -> PipelineEvidence:
    """Return evidence with other values of a job."""
    runs = base.run.jobs
    return with_run(
        base, jobs=tuple(changed(run, **values) if run.id == name else run for run in runs)
    )


def with_failed(
    base: PipelineEvidence, name: str, *log: str, exit_code: int | None = 1
) -> PipelineEvidence:
    """Return evidence in which the step of a job failed. ``log`` has the lines of its command."""
    jobs = (
        failed(run, *log, exit_code=exit_code) if run.id == name else run for run in base.run.jobs
    )
    return with_run(base, jobs=tuple(jobs))


def with_server(base: PipelineEvidence, name: ServerName, **values: object) -> PipelineEvidence:
    """Return evidence with other values of a server."""
    servers = (
        changed(server, **values) if server.name == name else server for server in base.servers
    )
    return changed(base, servers=tuple(servers))


def with_artifact(base: PipelineEvidence, files: dict[str, str]) -> PipelineEvidence:
    """Return evidence with other files in the artifact."""
    return with_run(base, artifacts=(WorkflowArtifact(name="dist", files=files),))


def with_release(base: PipelineEvidence, **values: object) -> PipelineEvidence:
    """Return evidence with other values of the release page."""
    return changed(base, releases=(changed(base.releases[0], **values),))


def with_index(base: PipelineEvidence, **values: object) -> PipelineEvidence:
    """Return evidence with other values of the index."""
    return changed(base, index=changed(base.index, **values))


def with_upload(base: PipelineEvidence, **values: object) -> PipelineEvidence:
    """Return evidence with other values of the first upload."""
    first, *others = base.index.upload_logs
    logs = (changed(first, **values), *others)
    return with_index(base, uploads=tuple(request(upload=log) for log in logs))
