"""The JSON that GitHub's REST API makes of things ("REST API endpoints for releases", its docs)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from .config import Repository
from .releases import Asset, Release
from .routing import API, UPLOADS, WEB

BOT = {
    "login": "github-actions[bot]",
    "id": 41898282,
    "node_id": "MDM6Qm90NDE4OTgyODI=",
    "type": "Bot",
    "site_admin": False,
    "url": f"https://{API}/users/github-actions%5Bbot%5D",
    "html_url": f"https://{WEB}/apps/github-actions",
}
"""The user under which the token of a workflow acts."""


class Shapes:
    """Makes the JSON for the things of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.api = f"https://{API}/repos/{repository.full_name}"
        self.web = f"https://{WEB}/{repository.full_name}"

    def repository(self, *, writes: bool) -> dict[str, Any]:
        """Return the repository, as one who may write or not sees it."""
        told = self._repository
        return {
            "id": told.id,
            "node_id": f"R_{told.id}",
            "name": told.name,
            "full_name": told.full_name,
            "private": not told.public,
            "visibility": told.visibility,
            "owner": {"login": told.owner, "id": told.owner_id, "type": "User"},
            "html_url": self.web,
            "url": self.api,
            "clone_url": f"{self.web}.git",
            "default_branch": told.default_branch,
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

    def page_of(self, release: Release) -> str:
        """Return the address of a release's page."""
        shown = f"untagged-{release.untagged}" if release.draft else quote(release.tag)
        return f"{self.web}/releases/tag/{shown}"

    def release(self, release: Release) -> dict[str, Any]:
        """Return a release with its assets."""
        url = f"{self.api}/releases/{release.id}"
        tag = quote(release.tag)
        return {
            "url": url,
            "assets_url": f"{url}/assets",
            "upload_url": (
                f"https://{UPLOADS}/repos/{self._repository.full_name}/releases/{release.id}"
                "/assets{?name,label}"
            ),
            "html_url": self.page_of(release),
            "id": release.id,
            "author": BOT,
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

    def asset(self, release: Release, asset: Asset) -> dict[str, Any]:
        """Return an asset."""
        tag = f"untagged-{release.untagged}" if release.draft else quote(release.tag)
        return {
            "url": f"{self.api}/releases/assets/{asset.id}",
            "id": asset.id,
            "node_id": f"RA_{asset.id}",
            "name": asset.name,
            "label": asset.label,
            "uploader": BOT,
            "content_type": asset.content_type,
            "state": "uploaded",
            "size": asset.size,
            "digest": f"sha256:{asset.sha256}",
            "download_count": asset.downloads,
            "created_at": asset.created_at,
            "updated_at": asset.updated_at,
            "browser_download_url": f"{self.web}/releases/download/{tag}/{quote(asset.name)}",
        }

    def ref(self, name: str, target: dict[str, Any]) -> dict[str, Any]:
        """Return a branch or a tag as git has it."""
        kind = "tags" if target["type"] == "tag" else "commits"
        return {
            "ref": name,
            "node_id": f"REF_{name}",
            "url": f"{self.api}/git/{quote(name)}",
            "object": {**target, "url": f"{self.api}/git/{kind}/{target['sha']}"},
        }
