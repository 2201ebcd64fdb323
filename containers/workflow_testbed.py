"""The testbed of the release workflow: a closed network with index, forge and runner."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pydantic import Field

from containers import canary, images
from containers.engine import Engine, Run
from containers.forge import ISSUER, Forge, ForgeContents
from containers.index import (
    Index,
    IndexContents,
    TrustedPublishing,
    UploadMachine,
    read_files,
    read_log,
)
from containers.network import ClosedNetwork, closed_network
from containers.runner.environment import forge_environment
from containers.runner.event_payloads import BRANCH
from containers.runner.git_repository import GitRepository
from containers.runner.runs import Decide, Runner, WorkflowFile
from verification.models.base import Model
from verification.models.dispatch import (
    Dispatch,
    DispatchTarget,
    complete_inputs,
    dispatch_targets,
)
from verification.models.errors import WrongUse
from verification.models.forge import ForgeRelease, Repository, WorkflowRun
from verification.models.index_log import IndexRequest, LoggedRequest
from verification.models.pipeline import (
    FailedRequest,
    IndexRecord,
    PipelineEvidence,
    PipelineRun,
    RunEvent,
    Server,
)
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import EgressProof, IndexHosts
from verification.models.workflow_file import load

_REPOSITORY_ID = 1000002


EventKind = Literal["tag", "branch", "release", "workflow_dispatch"]
_MAX_RUNS = 10
"""The largest number of runs in a chain of dispatches."""


class StartingEvent(Model):
    """The event that starts the release. Its commit has the current files of a folder."""

    root: Path
    kind: EventKind = "tag"
    tags: tuple[str, ...] = ()
    """The tags that are pushed at once; the tag of a release. A dispatch runs on the first tag, or
    on the default branch if there is none."""
    annotated: bool = True
    inputs: Mapping[str, str] = {}
    """The inputs of a dispatch. The defaults of the workflow complete them."""
    prerelease: bool = False
    """Whether a release is a pre-release."""
    release_type: str = "published"
    """The type of the event of a release. GitHub sends several events for each release."""
    overlays: Mapping[str, Path] = {}
    """Replacements for files or folders of the repository, by their names in it."""


class IndexSetup(Model):
    """The trusted publishers of the index, its files before the run, and the secrets for it."""

    publishers: tuple[TrustedPublisher, ...] = Field(min_length=1)
    files: tuple[Path, ...] = ()
    token_secrets: frozenset[str] = frozenset()
    """The secrets of the repository that get an upload token of this index."""
    user_secrets: frozenset[str] = frozenset()
    """The secrets of the repository that get the user name of a token."""

    def secrets(self, token: str) -> dict[str, str]:
        """Return the secrets with their values. ``token`` is an upload token of the index."""
        users = dict.fromkeys(sorted(self.user_secrets), "__token__")
        return users | dict.fromkeys(sorted(self.token_secrets), token)


@dataclasses.dataclass(frozen=True)
class WorkflowTestbed:
    """The running parts of a release pipeline: repository, runner, forge and index."""

    engine: Engine
    repository: GitRepository
    runner: Runner
    forge: Forge
    index: Index
    hosts: IndexHosts
    events: tuple[RunEvent, ...]
    """The events that happened before the forge started."""
    run_id: int
    """The id of the first run."""
    egress: EgressProof
    """The proof that the jobs have no egress."""
    release: ForgeRelease | None = None
    """The release of an event `release`."""

    def start(self) -> list[PipelineRun]:
        """Run the workflow for the events. Then run what the jobs dispatched.

        The runs of the events come first, those of the dispatches follow in their order.
        """
        runs = self.runner.start(self.events, first_id=self.run_id, release=self.release)
        started = 0
        while not self.forge.state().failure and len(runs) < _MAX_RUNS:
            dispatches = self.forge.dispatches()[started:]
            if not dispatches:
                break
            for dispatch in dispatches:
                runs += self._dispatched(dispatch)
            started += len(dispatches)
        return runs

    def _dispatched(self, dispatch: Dispatch) -> list[PipelineRun]:
        """Run the workflow that a job dispatched."""
        event = self.repository.dispatch(dispatch.inputs, dispatch.ref, by_workflow=True)
        return self.runner.for_file(dispatch.path).start([event])

    def files(self, project: str) -> dict[str, bytes]:
        """Return the files of a project on the index, by name."""
        return read_files(self.engine, self.index.id, project)

    def evidence(
        self, run: PipelineRun, project: str, dispatched: Sequence[PipelineRun] = ()
    ) -> PipelineEvidence:
        """Return a run with the release pages, the files on the index and the logged requests.

        ``dispatched`` are the runs that its jobs dispatched. A request of a job that the forge does
        not serve is in the run as unsupported. If a server does not run any more, only its state
        is read.

        Raises:
            TestbedFailure: a running server cannot be read, or its log has an unknown format.
        """
        forge, index = self.forge.checked_state(), self.index.checked_state()
        index_requests = [] if index.failure else self.index_log()
        forge_requests = [] if forge.failure else self.forge.log()
        files = {} if index.failure else self.files(project)
        unsupported = {
            f"{line.job}: {line.unsupported}"
            for line in forge_requests
            if line.job and line.unsupported
        }
        return PipelineEvidence(
            run=run.model_copy(update={"unsupported": (*run.unsupported, *sorted(unsupported))}),
            dispatched=tuple(dispatched),
            repository=self.repository.full_name,
            workflow=self.runner.file.path,
            releases=() if forge.failure else self.forge.releases(),
            tokens=tuple(line for line in forge_requests if line.claims or line.refused),
            index=IndexRecord(
                files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
                uploads=tuple(line for line in index_requests if line.upload),
                exchanges=tuple(line for line in index_requests if line.oidc),
            ),
            servers=(
                Server(
                    name="forge",
                    state=forge,
                    failed_requests=_failed(forge_requests),
                    limits=self.forge.limits(),
                ),
                Server(
                    name="index",
                    state=index,
                    failed_requests=_failed(index_requests),
                    limits=self.index.limits(),
                ),
            ),
            egress=self.egress,
        )

    def index_log(self) -> list[IndexRequest]:
        """Return all requests that the index has answered, oldest first."""
        with contextlib.closing(self.engine.client()) as client:
            return read_log(client, self.index.id)


def _failed(requests: Iterable[LoggedRequest]) -> tuple[FailedRequest, ...]:
    return tuple(
        FailedRequest(client=line.client, observed=line.failure)
        for line in requests
        if line.failure
    )


@contextlib.contextmanager
def start(
    engine: Engine,
    run: Run,
    event: StartingEvent,
    workflow: WorkflowFile,
    setup: IndexSetup,
    decide: Decide,
) -> Iterator[WorkflowTestbed]:
    """Start the network and the servers, and cause the event. Remove all at the end.

    ``decide`` returns whether an event starts the workflow. The owner of the repository is that of
    the first publisher. The canary runs before the jobs.

    Raises:
        TestbedFailure: the engine, an image or a server fails. ``egress-open``: the network of the
            jobs is not closed.
        WrongUse: a folder, a tag, an input or the workflow file is invalid.
    """
    publisher = setup.publishers[0]
    with contextlib.ExitStack() as stack:
        repository = stack.enter_context(
            GitRepository(
                event.root,
                owner=publisher.owner,
                name=publisher.repository,
                overlays=event.overlays,
            )
        )
        for path, text in workflow.texts.items():  # the commit keeps the files of the folder
            (repository.tree / path).write_text(text, "utf-8")
        targets = dispatch_targets(repository.tree)
        events = _events(repository, event, workflow.path, targets)
        release = _release(event) if event.kind == "release" else None
        network = stack.enter_context(closed_network(engine, run))
        publisher_image = images.ensure(engine, "publisher")
        pool = stack.enter_context(ThreadPoolExecutor(1))
        proof = pool.submit(canary.prove_closed, network, publisher_image)
        with UploadMachine(publisher_image, network) as upload_machine:
            hosts = upload_machine.hosts()
        index = stack.enter_context(_index(engine, network, hosts, setup))
        run_id = int(time.time())
        forge = stack.enter_context(
            Forge(
                images.ensure(engine, "forge"),
                network,
                _repository(repository, int(publisher.owner_id)),
                WorkflowRun(
                    workflow=load(repository.tree / workflow.path).name,
                    path=workflow.path,
                    ref=events[0].ref,
                    sha=events[0].sha,
                    event_name=events[0].name,
                    run_id=run_id,
                ),
                ForgeContents(
                    workflows=targets,
                    releases=(release,) if release else (),
                    bare=repository.bare,
                ),
            )
        )
        environment = forge_environment(
            forge,
            network=network.name,
            ca_certificate=network.ca_certificate.decode(),
            secrets=setup.secrets(index.password),
        )
        runner = Runner(engine, run, repository, environment, workflow, decide)
        yield WorkflowTestbed(
            engine, repository, runner, forge, index, hosts, events, run_id, proof.result(), release
        )


def _events(
    repository: GitRepository,
    event: StartingEvent,
    workflow: str,
    targets: Iterable[DispatchTarget],
) -> tuple[RunEvent, ...]:
    """Cause the event in the repository.

    Raises:
        WrongUse: a tag or an input is invalid, or a release has no tag.
    """
    if not event.tags and event.kind in ("tag", "release"):
        raise WrongUse(f"the event {event.kind} needs a tag")
    match event.kind:
        case "tag":
            return tuple(repository.tag(tag, annotated=event.annotated) for tag in event.tags)
        case "branch":
            return (repository.push_branch(),)
        case "release":
            return (repository.release(event.tags[0], event.release_type),)
        case "workflow_dispatch":
            target = next((target for target in targets if target.path == workflow), None)
            inputs, refusal = complete_inputs(target.inputs, event.inputs) if target else ({}, "")
            if refusal:
                raise WrongUse(f"{workflow}: {refusal}")
            ref = f"refs/tags/{event.tags[0]}" if event.tags else f"refs/heads/{BRANCH}"
            return (repository.dispatch(inputs, ref),)


def _release(event: StartingEvent) -> ForgeRelease:
    """Return the release that a user created on the release page."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return ForgeRelease(
        id=1,
        tag=event.tags[0],
        target=BRANCH,
        name=event.tags[0],
        body="The notes of the release.",
        draft=False,
        prerelease=event.prerelease,
        latest=not event.prerelease,
        created_at=now,
        published_at=now,
        assets=(),
    )


def _index(engine: Engine, network: ClosedNetwork, hosts: IndexHosts, setup: IndexSetup) -> Index:
    publishers = setup.publishers
    return Index(
        images.ensure(engine, "index"),
        network,
        hosts,
        IndexContents(project=publishers[0].project, files=setup.files),
        TrustedPublishing(
            publishers=publishers,
            issuers=(ISSUER,),
            signing=True,
        ),
    )


def _repository(repository: GitRepository, owner_id: int) -> Repository:
    pushes = repository.pushes.values()
    return Repository(
        owner=repository.owner,
        name=repository.name,
        id=_REPOSITORY_ID,
        owner_id=owner_id,
        default_branch=BRANCH,
        branches={BRANCH: repository.sha},
        tags={push.tag: push.sha for push in pushes},
        annotated={push.tag: push.object for push in pushes if push.annotated},
    )
