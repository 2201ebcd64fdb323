from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from containers.runner.environment import StartedRun, forge_environment
from verification.models.forge import JobIdentity, Repository, WorkflowRun
from verification.models.pipeline import RunEvent
from verification.models.workflow import RunningJob
from verification.models.workflow_file import parse

PUSH = RunEvent(
    tag="v1", ref="refs/tags/v1", annotated=True, sha="a" * 40, object="b" * 40, source="commit"
)
OTHER = RunEvent(
    tag="v2", ref="refs/tags/v2", annotated=True, sha="c" * 40, object="d" * 40, source="commit"
)
PATH = ".github/workflows/publish.yml"
OTHER_WORKFLOW_REF = f"o/n/{PATH}@refs/tags/v2"


class _Forge:
    """A fake forge that records the registered jobs."""

    def __init__(self) -> None:
        self.repository = Repository(owner="o", name="n", id=1, owner_id=2)
        self.workflow = WorkflowRun(
            workflow="Publish", path=PATH, ref=PUSH.ref, sha=PUSH.sha, run_id=7
        )
        self.registered: dict[str, JobIdentity] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GITHUB_TOKEN": "token",
            "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request token",
        }

    def register(self, address: str, identity: JobIdentity) -> None:
        self.registered[address] = identity


def make_job(keys: str = "", file: str = "publish.yml", origin: str = "") -> RunningJob:
    job = f"runs-on: x, permissions: {{contents: read}}, {keys}steps: [{{run: a}}]"
    text = f"on: push\njobs: {{one: {{{job}}}}}"
    workflow = parse(text, Path(file)).model_copy(update={"origin": origin})
    return RunningJob(job=workflow.jobs["one"], workflow=workflow)


def called_job(**values: str) -> RunningJob:
    return make_job(**values).model_copy(update={"callers": (make_job().job,)})


def register(
    running: RunningJob,
    push: RunEvent = PUSH,
    run_id: int = 7,
    attempt: int = 1,
    path: str = PATH,
) -> JobIdentity:
    """Register a running job at a fake forge. Return the identity that the forge recorded."""
    forge = _Forge()
    environment = forge_environment(forge, network="closed", ca_certificate="PEM")
    assert environment.register is not None
    environment.register("10.0.0.4", running, StartedRun("Publish", path, push, run_id, attempt))
    return forge.registered["10.0.0.4"]


def test_environment_has_the_tokens_of_the_forge() -> None:
    environment = forge_environment(_Forge(), network="closed", ca_certificate="PEM")

    assert (environment.network, environment.ca_certificate) == ("closed", "PEM")
    assert environment.token == "token"  # noqa: S105
    assert environment.identity_url == "https://token.example"
    assert environment.identity_token == "request token"  # noqa: S105


def test_job_is_registered_with_its_permissions_and_its_environment() -> None:
    assert register(make_job("environment: pypi, ")) == JobIdentity(
        job="one", permissions={"contents": "read"}, environment="pypi"
    )


@pytest.mark.parametrize(
    ("push", "run_id", "attempt", "claims"),
    [
        (PUSH, 7, 1, {}),
        (PUSH, 8, 1, {"run_id": "8"}),
        (PUSH, 7, 2, {"run_attempt": "2"}),
        (
            OTHER,
            7,
            1,
            {
                "ref": "refs/tags/v2",
                "sha": "c" * 40,
                "workflow_sha": "c" * 40,
                "job_workflow_sha": "c" * 40,
                "workflow_ref": OTHER_WORKFLOW_REF,
                "job_workflow_ref": OTHER_WORKFLOW_REF,
                "sub": "repo:o/n:ref:refs/tags/v2",
            },
        ),
    ],
)
def test_claims_are_the_differences_from_the_run_of_the_forge(
    push: RunEvent, run_id: int, attempt: int, claims: dict[str, JsonValue]
) -> None:
    assert register(make_job(), push, run_id, attempt).claims == claims


def test_subject_of_a_job_with_an_environment_does_not_depend_on_the_tag() -> None:
    assert "sub" not in register(make_job("environment: pypi, "), OTHER).claims


@pytest.mark.parametrize(
    ("push", "origin", "claims"),
    [
        (
            PUSH,
            "",
            {
                "job_workflow_ref": "o/n/.github/workflows/upload.yml@refs/tags/v1",
                "job_workflow_sha": PUSH.sha,
            },
        ),
        (
            OTHER,
            "",
            {
                "workflow_ref": OTHER_WORKFLOW_REF,
                "job_workflow_ref": "o/n/.github/workflows/upload.yml@refs/tags/v2",
                "job_workflow_sha": OTHER.sha,
            },
        ),
        (
            PUSH,
            "x/y/.github/workflows/upload.yml@refs/heads/main",
            {
                "job_workflow_ref": "x/y/.github/workflows/upload.yml@refs/heads/main",
                "job_workflow_sha": None,
            },
        ),
        (
            PUSH,
            f"x/y/.github/workflows/upload.yml@{'e' * 40}",
            {
                "job_workflow_ref": f"x/y/.github/workflows/upload.yml@{'e' * 40}",
                "job_workflow_sha": "e" * 40,
            },
        ),
    ],
)
def test_claims_of_a_job_of_a_called_workflow_name_the_called_file(
    push: RunEvent, origin: str, claims: dict[str, JsonValue]
) -> None:
    job_claims = register(called_job(file="upload.yml", origin=origin), push).claims
    assert claims.items() <= job_claims.items()
    assert ("workflow_ref" in job_claims) is (push is OTHER), "it names the started file"


def test_claims_of_a_dispatched_run_name_its_file_its_event_and_its_actor() -> None:
    dispatch = RunEvent(
        name="workflow_dispatch",
        ref="refs/heads/main",
        by_workflow=True,
        sha=PUSH.sha,
        object=PUSH.sha,
        source="commit",
    )
    claims = register(make_job(), dispatch, path=".github/workflows/other.yml").claims
    ref = "o/n/.github/workflows/other.yml@refs/heads/main"
    assert claims == {
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "sub": "repo:o/n:ref:refs/heads/main",
        "event_name": "workflow_dispatch",
        "actor": "github-actions[bot]",
        "workflow_ref": ref,
        "job_workflow_ref": ref,
    }
