"""The payloads of events, with GitHub's keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from containers.runner.event_payloads import Commit, payload
from tests.helpers.sample_pipeline import release
from verification.models.pipeline import RunEvent

COMMIT = Commit(id="a" * 40, tree_id="b" * 40, timestamp="2026-01-01", message="m", parent="c" * 40)


def event(**values: object) -> RunEvent:
    common = {"ref": "refs/heads/main", "sha": COMMIT.id, "object": COMMIT.id, "source": "a test"}
    return RunEvent.model_validate(common | values)


def payload_of(of: RunEvent) -> dict[str, Any]:
    page = release() if of.name == "release" else None
    return dict(json.loads(json.dumps(payload(of, "o", "n", COMMIT, "publish.yml", page))))


@pytest.mark.parametrize(
    ("run_event", "keys"),
    [
        (event(), {"ref", "before", "after", "commits", "head_commit", "pusher"}),
        (event(name="release", type="published", tag="v1.2.0"), {"action", "release"}),
        (event(name="workflow_dispatch", inputs={"a": "1"}), {"inputs", "ref", "workflow"}),
    ],
    ids=["push", "release", "dispatch"],
)
def test_payload_has_the_keys_of_its_event(run_event: RunEvent, keys: set[str]) -> None:
    found = payload_of(run_event)
    assert found.keys() >= keys | {"repository", "sender"}
    assert found["repository"]["full_name"] == "o/n"


def test_push_of_a_branch_continues_its_parent_and_that_of_a_tag_is_new() -> None:
    branch = payload_of(event())
    assert (branch["before"], branch["created"], len(branch["commits"])) == (
        COMMIT.parent,
        False,
        1,
    )
    tag = payload_of(event(ref="refs/tags/v1", tag="v1", object="d" * 40))
    assert (tag["before"], tag["created"], tag["commits"]) == ("0" * 40, True, [])
    assert (tag["after"], tag["deleted"]) == ("d" * 40, None)


def test_release_has_its_addresses() -> None:
    page = payload_of(event(name="release", type="published", tag="v1.2.0"))["release"]
    assert page["tag_name"] == "v1.2.0"
    assert page["upload_url"].startswith("https://uploads.github.com/repos/o/n/releases/1/assets")


def test_dispatch_without_inputs_has_none() -> None:
    assert payload_of(event(name="workflow_dispatch"))["inputs"] is None
