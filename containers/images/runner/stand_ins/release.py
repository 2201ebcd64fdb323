"""Stand-in for softprops/action-gh-release. It creates a release page on the forge by REST."""

from __future__ import annotations

import glob
import json
import mimetypes
import os
import re
from pathlib import Path
from typing import TypedDict

import requests

from .toolkit import Failure, Inputs, inputs, lines, output, run, unsupported

_SECONDS = 60
_UNSUPPORTED_GLOB = re.compile(r"[{}\\]|[!?*+@]\(")
"""Parts of a pattern that the real action supports and Python does not."""


class Asset(TypedDict):
    """A file of a release, with the keys that are read here."""

    id: int
    name: str


class Release(TypedDict):
    """A release, with the keys that are read here."""

    id: int
    tag_name: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    assets: list[Asset]
    html_url: str
    upload_url: str


Values = dict[str, str | bool]
"""The fields of a request that creates or changes a release."""


class Api:
    """A client of GitHub's REST API for releases."""

    def __init__(self, token: str, repository: str) -> None:
        self._session = requests.Session()
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"token {token}",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        )
        self._top = f"{os.environ['GITHUB_API_URL']}/repos/{repository}"

    def release(self, tag: str) -> Release | None:
        """Return the release or draft of a tag, or None.

        Raises:
            Failure: GitHub refuses the request. The message has its words.
        """
        path = f"/releases/tags/{tag}"
        response = self._session.get(f"{self._top}{path}", timeout=_SECONDS)
        if response.status_code != 404:
            release: Release = _checked(response, "GET", path).json()
            return release
        # GitHub does not find drafts by their tag.
        releases: list[Release] = self._send("GET", "/releases?per_page=100").json()
        return next((release for release in releases if release["tag_name"] == tag), None)

    def save(self, method: str, path: str, values: Values | None = None) -> Release:
        """Create, change or read a release, and return it.

        Raises:
            Failure: GitHub refuses the request. The message has its words.
        """
        release: Release = self._send(method, path, values).json()
        return release

    def delete(self, asset: Asset) -> None:
        """Delete a file of a release.

        Raises:
            Failure: GitHub refuses the request. The message has its words.
        """
        self._send("DELETE", f"/releases/assets/{asset['id']}")

    def upload(self, release: Release, path: Path) -> None:
        """Add a file to a release.

        Raises:
            Failure: GitHub refuses the request. The message has its words.
        """
        url = release["upload_url"].partition("{")[0]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        response = self._session.post(
            url,
            params={"name": path.name},
            data=path.read_bytes(),
            headers={"Content-Type": kind},
            timeout=_SECONDS,
        )
        _checked(response, "POST", url)

    def _send(self, method: str, path: str, values: Values | None = None) -> requests.Response:
        url = f"{self._top}{path}"
        return _checked(
            self._session.request(method, url, json=values, timeout=_SECONDS), method, path
        )


def _checked(response: requests.Response, method: str, path: str) -> requests.Response:
    if response.ok:
        return response
    try:
        refusal = response.json()
    except ValueError:
        refusal = {"message": response.text[:200]}
    errors = f" {json.dumps(refusal['errors'])}" if refusal.get("errors") else ""
    raise Failure(
        f"GitHub release failed with status: {response.status_code}: "
        f"{refusal.get('message')}{errors} ({method} {path.partition('?')[0]})"
    )


