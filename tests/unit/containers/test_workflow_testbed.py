"""The start and the evidence of a pipeline, with a real repository and fake servers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pydantic
import pytest

from containers import images, workflow_testbed
from containers.engine import Engine
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent, WorkflowTestbed
from tests.helpers.sample_pipeline import KILLED, RUNNING, evidence, release, request
from tests.helpers.sample_testbed import ENGINE, HOSTS, image
from verification.models.dispatch import Dispatch
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.forge import ForgeRequest
from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog
from verification.models.pipeline import RunEvent
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import EgressProof
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


def test_secrets_get_a_token_and_the_user_name_of_tokens() -> None:
    setup = SETUP.model_copy(
        update={"token_secrets": frozenset({"B", "A"}), "user_secrets": frozenset({"NAME"})}
    )
    assert setup.secrets("pypi-x") == {"A": "pypi-x", "B": "pypi-x", "NAME": "__token__"}


# ---- the evidence of a run ----


def forge_request(**values: object) -> ForgeRequest:
    fields = {"time": "2026-01-01T00:00:00Z", "client": "10.0.0.3"}
    return ForgeRequest.model_validate(fields | values)


PROOF = EgressProof(not_proved="a fake")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replace the engine's client by a fake that records that it is closed. Return the fake."""
    client = SimpleNamespace(closed=False)
    client.close = lambda: setattr(client, "closed", True)
    monkeypatch.setattr(Engine, "client", lambda _: client)
    return client


def pipeline(**parts: Any) -> WorkflowTestbed:
    """Return a workflow testbed with these parts. The other parts are fakes."""
    values: dict[str, Any] = {
        "engine": ENGINE,
        "repository": SimpleNamespace(full_name="octo-org/quiver2"),
        "runner": SimpleNamespace(file=WorkflowFile(path=PATH)),
        "forge": SimpleNamespace(
            releases=lambda: (release(),),
            log=list,
            checked_state=lambda: RUNNING,
            limits=lambda: None,
        ),
        "index": SimpleNamespace(id="c1", checked_state=lambda: RUNNING, limits=lambda: None),
        "hosts": HOSTS,
        "events": (evidence().run.event,),
        "run_id": 5,
        "egress": PROOF,
    }
    return WorkflowTestbed(**values | parts)


def test_evidence_has_the_data_of_both_servers(
    monkeypatch: pytest.MonkeyPatch, client: SimpleNamespace
) -> None:
    upload = request(upload=UploadLog(file="a.whl"))
    exchange = request(oidc=ExchangeLog(projects=("quiverdb",)))
    answered = {"status": 200, "complete": True}
    token = forge_request(claims={"sub": "x"}, **answered)
    refused = forge_request(refused="no permission", **answered)
    failed = forge_request(method="GET", path="/x", status=503, complete=True)
    forge = SimpleNamespace(
        releases=lambda: (release(),),
        log=lambda: [failed, token, refused],
        checked_state=lambda: RUNNING,
        limits=lambda: None,
    )

    def read_files(engine: Engine, index: str, project: str) -> dict[str, bytes]:
        assert (engine, index, project) == (ENGINE, "c1", "quiverdb")
        return {"a.whl": b"a"}

    def read_log(engine_client: object, index: str) -> list[IndexRequest]:
        assert (engine_client, index) == (client, "c1")
        return [request(), exchange, upload]

    monkeypatch.setattr(workflow_testbed, "read_files", read_files)
    monkeypatch.setattr(workflow_testbed, "read_log", read_log)
    run = evidence().run
    result = pipeline(forge=forge).evidence(run, "quiverdb")
    assert result.run == run
    assert (result.repository, result.workflow) == ("octo-org/quiver2", PATH)
    assert result.releases == (release(),)
    assert result.tokens == (token, refused)
    assert result.egress == PROOF
    assert result.index.files == {"a.whl": hashlib.sha256(b"a").hexdigest()}
    assert (result.index.uploads, result.index.exchanges) == ((upload,), (exchange,))
    assert [(server.name, server.state) for server in result.servers] == [
        ("forge", RUNNING),
        ("index", RUNNING),
    ]
    (failed_request,) = result.servers[0].failed_requests
    assert (failed_request.client, "503" in failed_request.observed) == ("10.0.0.3", True)
    assert result.servers[1].failed_requests == ()
    assert client.closed


