"""The dispatch of workflows by the API, with GitHub's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.forge import ForgeContents
from tests.helpers.forge_server import Forge, running
from verification.models.dispatch import Dispatch, DispatchTarget
from verification.models.forge import ForgeRelease, JobIdentity
from verification.models.workflow import WorkflowInput

PATH = ".github/workflows/publish.yml"
INPUTS = {
    "version": WorkflowInput(required=True),
    "dry": WorkflowInput(type="boolean"),
    "kind": WorkflowInput(type="choice", options=("final", "candidate"), default="final"),
}
RELEASE = ForgeRelease(
    id=1,
    tag="v0.5.0",
    target="main",
    name="Release",
    body="Notes",
    draft=False,
    prerelease=False,
    latest=True,
    created_at="2026-01-01T00:00:00Z",
    published_at="2026-01-01T00:00:00Z",
    assets=(),
)
CONTENTS = ForgeContents(
    workflows=(
        DispatchTarget(path=PATH, name="Publish", dispatchable=True, inputs=INPUTS),
        DispatchTarget(path=".github/workflows/test.yml", name="Test", dispatchable=False),
    ),
    releases=(RELEASE,),
)
ALLOWED = JobIdentity(job="release", permissions={"actions": "write"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with running(tmp_path_factory.mktemp("forge"), **CONTENTS.config()) as forge:
        yield forge


@pytest.fixture
def dispatching(server: Forge) -> Forge:
    """Return a forge whose client is a job that may dispatch workflows."""
    server.register(ALLOWED)
    return server


def dispatch(forge: Forge, file: str = "publish.yml", **body: Any) -> tuple[int, str]:
    """Request a dispatch. Return the status and the message."""
    response = forge.api("POST", f"/actions/workflows/{file}/dispatches", json=body)
    return response.status_code, response.json()["message"] if response.content else ""


def recorded(folder: Path) -> list[Dispatch]:
    return [Dispatch(**entry) for entry in json.loads((folder / "dispatches.json").read_text())]


def test_accepted_dispatch_is_recorded_with_complete_inputs(dispatching: Forge) -> None:
    assert dispatch(dispatching, ref="main", inputs={"version": "1"}) == (204, "")
    assert dispatch(dispatching, "1", ref="v0.5.0", inputs={"version": "2", "dry": True})[0] == 204
    first, second = recorded(dispatching.folder)[-2:]
    inputs = {"version": "1", "dry": "false", "kind": "final"}
    assert first == Dispatch(path=PATH, ref="refs/heads/main", inputs=inputs, job="release")
    assert (second.ref, second.inputs["dry"]) == ("refs/tags/v0.5.0", "true")
    assert dispatching.lines(dispatched=PATH)


@pytest.mark.parametrize(
    ("file", "body", "answer"),
    [
        ("none.yml", {"ref": "main"}, (404, "Not Found")),
        (
            "test.yml",
            {"ref": "main"},
            (422, "Workflow does not have 'workflow_dispatch' trigger"),
        ),
        ("publish.yml", {"ref": "none"}, (422, "No ref found for: none")),
        ("publish.yml", {}, (422, 'Invalid request.\n\n"ref" wasn\'t supplied.')),
        ("publish.yml", {"ref": "main"}, (422, "Required input 'version' not provided")),
        (
            "publish.yml",
            {"ref": "main", "inputs": {"version": "1", "other": "2"}},
            (422, 'Unexpected inputs provided: ["other"]'),
        ),
        (
            "publish.yml",
            {"ref": "main", "inputs": {"version": "1", "kind": "beta"}},
            (422, "Provided value 'beta' for input 'kind' not in the list of allowed values"),
        ),
    ],
)
def test_wrong_dispatch_is_refused_in_the_words_of_github(
    dispatching: Forge, file: str, body: dict[str, Any], answer: tuple[int, str]
) -> None:
    before = recorded(dispatching.folder)
    assert dispatch(dispatching, file, **body) == answer
    assert recorded(dispatching.folder) == before


@pytest.mark.parametrize("permissions", [{}, {"actions": "read"}, {"contents": "write"}])
def test_dispatch_needs_a_permission_of_the_job(server: Forge, permissions: dict[str, str]) -> None:
    server.register(JobIdentity(job="release", permissions=permissions))
    refusal = (403, "Resource not accessible by integration")
    assert dispatch(server, ref="main", inputs={"version": "1"}) == refusal
    assert server.lines(refused="the job has no permission actions: write")


def test_workflow_files_are_found_by_name_and_id(dispatching: Forge) -> None:
    listed = dispatching.api("GET", "/actions/workflows").json()
    assert [file["name"] for file in listed["workflows"]] == ["Publish", "Test"]
    for key in ("publish.yml", "1"):
        assert dispatching.api("GET", f"/actions/workflows/{key}").json()["path"] == PATH


def test_request_that_only_github_answers_is_logged_as_unsupported(dispatching: Forge) -> None:
    response = dispatching.api("GET", "/actions/runs")
    assert response.status_code == 404
    assert dispatching.line(response)["unsupported"].startswith("GET /repos/")
    missing = dispatching.api("GET", "/releases/tags/none")
    assert not dispatching.line(missing).get("unsupported")


def test_release_of_a_user_exists_from_the_start(dispatching: Forge) -> None:
    release = dispatching.api("GET", "/releases/tags/v0.5.0").json()
    assert (release["name"], release["body"], release["draft"]) == ("Release", "Notes", False)