def main() -> None:
    """Create or update the release and upload its files."""
    action_inputs = inputs("softprops-action-gh-release")
    ref = os.environ["GITHUB_REF"]
    draft = action_inputs.switch("draft")
    tag = action_inputs["tag_name"].removeprefix("refs/tags/")
    if not tag and not ref.startswith("refs/tags/") and not draft:
        raise Failure("GitHub Releases requires a tag")
    tag = tag or ref.removeprefix("refs/tags/")
    files = _files(action_inputs)
    repository = action_inputs["repository"] or os.environ["GITHUB_REPOSITORY"]
    api = Api(action_inputs["token"], repository)
    existing = api.release(tag)
    values = _values(action_inputs, tag, existing)
    prerelease = action_inputs.switch("prerelease")
    if existing is None:
        print(f"Creating new GitHub release for tag {tag}...")
        # The release is a draft until it has its files, so that users get a complete release. A
        # pre-release is published at once, because its later publication would cause no event.
        release = api.save("POST", "/releases", values | {"draft": draft or not prerelease})
    else:
        print(f"Found release {existing['name']} (with id={existing['id']})")
        release = api.save("PATCH", f"/releases/{existing['id']}", values)
    for path in files:
        _upload(api, release, path, overwrite=action_inputs.switch("overwrite_files"))
    if release["draft"] and not draft:
        publication: Values = {"draft": False}
        if latest := _make_latest(action_inputs):
            publication["make_latest"] = latest
        release = api.save("PATCH", f"/releases/{release['id']}", publication)
    release = api.save("GET", f"/releases/{release['id']}")
    print(f"Release ready at {release['html_url']}")
    output("url", release["html_url"])
    output("id", str(release["id"]))
    output("upload_url", release["upload_url"])
    output("assets", json.dumps(release["assets"]))


def _files(action_inputs: Inputs) -> list[Path]:
    folder = Path(action_inputs["working_directory"] or ".")
    files: list[Path] = []
    for pattern in _patterns(action_inputs["files"]):
        # Path.glob refuses absolute patterns.
        path = str(folder / Path(pattern).expanduser())
        names = glob.glob(path, recursive=True, include_hidden=True)  # noqa: PTH207
        matches = sorted(Path(name) for name in names if Path(name).is_file())
        if not matches:
            message = f"Pattern '{pattern}' does not match any files."
            if action_inputs.switch("fail_on_unmatched_files"):
                raise Failure(message)
            print(f"::warning::{message}")
        files += [path for path in matches if path not in files]
    return files


def _patterns(text: str) -> list[str]:
    """Return the patterns of the input `files`. Line ends and commas separate them."""
    if match := _UNSUPPORTED_GLOB.search(text):
        unsupported(f"{match[0]} in a pattern of the input files")
    return lines(text.replace(",", "\n"))


def _values(action_inputs: Inputs, tag: str, existing: Release | None) -> Values:
    body = action_inputs["body"]
    if body_path := action_inputs["body_path"]:
        try:
            body = Path(body_path).read_text("utf-8")
        except OSError as error:
            print(f"Failed to read body_path {body_path} ({error}); body is used instead")
    old_body = (existing["body"] if existing else None) or ""
    if action_inputs.switch("append_body") and old_body:
        body = f"{old_body}\n{body}"
    flags = {"draft": False, "prerelease": False}
    if existing:
        flags = {"draft": existing["draft"], "prerelease": existing["prerelease"]}
    values: Values = {
        "tag_name": tag,
        "name": action_inputs["name"] or (existing["name"] if existing else None) or tag,
        "body": body or old_body,
        "generate_release_notes": action_inputs.switch("generate_release_notes"),
        **{
            key: action_inputs.switch(key) if action_inputs[key] else default
            for key, default in flags.items()
        },
    }
    if action_inputs["target_commitish"]:
        values["target_commitish"] = action_inputs["target_commitish"]
    if latest := _make_latest(action_inputs):
        values["make_latest"] = latest
    return values


def _make_latest(action_inputs: Inputs) -> str:
    """Return the value of make_latest for GitHub. Empty means GitHub's default."""
    value = action_inputs["make_latest"]
    return value if value in ("true", "false", "legacy") else ""


def _upload(api: Api, release: Release, path: Path, *, overwrite: bool) -> None:
    for asset in release["assets"]:
        if asset["name"] != path.name:
            continue
        if not overwrite:
            print(f"Asset {path.name} already exists and overwrite_files is false...")
            return
        print(f"Deleting previously uploaded asset {path.name}...")
        api.delete(asset)
    print(f"Uploading {path.name}...")
    api.upload(release, path)


if __name__ == "__main__":
    run(main, OSError, testbed_errors={requests.RequestException: "forge-unreachable"})
