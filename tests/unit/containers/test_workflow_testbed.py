"""What a pipeline starts and reads, with a real repository and servers that do not run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pydantic
import pytest

from containers import images, workflow_testbed
from containers.engine import Engine
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush, WorkflowTestbed
from tests.helpers.sample_pipeline import KILLED, RUNNING, evidence, release, request
from tests.helpers.sample_testbed import ENGINE, HOSTS, image
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.forge import ForgeRequest
from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog
from verification.models.pipeline import Push
from verification.models.publisher import TrustedPublisher
from verification.models.workflow import Decision, Event, Workflow

RUN = SimpleNamespace(id="1")
PATH = ".github/workflows/publish.yml"
WORKFLOW = "name: Publish\non: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"
PUBLISHER = TrustedPublisher(
    project="quiverdb",
    owner="octo-org",
    owner_id="42",
    repository="quiver2",
    workflow="publish.yml",
    environment="pypi",
    pending=True,
)
OTHER = PUBLISHER.model_copy(update={"project": "other", "owner": "someone", "owner_id": "43"})
SETUP = IndexSetup(publishers=(PUBLISHER, OTHER), files=(Path("/store/a.whl"),))


def decide(_workflow: Workflow, _event: Event) -> Decision:
    return Decision(triggered=True, reason="a test")


# ---- the end of a run ----


def log_line(**values: object) -> ForgeRequest:
    fields = {"time": "2026-01-01T00:00:00Z", "client": "10.0.0.3"}
    return ForgeRequest.model_validate(fields | values)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return the client of the engine; it notes that it is closed."""
    made = SimpleNamespace(closed=False)
    made.close = lambda: setattr(made, "closed", True)
    monkeypatch.setattr(Engine, "client", lambda _: made)
    return made


def pipeline(**parts: Any) -> WorkflowTestbed:
    """Return a running pipeline with these parts."""
    values: dict[str, Any] = {
        "engine": ENGINE,
        "origin": SimpleNamespace(full_name="octo-org/quiver2"),
        "runner": SimpleNamespace(file=WorkflowFile(path=PATH)),
        "forge": SimpleNamespace(releases=lambda: (release(),), log=list, state=lambda: RUNNING),
        "index": SimpleNamespace(id="c1", state=lambda: RUNNING),
        "hosts": HOSTS,
        "pushes": (evidence().run.push,),
        "run_id": 5,
    }
    return WorkflowTestbed(**values | parts)


def test_the_evidence_is_what_the_servers_have(
    monkeypatch: pytest.MonkeyPatch, client: SimpleNamespace
) -> None:
    upload = request(upload=UploadLog(file="a.whl"))
    exchange = request(oidc=ExchangeLog(projects=("quiverdb",)))
    answered = {"status": 200, "complete": True}
    token = log_line(claims={"sub": "x"}, **answered)
    refused = log_line(refused="no permission", **answered)
    lost = log_line(method="GET", path="/x", status=503, complete=True)
    forge = SimpleNamespace(
        releases=lambda: (release(),),
        log=lambda: [lost, token, refused],
        state=lambda: RUNNING,
    )

    def read_files(engine: Engine, index: str, project: str) -> dict[str, bytes]:
        assert (engine, index, project) == (ENGINE, "c1", "quiverdb")
        return {"a.whl": b"a"}

    def read_log(of: object, index: str) -> list[IndexRequest]:
        assert (of, index) == (client, "c1")
        return [request(), exchange, upload]

    monkeypatch.setattr(workflow_testbed, "read_files", read_files)
    monkeypatch.setattr(workflow_testbed, "read_log", read_log)
    run = evidence().run
    result = pipeline(forge=forge).evidence(run, "quiverdb")
    assert result.run == run
    assert (result.repository, result.workflow) == ("octo-org/quiver2", PATH)
    assert result.releases == (release(),)
    assert result.tokens == (token, refused)
    assert result.index.files == {"a.whl": hashlib.sha256(b"a").hexdigest()}
    assert (result.index.uploads, result.index.exchanges) == ((upload,), (exchange,))
    assert [(server.name, server.state) for server in result.servers] == [
        ("forge", RUNNING),
        ("index", RUNNING),
    ]
    (failed,) = result.servers[0].failed_requests
    assert (failed.client, "503" in failed.observed) == ("10.0.0.3", True)
    assert result.servers[1].failed_requests == ()
    assert client.closed


