"""The pipeline: a closed network with the index, the forge and the workflow's runner."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from containers import forge as forges
from containers import images
from containers.engine import Engine, Run
from containers.forge import Forge, JobIdentity
from containers.index import (
    Index,
    IndexContents,
    TrustedPublishing,
    UploadMachine,
    read_files,
    read_log,
)
from containers.network import closed_network
from containers.runner import Origin, PipelineRun, Push, Runner, Site, with_forge
from containers.runner.origin import BRANCH
from containers.runner.runs import SECONDS, WORKFLOW
from verification.models.testbed import IndexHosts
from verification.models.workflow import load
from verification.pipeline import publishers
from verification.pipeline.publishers import Publisher as TrustedPublisher

_REPOSITORY_ID = 1000002


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A running pipeline: what to push to, and who tells what came of it."""

    engine: Engine
    run: Run
    origin: Origin
    runner: Runner
    forge: Forge
    index: Index
    hosts: IndexHosts
    pushes: tuple[Push, ...]
    """The tags that were pushed when the forge began."""

    def start(self) -> list[PipelineRun]:
        """Run the workflow for the tags that were pushed."""
        return self.runner.start(self.pushes)

    def evidence(self, shown: PipelineRun, project: str) -> dict[str, Any]:
        """Return what the run left behind, as data for JSON: release page, index and requests."""
        files = read_files(self.engine, self.index.id, project)
        log = self.index_log()
        return {
            "run": shown.to_dict()
            | {"push": dataclasses.asdict(shown.push) | {"ref": shown.push.ref}},
            "repository": self.origin.full_name,
            "workflow": self.runner.path,
            "releases": [dataclasses.asdict(release) for release in self.forge.releases()],
            "tokens": [line for line in self.forge.log() if "claims" in line or "refused" in line],
            "index": {
                "files": {n: hashlib.sha256(data).hexdigest() for n, data in files.items()},
                "uploads": [line for line in log if "upload" in line],
                "exchanges": [line for line in log if "oidc" in line],
            },
        }

    def index_log(self) -> list[dict[str, Any]]:
        """Return every request that the index got so far, oldest first."""
        with contextlib.closing(self.engine.client()) as client:
            return read_log(client, self.index.id)


@contextlib.contextmanager
def start(
    engine: Engine,
    run: Run,
    root: Path,
    tags: Sequence[str],
    *,
    annotated: bool = True,
    overlays: Mapping[str, Path] | None = None,
    registered: Sequence[TrustedPublisher] | None = None,
    store: Sequence[Path] = (),
    actions_from: Path | None = None,
    workflow: str = WORKFLOW,
    seconds: int = SECONDS,
) -> Iterator[Pipeline]:
    """Set up everything, push ``tags`` at once to a clone of ``root``, and remove all at the end.

    ``overlays`` puts other files in place of some of the repository's (`Origin`); ``registered``
    are the trusted publishers of the index (those of ``publishers.toml``); ``store`` are files that
    the index has from the start.

    Raises:
        TestbedFailure: the engine, an image or a server is not as needed.
        WrongUse: a folder, a tag or the workflow file is not as it should be.
    """
    known = publishers.load() if registered is None else tuple(registered)
    whose = known[0]
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(
            Origin(root, owner=whose.owner, name=whose.repository, overlays=overlays)
        )
        pushes = tuple(origin.tag(tag, annotated=annotated) for tag in tags)
        name = load(origin.tree / workflow).name
        network = stack.enter_context(closed_network(engine, run))
        with UploadMachine(images.ensure(engine, "publisher"), network) as upload_machine:
            hosts = upload_machine.hosts()
        index = stack.enter_context(
            Index(
                images.ensure(engine, "index"),
                network,
                hosts,
                IndexContents(project=whose.project, files=tuple(store)),
                TrustedPublishing(
                    publishers=tuple(p.form() for p in known if not p.pending),
                    pending_publishers=tuple(p.form() for p in known if p.pending),
                    issuers=(forges.ISSUER,),
                ),
            )
        )
        run_id = int(time.time())
        forge = stack.enter_context(
            Forge(
                images.ensure(engine, "forge"),
                network,
                forges.Repository(
                    owner=origin.owner,
                    name=origin.name,
                    id=_REPOSITORY_ID,
                    owner_id=int(whose.owner_id),
                    default_branch=BRANCH,
                    branches={BRANCH: origin.sha},
                    tags={push.tag: push.sha for push in pushes},
                    annotated={push.tag: push.object for push in pushes if push.annotated},
                ),
                forges.WorkflowRun(
                    workflow=name,
                    path=workflow,
                    ref=pushes[0].ref,
                    sha=pushes[0].sha,
                    run_id=run_id,
                ),
            )
        )
        site: Site = with_forge(
            forge,
            JobIdentity,
            network=network.name,
            authority=network.ca_certificate.decode(),
        )
        runner = Runner(
            engine,
            run,
            origin,
            site,
            workflow=workflow,
            actions_from=actions_from,
            seconds=seconds,
            run_id=run_id,
        )
        yield Pipeline(engine, run, origin, runner, forge, index, hosts, pushes)