@pytest.mark.usefixtures("client")
def test_unsupported_requests_of_jobs_are_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_testbed, "read_files", lambda *_: {})
    monkeypatch.setattr(workflow_testbed, "read_log", lambda *_: [])
    push = forge_request(job="release", unsupported="git push")
    other = forge_request(unsupported="the repository x/y")
    log = lambda: [push, push, other, forge_request(job="build")]  # noqa: E731
    forge = SimpleNamespace(
        releases=tuple, log=log, checked_state=lambda: RUNNING, limits=lambda: None
    )
    run = evidence().run
    result = pipeline(forge=forge).evidence(run, "quiverdb")
    assert result.run.unsupported == (*run.unsupported, "release: git push")


def test_evidence_of_ended_servers_has_only_their_states() -> None:
    killed = SimpleNamespace(id="c1", checked_state=lambda: KILLED, limits=lambda: None)
    result = pipeline(forge=killed, index=killed).evidence(evidence().run, "quiverdb")
    assert [server.state for server in result.servers] == [KILLED, KILLED]
    assert (result.releases, result.index.files) == ((), {})


def test_lost_index_is_a_testbed_failure_and_closes_the_client(
    monkeypatch: pytest.MonkeyPatch, client: SimpleNamespace
) -> None:
    def read_log(*_: object) -> list[IndexRequest]:
        raise TestbedFailure("index-unreachable", "index", "gone")

    monkeypatch.setattr(workflow_testbed, "read_log", read_log)
    with pytest.raises(TestbedFailure):
        pipeline().index_log()
    assert client.closed


def test_first_run_has_the_id_of_the_forge() -> None:
    calls: list[tuple[tuple[RunEvent, ...], int]] = []

    def start_runs(events: tuple[RunEvent, ...], *, first_id: int, release: object) -> list[object]:
        assert release is None
        calls.append((events, first_id))
        return [evidence().run]

    forge = SimpleNamespace(state=lambda: RUNNING, dispatches=tuple)
    testbed = pipeline(runner=SimpleNamespace(start=start_runs), forge=forge)
    assert testbed.start() == [evidence().run]
    assert calls == [(testbed.events, 5)]


def test_dispatches_of_jobs_start_further_runs() -> None:
    dispatches = [
        Dispatch(path="one.yml", ref="refs/heads/main", inputs={"a": "1"}, job="release"),
        Dispatch(path="two.yml", ref="refs/tags/v1", job="one"),
    ]
    requested = [dispatches[:1], dispatches, dispatches]
    started: list[str] = []

    def start_runs(events: list[str], **_: object) -> list[object]:
        started.extend(events)
        return [evidence().run] * len(events)

    runner = SimpleNamespace(start=start_runs)
    runner.for_file = lambda path: SimpleNamespace(
        start=lambda events: start_runs([f"{path} {event}" for event in events])
    )
    repository = SimpleNamespace(
        dispatch=lambda inputs, ref, by_workflow: (dict(inputs), ref, by_workflow)
    )
    forge = SimpleNamespace(state=lambda: RUNNING, dispatches=lambda: requested.pop(0))
    parts = {"runner": runner, "repository": repository, "forge": forge, "events": ("push",)}
    assert len(pipeline(**parts).start()) == 3
    assert started == [
        "push",
        "one.yml ({'a': '1'}, 'refs/heads/main', True)",
        "two.yml ({}, 'refs/tags/v1', True)",
    ]


