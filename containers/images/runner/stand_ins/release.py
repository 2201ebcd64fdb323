"""Stand-in for softprops/action-gh-release: the release is made over GitHub's REST API."""

from __future__ import annotations

import glob
import json
import mimetypes
import os
import sys
from pathlib import Path
from typing import Any

import requests

from .words import Failure, boolean, fail, inputs, lines, output, unsupported

_SECONDS = 60


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

    def call(self, method: str, path: str, **values: Any) -> requests.Response:
        """Ask; a path of the repository, or a whole address."""
        url = path if path.startswith("https://") else f"{self._top}{path}"
        return self._session.request(method, url, timeout=_SECONDS, **values)

    def done(self, method: str, path: str, **values: Any) -> Any:
        """Ask, and return what was answered.

        Raises:
            Failure: the answer is a refusal; with GitHub's own words.
        """
        answer = self.call(method, path, **values)
        if answer.ok:
            return answer.json() if answer.content else None
        told: Any = {}
        try:
            told = answer.json()
        except ValueError:
            told = {"message": answer.text[:200]}
        more = f" {json.dumps(told['errors'])}" if told.get("errors") else ""
        raise Failure(
            f"GitHub release failed with status: {answer.status_code}: {told.get('message')}{more} "
            f"({method} {path.partition('?')[0]})"
        )


def main() -> None:
    """Make the release."""
    asked = inputs()
    if asked["discussion_category_name"]:
        unsupported("the input discussion_category_name")
    ref = os.environ["GITHUB_REF"]
    draft = boolean("draft", asked["draft"])
    tag = asked["tag_name"].removeprefix("refs/tags/")
    if not tag and not ref.startswith("refs/tags/") and not draft:
        raise Failure("GitHub Releases requires a tag")
    tag = tag or ref.removeprefix("refs/tags/")
    files = _files(asked)
    api = Api(asked["token"], asked["repository"] or os.environ["GITHUB_REPOSITORY"])
    found = _release_of(api, tag)
    values = _values(asked, tag, found)
    prerelease = boolean("prerelease", asked["prerelease"])
    if found is None:
        print(f"Creating new GitHub release for tag {tag}...")
        # Users see it when it is whole: it is a draft until its files are there. A prerelease is
        # not, for no event would tell of it later.
        held = values | {"draft": draft or not prerelease}
        release = api.done("POST", "/releases", json=held)
    else:
        print(f"Found release {found['name']} (with id={found['id']})")
        release = api.done("PATCH", f"/releases/{found['id']}", json=values)
    for path in files:
        _upload(api, release, path, overwrite=boolean("overwrite_files", asked["overwrite_files"]))
    if release["draft"] and not draft:
        final: dict[str, Any] = {"draft": False}
        if asked["make_latest"]:
            final["make_latest"] = asked["make_latest"]
        release = api.done("PATCH", f"/releases/{release['id']}", json=final)
    release = api.done("GET", f"/releases/{release['id']}")
    print(f"Release ready at {release['html_url']}")
    output("url", release["html_url"])
    output("id", str(release["id"]))
    output("upload_url", release["upload_url"])
    output("assets", json.dumps(release["assets"]))


def _files(asked: dict[str, str]) -> list[Path]:
    folder = Path(asked["working_directory"] or ".")
    found: list[Path] = []
    for pattern in lines(asked["files"].replace(",", "\n")):
        # A pattern may be absolute, which Path.glob refuses.
        names = glob.glob(str(folder / Path(pattern).expanduser()), recursive=True)  # noqa: PTH207
        matched = sorted(Path(name) for name in names if Path(name).is_file())
        if not matched:
            told = f"Pattern '{pattern}' does not match any files."
            if boolean("fail_on_unmatched_files", asked["fail_on_unmatched_files"]):
                raise Failure(told)
            print(f"::warning::{told}")
        found += [path for path in matched if path not in found]
    return found


def _release_of(api: Api, tag: str) -> dict[str, Any] | None:
    answer = api.call("GET", f"/releases/tags/{tag}")
    if answer.ok:
        return dict(answer.json())
    if answer.status_code != 404:
        api.done("GET", f"/releases/tags/{tag}")
    # A draft is not found by its tag.
    for release in api.done("GET", "/releases?per_page=100") if answer.status_code == 404 else []:
        if release["tag_name"] == tag:
            return dict(release)
    return None


def _values(asked: dict[str, str], tag: str, found: dict[str, Any] | None) -> dict[str, Any]:
    body = asked["body"]
    if asked["body_path"]:
        body = Path(asked["body_path"]).read_text("utf-8")
    old = found or {}
    if boolean("append_body", asked["append_body"]) and old.get("body"):
        body = f"{old['body']}\n{body}"
    values: dict[str, Any] = {
        "tag_name": tag,
        "name": asked["name"] or old.get("name") or tag,
        "body": body or old.get("body") or "",
        "generate_release_notes": boolean(
            "generate_release_notes", asked["generate_release_notes"]
        ),
    }
    for name in ("draft", "prerelease"):
        given = asked[name]
        values[name] = boolean(name, given) if given else bool(old.get(name, False))
    if asked["target_commitish"]:
        values["target_commitish"] = asked["target_commitish"]
    if asked["make_latest"]:
        values["make_latest"] = asked["make_latest"]
    return values


def _upload(api: Api, release: dict[str, Any], path: Path, *, overwrite: bool) -> None:
    present = {asset["name"]: asset for asset in release["assets"]}
    if path.name in present:
        if not overwrite:
            print(f"Asset {path.name} already exists and overwrite_files is false...")
            return
        print(f"Deleting previously uploaded asset {path.name}...")
        api.done("DELETE", f"/releases/assets/{present[path.name]['id']}")
    print(f"Uploading {path.name}...")
    api.done(
        "POST",
        release["upload_url"].partition("{")[0],
        params={"name": path.name},
        data=path.read_bytes(),
        headers={"Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream"},
    )


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, requests.RequestException) as error:
        fail(str(error))
    sys.exit(0)
