"""Stand-in for softprops/action-gh-release: the release is made over GitHub's REST API."""

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
_BEYOND_GLOB = re.compile(r"[{}\\]|[!?*+@]\(")
"""Parts of a pattern that the real action knows and Python does not."""


class Asset(TypedDict):
    """A file of a release, as far as it is read here."""

    id: int
    name: str


class Release(TypedDict):
    """A release, as far as it is read here."""

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
"""What a release is made from."""


class Api:
    """GitHub's REST API, as far as releases go."""

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
        """Return the release of a tag, which may be a draft.

        Raises:
            Failure: GitHub refuses, with its own words.
        """
        path = f"/releases/tags/{tag}"
        answer = self._session.get(f"{self._top}{path}", timeout=_SECONDS)
        if answer.status_code != 404:
            found: Release = _checked(answer, "GET", path).json()
            return found
        # A draft is not found by its tag.
        releases: list[Release] = self._send("GET", "/releases?per_page=100").json()
        return next((release for release in releases if release["tag_name"] == tag), None)

    def save(self, method: str, path: str, values: Values | None = None) -> Release:
        """Make, change or read a release, and return it.

        Raises:
            Failure: GitHub refuses, with its own words.
        """
        release: Release = self._send(method, path, values).json()
        return release

    def delete(self, asset: Asset) -> None:
        """Delete a file of a release.

        Raises:
            Failure: GitHub refuses, with its own words.
        """
        self._send("DELETE", f"/releases/assets/{asset['id']}")

    def upload(self, release: Release, path: Path) -> None:
        """Attach a file to a release.

        Raises:
            Failure: GitHub refuses, with its own words.
        """
        url = release["upload_url"].partition("{")[0]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        answer = self._session.post(
            url,
            params={"name": path.name},
            data=path.read_bytes(),
            headers={"Content-Type": kind},
            timeout=_SECONDS,
        )
        _checked(answer, "POST", url)

    def _send(self, method: str, path: str, values: Values | None = None) -> requests.Response:
        url = f"{self._top}{path}"
        return _checked(
            self._session.request(method, url, json=values, timeout=_SECONDS), method, path
        )


def _checked(answer: requests.Response, method: str, path: str) -> requests.Response:
    if answer.ok:
        return answer
    try:
        refusal = answer.json()
    except ValueError:
        refusal = {"message": answer.text[:200]}
    more = f" {json.dumps(refusal['errors'])}" if refusal.get("errors") else ""
    raise Failure(
        f"GitHub release failed with status: {answer.status_code}: {refusal.get('message')}{more} "
        f"({method} {path.partition('?')[0]})"
    )


def main() -> None:
    """Make the release."""
    given = inputs("softprops-action-gh-release")
    ref = os.environ["GITHUB_REF"]
    draft = given.switch("draft")
    tag = given["tag_name"].removeprefix("refs/tags/")
    if not tag and not ref.startswith("refs/tags/") and not draft:
        raise Failure("GitHub Releases requires a tag")
    tag = tag or ref.removeprefix("refs/tags/")
    files = _files(given)
    api = Api(given["token"], given["repository"] or os.environ["GITHUB_REPOSITORY"])
    present = api.release(tag)
    values = _values(given, tag, present)
    prerelease = given.switch("prerelease")
    if present is None:
        print(f"Creating new GitHub release for tag {tag}...")
        # Users see it when it is whole: it is a draft until its files are there. A prerelease is
        # not, for no event would report it later.
        release = api.save("POST", "/releases", values | {"draft": draft or not prerelease})
    else:
        print(f"Found release {present['name']} (with id={present['id']})")
        release = api.save("PATCH", f"/releases/{present['id']}", values)
    for path in files:
        _upload(api, release, path, overwrite=given.switch("overwrite_files"))
    if release["draft"] and not draft:
        final: Values = {"draft": False}
        if latest := _make_latest(given):
            final["make_latest"] = latest
        release = api.save("PATCH", f"/releases/{release['id']}", final)
    release = api.save("GET", f"/releases/{release['id']}")
    print(f"Release ready at {release['html_url']}")
    output("url", release["html_url"])
    output("id", str(release["id"]))
    output("upload_url", release["upload_url"])
    output("assets", json.dumps(release["assets"]))


def _files(given: Inputs) -> list[Path]:
    folder = Path(given["working_directory"] or ".")
    files: list[Path] = []
    for pattern in _patterns(given["files"]):
        # A pattern may be absolute, which Path.glob refuses.
        path = str(folder / Path(pattern).expanduser())
        names = glob.glob(path, recursive=True, include_hidden=True)  # noqa: PTH207
        matched = sorted(Path(name) for name in names if Path(name).is_file())
        if not matched:
            message = f"Pattern '{pattern}' does not match any files."
            if given.switch("fail_on_unmatched_files"):
                raise Failure(message)
            print(f"::warning::{message}")
        files += [path for path in matched if path not in files]
    return files


def _patterns(files: str) -> list[str]:
    """Return the patterns of the input, which are on lines and between commas."""
    if beyond := _BEYOND_GLOB.search(files):
        unsupported(f"{beyond[0]} in a pattern of the input files")
    return lines(files.replace(",", "\n"))


def _values(given: Inputs, tag: str, present: Release | None) -> Values:
    body = given["body"]
    if given["body_path"]:
        try:
            body = Path(given["body_path"]).read_text("utf-8")
        except OSError as error:
            print(f"Failed to read body_path {given['body_path']} ({error}); body is used instead")
    old_body = (present["body"] if present else None) or ""
    if given.switch("append_body") and old_body:
        body = f"{old_body}\n{body}"
    flags = {"draft": False, "prerelease": False}
    if present:
        flags = {"draft": present["draft"], "prerelease": present["prerelease"]}
    values: Values = {
        "tag_name": tag,
        "name": given["name"] or (present["name"] if present else None) or tag,
        "body": body or old_body,
        "generate_release_notes": given.switch("generate_release_notes"),
        **{key: given.switch(key) if given[key] else flags[key] for key in flags},
    }
    if given["target_commitish"]:
        values["target_commitish"] = given["target_commitish"]
    if latest := _make_latest(given):
        values["make_latest"] = latest
    return values


def _make_latest(given: Inputs) -> str:
    """Return what the release is to be for the latest one; empty if GitHub decides."""
    value = given["make_latest"]
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
    run(main, OSError, lost={requests.RequestException: "forge-unreachable"})