def test_workflow_that_dispatches_itself_ends() -> None:
    run = evidence().run
    dispatches = [Dispatch(path="one.yml", ref="refs/heads/main")] * 100
    runner = SimpleNamespace(start=lambda *_, **__: [run])
    runner.for_file = lambda _: runner
    repository = SimpleNamespace(dispatch=lambda *_, **__: "event")
    taken: list[int] = []

    def requested() -> list[Dispatch]:
        taken.append(0)
        return dispatches[: len(taken)]

    forge = SimpleNamespace(state=lambda: RUNNING, dispatches=requested)
    assert len(pipeline(runner=runner, repository=repository, forge=forge).start()) == 10


# ---- the start ----


@dataclasses.dataclass
class StartLog:
    """The parts of a testbed that `start` made, with arguments, and the parts that ended."""

    arguments: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    ended: list[str] = dataclasses.field(default_factory=list)
    bare: Path | None = None
    """The bare repository that a part got."""
    failing: str = ""
    """The name of the part that fails to start; empty if all start."""

    def server_class(self, name: str) -> Any:
        """Return a class of fake servers. They log their start and end under this name."""
        log = self

        class Server:
            password = "pypi-x"  # noqa: S105
            environment = {  # noqa: RUF012  (only the tests use it)
                "GITHUB_TOKEN": "t",
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r",
            }
            id = name

            def __init__(self, *arguments: Any, bare: Path | None = None) -> None:
                log.arguments[name] = arguments
                log.bare = log.bare or bare

            def __enter__(self) -> Self:
                if log.failing == name:
                    raise TestbedFailure("machine-lost", name, "cannot start")
                return self

            def __exit__(self, *_: object) -> None:
                log.ended.append(name)

            def hosts(self) -> object:
                return HOSTS

        return Server


def replace_servers(monkeypatch: pytest.MonkeyPatch) -> StartLog:
    """Replace the network and the servers by fakes. Return the log of their starts."""
    log = StartLog()

    @contextlib.contextmanager
    def network(engine: Engine, run: object) -> Iterator[SimpleNamespace]:
        assert (engine, run) == (ENGINE, RUN)
        log.arguments["network"] = ()
        try:
            yield SimpleNamespace(name="closed", ca_certificate=b"PEM")
        finally:
            log.ended.append("network")

    monkeypatch.setattr(workflow_testbed, "closed_network", network)
    monkeypatch.setattr("containers.canary.prove_closed", lambda *_: PROOF)
    monkeypatch.setattr(images, "ensure", lambda _, name: image(name))
    for name in ("UploadMachine", "Index", "Forge", "Runner"):
        monkeypatch.setattr(workflow_testbed, name, log.server_class(name))
    return log


@pytest.fixture
def start_log(monkeypatch: pytest.MonkeyPatch) -> StartLog:
    return replace_servers(monkeypatch)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / PATH).parent.mkdir(parents=True)
    (folder / PATH).write_text(WORKFLOW, "utf-8")
    return folder


@dataclasses.dataclass(frozen=True)
class Started:
    """A testbed that was started and has ended, and the log of its parts."""

    testbed: WorkflowTestbed
    log: StartLog
    ended_before: list[str]
    """The parts that had ended before the end of the testbed."""


