"""The testbed of the release workflow: a closed network with index, forge and runner."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import Field

from containers import images
from containers.engine import Engine, Run
from containers.forge import ISSUER, Forge
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
from containers.runner.git_repository import BRANCH, GitRepository
from containers.runner.runs import Decide, Runner, WorkflowFile
from verification.models.base import Model
from verification.models.forge import Repository, WorkflowRun
from verification.models.index_log import IndexRequest, LoggedRequest
from verification.models.pipeline import (
    FailedRequest,
    IndexRecord,
    PipelineEvidence,
    PipelineRun,
    Push,
    Server,
)
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import IndexHosts
from verification.models.workflow_file import load

_REPOSITORY_ID = 1000002


class TagPush(Model):
    """Tags of one push. Their commit has the current files of a folder."""

    root: Path
    tags: tuple[str, ...]
    annotated: bool = True
    overlays: Mapping[str, Path] = {}
    """Replacements for files or folders of the repository, by their names in it."""


class IndexSetup(Model):
    """The trusted publishers of the index, at least one, and its files before the run."""

    publishers: tuple[TrustedPublisher, ...] = Field(min_length=1)
    files: tuple[Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class WorkflowTestbed:
    """The running parts of a release pipeline: repository, runner, forge and index."""

    engine: Engine
    repository: GitRepository
    runner: Runner
    forge: Forge
    index: Index
    hosts: IndexHosts
    pushes: tuple[Push, ...]
    """The tags that were pushed before the forge started."""
    run_id: int
    """The id of the first run."""

    def start(self) -> list[PipelineRun]:
        """Run the workflow for the tags that were pushed."""
        return self.runner.start(self.pushes, first_id=self.run_id)

    def files(self, project: str) -> dict[str, bytes]:
        """Return the files of a project on the index, by name."""
        return read_files(self.engine, self.index.id, project)

    def evidence(self, run: PipelineRun, project: str) -> PipelineEvidence:
        """Return a run with the release pages, the files on the index and the logged requests.

        If a server does not run any more, only its state is read.

        Raises:
            TestbedFailure: a running server cannot be read, or its log has an unknown format.
        """
        forge, index = self.forge.state(), self.index.state()
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
                Server(name="forge", state=forge, failed_requests=_failed(forge_requests)),
                Server(name="index", state=index, failed_requests=_failed(index_requests)),
            ),
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
    push: TagPush,
    workflow: WorkflowFile,
    setup: IndexSetup,
    decide: Decide,
) -> Iterator[WorkflowTestbed]:
    """Start the network and the servers, and push the tags at once. Remove all at the end.

    ``decide`` returns whether an event starts the workflow. The owner of the repository is that of
    the first publisher.

    Raises:
        TestbedFailure: the engine, an image or a server fails.
        WrongUse: a folder, a tag or the workflow file is invalid.
    """
    publisher = setup.publishers[0]
    with contextlib.ExitStack() as stack:
        repository = stack.enter_context(
            GitRepository(
                push.root,
                owner=publisher.owner,
                name=publisher.repository,
                overlays=push.overlays,
            )
        )
        pushes = tuple(repository.tag(tag, annotated=push.annotated) for tag in push.tags)
        network = stack.enter_context(closed_network(engine, run))
        with UploadMachine(images.ensure(engine, "publisher"), network) as upload_machine:
            hosts = upload_machine.hosts()
        index = stack.enter_context(_index(engine, network, hosts, setup))
        run_id = int(time.time())
        forge = stack.enter_context(
            Forge(
                images.ensure(engine, "forge"),
                network,
                _repository(repository, pushes, int(publisher.owner_id)),
                WorkflowRun(
                    workflow=load(repository.tree / workflow.path).name,
                    path=workflow.path,
                    ref=pushes[0].ref,
                    sha=pushes[0].sha,
                    run_id=run_id,
                ),
                bare=repository.bare,
            )
        )
        environment = forge_environment(
            forge, network=network.name, ca_certificate=network.ca_certificate.decode()
        )
        runner = Runner(engine, run, repository, environment, workflow, decide)
        yield WorkflowTestbed(engine, repository, runner, forge, index, hosts, pushes, run_id)


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
        ),
    )


def _repository(repository: GitRepository, pushes: tuple[Push, ...], owner_id: int) -> Repository:
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
