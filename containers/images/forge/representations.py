"""Objects as JSON, in the format of GitHub's REST API ("REST API endpoints for releases")."""

from __future__ import annotations

from urllib.parse import quote

from server.json_reader import JsonObject

from .config import Repository
from .refs import RefTarget
from .releases import Asset, Release
from .routing import API, UPLOADS, WEB

BOT_LOGIN = "github-actions[bot]"
BOT_NODE_ID = "MDM6Qm90NDE4OTgyODI="
_BOT: JsonObject = {
    "login": BOT_LOGIN,
    "id": 41898282,
    "node_id": BOT_NODE_ID,
    "type": "Bot",
    "site_admin": False,
    "url": f"https://{API}/users/github-actions%5Bbot%5D",
    "html_url": f"https://{WEB}/apps/github-actions",
}
"""The user under which the token of a workflow acts."""


class Representations:
    """Returns the JSON of the objects of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.api = f"https://{API}/repos/{repository.full_name}"
        self.web = f"https://{WEB}/{repository.full_name}"

    def repository(self, *, writes: bool) -> JsonObject:
        """Return the JSON of the repository. ``writes`` is True if the client can write to it."""
        repository = self._repository
        return {
            "id": repository.id,
            "node_id": f"R_{repository.id}",
            "name": repository.name,
            "full_name": repository.full_name,
            "private": not repository.public,
            "visibility": repository.visibility,
            "owner": {"login": repository.owner, "id": repository.owner_id, "type": "User"},
            "html_url": self.web,
            "url": self.api,
            "clone_url": f"{self.web}.git",
            "default_branch": repository.default_branch,
            "fork": False,
            "archived": False,
            "disabled": False,
            "has_discussions": False,
            "permissions": {
                "admin": False,
                "maintain": False,
                "push": writes,
                "triage": writes,
                "pull": True,
            },
        }

    def release_page(self, release: Release) -> str:
        """Return the URL of the page of a release."""
        return f"{self.web}/releases/tag/{_tag_in_url(release)}"

    def release_url(self, release: Release) -> str:
        """Return the URL of a release in the API."""
        return f"{self.api}/releases/{release.id}"

    def asset_url(self, asset: Asset) -> str:
        """Return the URL of an asset in the API."""
        return f"{self.api}/releases/assets/{asset.id}"

    def download_url(self, release: Release, asset: Asset) -> str:
        """Return the download URL of an asset for a browser."""
        return f"{self.web}/releases/download/{_tag_in_url(release)}/{quote(asset.name)}"

    def release(self, release: Release) -> JsonObject:
        """Return the JSON of a release and its assets."""
        url = self.release_url(release)
        tag = quote(release.tag)
        return {
            "url": url,
            "assets_url": f"{url}/assets",
            "upload_url": (
                f"https://{UPLOADS}/repos/{self._repository.full_name}/releases/{release.id}"
                "/assets{?name,label}"
            ),
            "html_url": self.release_page(release),
            "id": release.id,
            "author": _BOT,
            "node_id": f"RE_{release.id}",
            "tag_name": release.tag,
            "target_commitish": release.target,
            "name": release.name,
            "draft": release.draft,
            "immutable": False,
            "prerelease": release.prerelease,
            "created_at": release.created_at,
            "updated_at": release.published_at or release.created_at,
            "published_at": release.published_at,
            "assets": [self.asset(release, asset) for asset in release.assets],
            "tarball_url": f"{self.api}/tarball/{tag}",
            "zipball_url": f"{self.api}/zipball/{tag}",
            "body": release.body,
        }

    def asset(self, release: Release, asset: Asset) -> JsonObject:
        """Return the JSON of an asset."""
        return {
            "url": self.asset_url(asset),
            "id": asset.id,
            "node_id": asset.node_id,
            "name": asset.name,
            "label": asset.label,
            "uploader": _BOT,
            "content_type": asset.content_type,
            "state": "uploaded",
            "size": asset.size,
            "digest": asset.digest,
            "download_count": asset.downloads,
            "created_at": asset.created_at,
            "updated_at": asset.updated_at,
            "browser_download_url": self.download_url(release, asset),
        }

    def ref(self, name: str, target: RefTarget) -> JsonObject:
        """Return the JSON of a branch or a tag."""
        kind = "tags" if target.type == "tag" else "commits"
        url = f"{self.api}/git/{kind}/{target.sha}"
        return {
            "ref": name,
            "node_id": f"REF_{name}",
            "url": f"{self.api}/git/{quote(name)}",
            "object": {"type": target.type, "sha": target.sha, "url": url},
        }


def _tag_in_url(release: Release) -> str:
    return f"untagged-{release.untagged}" if release.draft else quote(release.tag)