def test_a_server_that_ended_is_not_read() -> None:
    killed = SimpleNamespace(id="c1", state=lambda: KILLED)
    result = pipeline(forge=killed, index=killed).evidence(evidence().run, "quiverdb")
    assert [server.state for server in result.servers] == [KILLED, KILLED]
    assert (result.releases, result.index.files) == ((), {})


def test_an_index_that_is_gone_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, client: SimpleNamespace
) -> None:
    def read_log(*_: object) -> list[IndexRequest]:
        raise TestbedFailure("index-unreachable", "index", "gone")

    monkeypatch.setattr(workflow_testbed, "read_log", read_log)
    with pytest.raises(TestbedFailure):
        pipeline().index_log()
    assert client.closed


def test_the_first_run_has_the_id_that_the_forge_knows() -> None:
    started: list[tuple[tuple[Push, ...], int]] = []

    def start(pushes: tuple[Push, ...], *, first_id: int) -> list[object]:
        started.append((pushes, first_id))
        return [evidence().run]

    running = pipeline(runner=SimpleNamespace(start=start))
    assert running.start() == [evidence().run]
    assert started == [(running.pushes, 5)]


# ---- the start ----


@dataclasses.dataclass
class Testbed:
    """What `start` makes, in its order, with the arguments; and what has ended."""

    __test__ = False

    made: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    ended: list[str] = dataclasses.field(default_factory=list)
    failing: str = ""

    def server(self, name: str) -> Any:
        """Return a class of servers that do not run."""
        bed = self

        class Server:
            environment = {  # noqa: RUF012  (of a server of the test)
                "GITHUB_TOKEN": "t",
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r",
            }
            id = name

            def __init__(self, *arguments: Any) -> None:
                bed.made[name] = arguments

            def __enter__(self) -> Self:
                if bed.failing == name:
                    raise TestbedFailure("machine-lost", name, "does not start")
                return self

            def __exit__(self, *_: object) -> None:
                bed.ended.append(name)

            def hosts(self) -> object:
                return HOSTS

        return Server


@pytest.fixture
def testbed(monkeypatch: pytest.MonkeyPatch) -> Testbed:
    bed = Testbed()

    @contextlib.contextmanager
    def network(engine: Engine, run: object) -> Iterator[SimpleNamespace]:
        assert (engine, run) == (ENGINE, RUN)
        bed.made["network"] = ()
        try:
            yield SimpleNamespace(name="closed", ca_certificate=b"PEM")
        finally:
            bed.ended.append("network")

    monkeypatch.setattr(workflow_testbed, "closed_network", network)
    monkeypatch.setattr(images, "ensure", lambda _, name: image(name))
    for name in ("UploadMachine", "Index", "Forge", "Runner"):
        monkeypatch.setattr(workflow_testbed, name, bed.server(name))
    return bed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / PATH).parent.mkdir(parents=True)
    (folder / PATH).write_text(WORKFLOW, "utf-8")
    return folder


def start(
    push: TagPush, setup: IndexSetup = SETUP
) -> contextlib.AbstractContextManager[WorkflowTestbed]:
    run: Any = RUN
    return workflow_testbed.start(ENGINE, run, push, WorkflowFile(path=PATH), setup, decide)


def test_everything_starts_on_the_network_and_ends_in_reverse(testbed: Testbed, root: Path) -> None:
    with start(TagPush(root=root, tags=("v1.0",))) as running:
        assert testbed.ended == ["UploadMachine"], "it only names the hosts"
        tree = running.origin.tree
        assert tree.is_dir()
    assert list(testbed.made) == ["network", "UploadMachine", "Index", "Forge", "Runner"]
    assert testbed.ended == ["UploadMachine", "Forge", "Index", "network"]
    assert not tree.exists()