@pytest.fixture(scope="module")
def started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Start and end a testbed with two tags and an overlay. Tests share it and only read it."""
    overlay = tmp_path_factory.mktemp("overlay") / "publish.yml"
    overlay.write_text(WORKFLOW.replace("Publish", "Overlay"), "utf-8")
    push = StartingEvent(root=root, tags=("v1.0", "v1.1"), overlays={PATH: overlay})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("QUIVERDB_E2E_STATE", str(tmp_path_factory.mktemp("state")))
        log = replace_servers(monkeypatch)
        with start(push) as testbed:
            assert testbed.repository.tree.is_dir()
            ended_before = list(log.ended)
        yield Started(testbed, log, ended_before)


def start(
    push: StartingEvent, setup: IndexSetup = SETUP
) -> contextlib.AbstractContextManager[WorkflowTestbed]:
    run: Any = RUN
    return workflow_testbed.start(ENGINE, run, push, WorkflowFile(path=PATH), setup, decide)


def test_parts_end_in_the_reverse_order_of_their_start(started: Started) -> None:
    assert list(started.log.arguments) == ["network", "UploadMachine", "Index", "Forge", "Runner"]
    assert started.ended_before == ["UploadMachine"], "it only returns the hosts"
    assert started.log.ended == ["UploadMachine", "Forge", "Index", "network"]
    assert not started.testbed.repository.tree.exists()


def test_network_of_the_jobs_is_proved_closed(started: Started) -> None:
    assert started.testbed.egress == PROOF


def test_repository_belongs_to_the_owner_of_the_first_publisher(started: Started) -> None:
    testbed = started.testbed
    assert testbed.repository.full_name == "octo-org/quiver2"
    first, second = testbed.events
    forge_image, _, repository, run, _ = started.log.arguments["Forge"]
    assert forge_image == image("forge")
    assert (repository.owner, repository.name, repository.owner_id) == ("octo-org", "quiver2", 42)
    assert repository.branches == {repository.default_branch: first.sha}
    assert repository.tags == {"v1.0": first.sha, "v1.1": second.sha}
    assert repository.annotated == {"v1.0": first.object, "v1.1": second.object}
    assert (run.workflow, run.path) == ("Overlay", PATH), "the overlay replaces the workflow file"
    assert (run.ref, run.sha, run.run_id) == ("refs/tags/v1.0", first.sha, testbed.run_id)


def test_lightweight_tag_has_no_tag_object(start_log: StartLog, root: Path) -> None:
    with start(StartingEvent(root=root, tags=("v1.0",), annotated=False)) as testbed:
        (push,) = testbed.events
    repository = start_log.arguments["Forge"][2]
    assert push.object == push.sha
    assert repository.tags == {"v1.0": push.sha}
    assert repository.annotated == {}


def test_index_trusts_the_forge_and_has_all_publishers(started: Started) -> None:
    assert started.testbed.hosts == HOSTS
    index_image, network, hosts, contents, publishing = started.log.arguments["Index"]
    assert (index_image, network.name, hosts) == (image("index"), "closed", HOSTS)
    assert (contents.project, contents.files) == ("quiverdb", SETUP.files)
    assert publishing.publishers == (PUBLISHER, OTHER)
    assert publishing.issuers == ("https://token.actions.githubusercontent.com",)
    assert publishing.enabled


def test_runner_has_the_network_and_the_tokens_of_the_forge(started: Started) -> None:
    engine, run, repository, environment, file, decide_event = started.log.arguments["Runner"]
    assert (engine, run, decide_event) == (ENGINE, RUN, decide)
    assert repository is started.testbed.repository
    assert file == WorkflowFile(path=PATH)
    assert (environment.network, environment.ca_certificate) == ("closed", "PEM")
    assert (environment.token, environment.identity_token) == ("t", "r")


def test_failed_start_of_a_server_ends_the_parts_before_it(start_log: StartLog, root: Path) -> None:
    start_log.failing = "Forge"
    with pytest.raises(TestbedFailure) as failure, start(StartingEvent(root=root, tags=("v1.0",))):
        pass
    assert failure.value.where == "Forge"
    assert start_log.ended == ["UploadMachine", "Index", "network"]


def test_missing_folder_is_wrong_use_and_starts_nothing(
    start_log: StartLog, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse), start(StartingEvent(root=tmp_path / "none", tags=("v1.0",))):
        pass
    assert start_log.arguments == {}


def test_models_refuse_an_unknown_field(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="other"):
        StartingEvent.model_validate({"root": tmp_path, "tags": ("v1.0",), "other": 1})
    with pytest.raises(pydantic.ValidationError, match="other"):
        IndexSetup.model_validate({"publishers": (PUBLISHER,), "other": 1})
