"""The payload of an event, as GitHub sends it.

The keys are from GitHub's documentation ("Webhook events and payloads": push, release,
workflow_dispatch), as of 2026.
"""

from __future__ import annotations

import time

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.forge import ForgeRelease
from verification.models.pipeline import RunEvent

BRANCH = "main"
MAINTAINER = {"name": "The maintainer", "email": "maintainer@example.invalid"}
ACTOR = "maintainer"


class Commit(Model):
    """The commit of an event."""

    id: str
    tree_id: str
    timestamp: str
    message: str
    parent: str
    """The hash of the first parent; 40 zeros if there is none."""


def payload(
    event: RunEvent,
    owner: str,
    name: str,
    commit: Commit,
    workflow: str,
    release: ForgeRelease | None,
) -> dict[str, JsonValue]:
    """Return the payload of an event of the repository OWNER/NAME.

    ``workflow`` is the path of the file that a dispatch starts. ``release`` is the release of an
    event ``release``.
    """
    common: dict[str, JsonValue] = {
        "repository": _repository(owner, name),
        "sender": {"login": ACTOR, "type": "User"},
    }
    match event.name:
        case "release":
            page = _release(release, owner, name) if release else None
            return {"action": event.type, "release": page, **common}
        case "workflow_dispatch":
            inputs: JsonValue = {**event.inputs} or None
            return {"inputs": inputs, "ref": event.ref, "workflow": workflow, **common}
        case _:
            return _push(event, f"https://github.com/{owner}/{name}", commit) | common


def _push(event: RunEvent, url: str, commit: Commit) -> dict[str, JsonValue]:
    """Return the keys of a push.

    ``deleted`` is null, but false on GitHub. With false, act uses ``after`` as the commit. For an
    annotated tag, ``after`` is the tag object.
    """
    pusher: JsonValue = dict(MAINTAINER)
    head: JsonValue = {
        "id": commit.id,
        "tree_id": commit.tree_id,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.timestamp,
        "url": f"{url}/commit/{commit.id}",
        "author": pusher,
        "committer": pusher,
    }
    before = "0" * 40 if event.tag else commit.parent
    return {
        "ref": event.ref,
        "before": before,
        "after": event.object,
        "base_ref": f"refs/heads/{BRANCH}" if event.tag else None,
        "created": before == "0" * 40,
        "deleted": None,
        "forced": False,
        "compare": f"{url}/compare/{event.ref_name}",
        "commits": [] if event.tag else [head],
        "head_commit": head,
        "pusher": pusher,
    }


def _repository(owner: str, name: str) -> JsonValue:
    url = f"https://github.com/{owner}/{name}"
    return {
        "name": name,
        "full_name": f"{owner}/{name}",
        "private": False,
        "visibility": "public",
        "fork": False,
        "owner": {"login": owner, "name": owner, "type": "Organization"},
        "html_url": url,
        "url": url,
        "clone_url": f"{url}.git",
        "default_branch": BRANCH,
        "master_branch": BRANCH,
        "pushed_at": int(time.time()),
    }


def _release(release: ForgeRelease, owner: str, name: str) -> JsonValue:
    api = f"https://api.github.com/repos/{owner}/{name}"
    url = f"{api}/releases/{release.id}"
    return {
        "url": url,
        "assets_url": f"{url}/assets",
        "upload_url": f"{url.replace('api', 'uploads', 1)}/assets{{?name,label}}",
        "html_url": f"https://github.com/{owner}/{name}/releases/tag/{release.tag}",
        "id": release.id,
        "author": {"login": ACTOR, "type": "User"},
        "tag_name": release.tag,
        "target_commitish": release.target,
        "name": release.name,
        "draft": release.draft,
        "immutable": False,
        "prerelease": release.prerelease,
        "created_at": release.created_at,
        "published_at": release.published_at,
        "assets": [],
        "tarball_url": f"{api}/tarball/{release.tag}",
        "zipball_url": f"{api}/zipball/{release.tag}",
        "body": release.body,
    }