def test_the_repository_belongs_to_the_owner_of_the_first_publisher(
    testbed: Testbed, root: Path
) -> None:
    with start(TagPush(root=root, tags=("v1.0", "v1.1"))) as running:
        assert running.origin.full_name == "octo-org/quiver2"
        first, second = running.pushes
    forge_image, _, repository, run = testbed.made["Forge"]
    assert forge_image == image("forge")
    assert (repository.owner, repository.name, repository.owner_id) == ("octo-org", "quiver2", 42)
    assert repository.branches == {repository.default_branch: first.sha}
    assert repository.tags == {"v1.0": first.sha, "v1.1": second.sha}
    assert repository.annotated == {"v1.0": first.object, "v1.1": second.object}
    assert (run.workflow, run.path) == ("Publish", PATH)
    assert (run.ref, run.sha, run.run_id) == ("refs/tags/v1.0", first.sha, running.run_id)


def test_a_plain_tag_has_no_tag_object(testbed: Testbed, root: Path) -> None:
    with start(TagPush(root=root, tags=("v1.0",), annotated=False)) as running:
        (push,) = running.pushes
    repository = testbed.made["Forge"][2]
    assert push.object == push.sha
    assert repository.tags == {"v1.0": push.sha}
    assert repository.annotated == {}


def test_the_index_trusts_the_forge_and_has_every_publisher(testbed: Testbed, root: Path) -> None:
    with start(TagPush(root=root, tags=("v1.0",))) as running:
        assert running.hosts == HOSTS
    index_image, network, hosts, contents, publishing = testbed.made["Index"]
    assert (index_image, network.name, hosts) == (image("index"), "closed", HOSTS)
    assert (contents.project, contents.files) == ("quiverdb", SETUP.files)
    assert publishing.publishers == (PUBLISHER, OTHER)
    assert publishing.issuers == ("https://token.actions.githubusercontent.com",)
    assert publishing.enabled


def test_jobs_run_on_the_network_and_ask_the_forge(testbed: Testbed, root: Path) -> None:
    with start(TagPush(root=root, tags=("v1.0",))) as running:
        origin = running.origin
    engine, run, pushed, environment, file, how = testbed.made["Runner"]
    assert (engine, run, pushed, how) == (ENGINE, RUN, origin, decide)
    assert file == WorkflowFile(path=PATH)
    assert (environment.network, environment.ca_certificate) == ("closed", "PEM")
    assert (environment.token, environment.identity_token) == ("t", "r")


def test_other_files_replace_some_of_the_repository(
    testbed: Testbed, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yml"
    other.write_text(WORKFLOW.replace("Publish", "Other"), "utf-8")
    push = TagPush(root=root, tags=("v1.0",), overlays={PATH: other})
    with start(push) as running:
        shown = subprocess.run(
            ("git", "-C", str(running.origin.bare), "show", f"v1.0:{PATH}"),
            capture_output=True,
            text=True,
            check=True,
        )
    assert shown.stdout.startswith("name: Other\n")
    assert testbed.made["Forge"][3].workflow == "Other"


def test_a_server_that_does_not_start_ends_those_before_it(testbed: Testbed, root: Path) -> None:
    testbed.failing = "Forge"
    with pytest.raises(TestbedFailure) as failure, start(TagPush(root=root, tags=("v1.0",))):
        pass
    assert failure.value.where == "Forge"
    assert testbed.ended == ["UploadMachine", "Index", "network"]


def test_a_folder_that_does_not_exist_starts_nothing(testbed: Testbed, tmp_path: Path) -> None:
    with pytest.raises(WrongUse), start(TagPush(root=tmp_path / "none", tags=("v1.0",))):
        pass
    assert testbed.made == {}


def test_the_models_refuse_an_unknown_field(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="other"):
        TagPush.model_validate({"root": tmp_path, "tags": ("v1.0",), "other": 1})
    with pytest.raises(pydantic.ValidationError, match="other"):
        IndexSetup.model_validate({"publishers": (PUBLISHER,), "other": 1})
