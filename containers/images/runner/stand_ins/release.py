"""Stand-in for softprops/action-gh-release. It creates a release page on the forge by REST.

Usage: python -m stand_ins.release FILES

FILES is JSON: a list of pairs of a pattern and the files that it matches.

The steps and their order are those of the action's `src/main.ts` and `src/github.ts`.
"""

from __future__ import annotations

import json
import mimetypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import requests

from .toolkit import Failure, Inputs, inputs, output, run

_SECONDS = 60
_ATTEMPTS = 3
_MAX_BODY_LENGTH = 125_000 - 1


class Asset(TypedDict):
    """A file of a release, with the keys that are read here."""

    id: int
    name: str
    label: str | None


class Release(TypedDict):
    """A release, with the keys that are read here."""

    id: int
    tag_name: str
    target_commitish: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    assets: list[Asset]
    html_url: str
    upload_url: str


Values = dict[str, str | bool]
"""The fields of a request that creates or changes a release."""


class Refused(Failure):
    """GitHub refuses a request. The message is that of the action's client."""

    def __init__(self, response: requests.Response, method: str, path: str) -> None:
        self.status = response.status_code
        print(f"GitHub answered {self.status} to {method} {path.partition('?')[0]}")
        try:
            refusal = response.json()
        except ValueError:
            refusal = {"message": response.text[:200]}
        errors = refusal.get("errors") or []
        self.code = errors[0].get("code") if errors and isinstance(errors[0], dict) else None
        details = f": {', '.join(json.dumps(error) for error in errors)}" if errors else ""
        link = refusal.get("documentation_url")
        super().__init__(f"{refusal.get('message')}{details}{f' - {link}' if link else ''}")


class Api:
    """A client of GitHub's REST API for releases. Each method raises `Refused`."""

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

    def by_tag(self, tag: str) -> Release | None:
        """Return the published release of a tag, or None."""
        try:
            release: Release = self._send("GET", f"/releases/tags/{tag}").json()
        except Refused as refusal:
            if refusal.status != 404:
                raise
            return None
        return release

    def all_by_tag(self, tag: str) -> list[Release]:
        """Return the releases and drafts of a tag, newest first."""
        releases: list[Release] = self._send("GET", "/releases?per_page=100").json()
        return [release for release in releases if release["tag_name"] == tag]

    def save(self, method: str, path: str, values: Values) -> Release:
        """Create or change a release, and return it."""
        release: Release = self._send(method, path, values).json()
        return release

    def notes(self, values: Values) -> str:
        """Return generated release notes."""
        notes: str = self._send("POST", "/releases/generate-notes", values).json()["body"]
        return notes

    def remove(self, release: Release) -> None:
        """Delete a release."""
        self._send("DELETE", f"/releases/{release['id']}")

    def assets(self, release: Release) -> list[Asset]:
        """Return the files of a release."""
        path = f"/releases/{release['id']}/assets?per_page=100"
        assets: list[Asset] = self._send("GET", path).json()
        return assets

    def remove_asset(self, asset: Asset) -> None:
        """Delete a file of a release."""
        self._send("DELETE", f"/releases/assets/{asset['id']}")

    def label(self, asset: Asset, label: str) -> Asset:
        """Set the label of a file."""
        values: Values = {"name": asset["name"], "label": label}
        labelled: Asset = self._send("PATCH", f"/releases/assets/{asset['id']}", values).json()
        return labelled

    def upload(self, release: Release, path: Path) -> Asset:
        """Upload a file."""
        url = release["upload_url"].partition("{")[0]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        response = self._session.post(
            url,
            params={"name": path.name},
            data=path.read_bytes(),
            headers={"Content-Type": kind},
            timeout=_SECONDS,
        )
        if not response.ok:
            raise Refused(response, "POST", url)
        asset: Asset = response.json()
        return asset

    def _send(self, method: str, path: str, values: Values | None = None) -> requests.Response:
        url = f"{self._top}{path}"
        response = self._session.request(method, url, json=values, timeout=_SECONDS)
        if not response.ok:
            raise Refused(response, method, path)
        return response


class Step(NamedTuple):
    """The step that the action runs for."""

    inputs: Inputs
    api: Api
    tag: str

    @property
    def draft(self) -> bool | None:
        """The input `draft`; None if it is empty."""
        return self._optional("draft")

    @property
    def prerelease(self) -> bool | None:
        """The input `prerelease`; None if it is empty."""
        return self._optional("prerelease")

    def _optional(self, name: str) -> bool | None:
        return self.inputs.switch(name) if self.inputs[name] else None


def main() -> None:
    """Create or update the release and upload its files."""
    action_inputs = inputs("softprops-action-gh-release")
    matches: list[tuple[str, list[str]]] = json.loads(sys.argv[1])
    ref = os.environ["GITHUB_REF"]
    tag = action_inputs["tag_name"]
    if action_inputs.since("2.5.3"):
        tag = tag.removeprefix("refs/tags/")
    if not tag and not ref.startswith("refs/tags/") and not action_inputs.switch("draft"):
        raise Failure("GitHub Releases requires a tag")
    _check_matches(action_inputs, matches)
    repository = action_inputs["repository"] or os.environ["GITHUB_REPOSITORY"]
    step = Step(
        action_inputs,
        Api(_token(action_inputs), repository),
        tag or (ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else ""),
    )
    release = _save(step)
    files = [Path(name) for _, names in matches for name in names]
    if matches and not files:
        print(f"{action_inputs['files']!r} does not include a valid file.")
    current = release["assets"]
    uploads = [_upload(step, release, path, current) for path in files]
    assets = [asset for asset in uploads if asset]
    release = _finalize(step, release)
    _write_outputs(step, release, assets, has_files=bool(matches))


def _check_matches(action_inputs: Inputs, matches: Sequence[tuple[str, list[str]]]) -> None:
    for pattern, names in matches:
        if not names:
            message = f"Pattern '{pattern}' does not match any files."
            if action_inputs.switch("fail_on_unmatched_files"):
                raise Failure(message)
            print(message)


def _token(action_inputs: Inputs) -> str:
    variable = os.environ.get("GITHUB_TOKEN", "").strip()
    if action_inputs.since("2.5.3"):
        return action_inputs["token"] or variable
    return variable or action_inputs["token"]


# ---- the release ----


def _save(step: Step) -> Release:
    """Return the created or updated release.

    Raises:
        Failure: other jobs create and remove it at the same time.
    """
    for _ in range(_ATTEMPTS):
        existing = _find(step)
        if existing is None:
            if created := _create(step):
                return created
            continue  # another job created it
        print(f"Found release {existing['name']} (with id={existing['id']})")
        if step.draft and not step.inputs.since("2.0.7"):
            return existing
        path = f"/releases/{existing['id']}"
        return step.api.save("PATCH", path, _changed_values(step, existing))
    raise Failure("Too many retries.")


def _find(step: Step) -> Release | None:
    """Return the existing release of the tag. Only some versions find drafts."""
    lists = step.inputs.since("2.2.2") and not step.inputs.since("2.5.1")
    if lists or (step.draft and not step.inputs.since("2.2.2")):
        return next(iter(step.api.all_by_tag(step.tag)), None)
    return step.api.by_tag(step.tag)


def _create(step: Step) -> Release | None:
    """Create the release. Return None if another job has created it."""
    print(f"Creating new GitHub release for tag {step.tag}...")
    values: Values = {"name": step.inputs["name"] or step.tag}
    if step.inputs["target_commitish"]:
        values["target_commitish"] = step.inputs["target_commitish"]
    if not step.inputs.since("2.5.0"):
        draft = step.draft  # the release is public before it has its files
    elif step.inputs.since("2.5.2") and step.prerelease:
        # A pre-release is published at once, because its later publication would cause no event.
        draft = step.draft is True
    else:
        draft = True
    values |= {
        key: value
        for key, value in (("draft", draft), ("prerelease", step.prerelease))
        if value is not None
    }
    try:
        release = step.api.save("POST", "/releases", _with_notes(step, values, _body(step)))
    except Refused as refusal:
        if refusal.status == 422 and refusal.code == "already_exists":
            return None
        raise
    return _canonical(step, release) if step.inputs.since("2.5.2") else release


def _canonical(step: Step, created: Release) -> Release:
    """Return the release that this run continues with, and delete other drafts without files.

    It is the published release of the tag, or else the oldest draft.
    """
    published = step.api.by_tag(step.tag)
    releases = step.api.all_by_tag(step.tag)
    oldest = min(releases, key=lambda release: (release["draft"], release["id"]), default=created)
    canonical = published or oldest
    for release in releases:
        if release["id"] != canonical["id"] and release["draft"] and not release["assets"]:
            print(f"Removing duplicate draft release {release['id']} for tag {step.tag}...")
            step.api.remove(release)
    return canonical


def _changed_values(step: Step, existing: Release) -> Values:
    old_body = existing["body"] or ""
    body = _body(step)
    if step.inputs.switch("append_body") and body and old_body:
        body = f"{old_body}\n{body}"
    prerelease = existing["prerelease"] if step.prerelease is None else step.prerelease
    draft = existing["draft"]
    if not step.inputs.since("2.5.0") and step.draft is not None:
        draft = step.draft
    values: Values = {
        "name": step.inputs["name"] or existing["name"] or step.tag,
        "target_commitish": step.inputs["target_commitish"] or existing["target_commitish"],
        "draft": draft,
        "prerelease": prerelease,
    }
    return _with_notes(step, values, body or old_body)


def _body(step: Step) -> str:
    path = step.inputs["body_path"]
    if not path:
        return step.inputs.raw("body")
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        if not step.inputs.since("2.4.1"):
            raise
        message = f"Failed to read body_path {path} ({error}). Falling back to 'body' input."
        print(message)
        return step.inputs.raw("body")


def _with_notes(step: Step, values: Values, body: str) -> Values:
    """Return values with the tag, the body and make_latest.

    The action generates the notes itself since version 2.4.2. Before, GitHub adds them.
    """
    values = {"tag_name": step.tag, **values}
    if step.inputs.switch("generate_release_notes"):
        if step.inputs.since("2.4.2"):
            request: Values = {"tag_name": step.tag}
            if "target_commitish" in values:
                request["target_commitish"] = values["target_commitish"]
            if step.inputs["previous_tag"]:
                request["previous_tag_name"] = step.inputs["previous_tag"]
            notes = step.api.notes(request)
            body = f"{body}\n\n{notes}" if body else notes
            body = body[:_MAX_BODY_LENGTH]
        else:
            values["generate_release_notes"] = True
    if body:
        values["body"] = body
    if step.inputs["make_latest"] in ("true", "false", "legacy"):
        values["make_latest"] = step.inputs["make_latest"]
    return values


def _finalize(step: Step, release: Release) -> Release:
    """Publish the draft, which is complete now. Versions before 2.5.0 do not create one."""
    if not step.inputs.since("2.5.0") or step.draft or not release["draft"]:
        return release
    print("Finalizing release...")
    values: Values = {"draft": False}
    if step.inputs.since("2.5.1") and step.inputs["make_latest"] in ("true", "false", "legacy"):
        values["make_latest"] = step.inputs["make_latest"]
    return _retried(lambda: step.api.save("PATCH", f"/releases/{release['id']}", values))


def _retried(send: Callable[[], Release]) -> Release:
    for _ in range(_ATTEMPTS - 1):
        try:
            return send()
        except Refused as refusal:
            print(f"error finalizing release: {refusal}; retrying...")
    return send()


# ---- its files ----


def _upload(step: Step, release: Release, path: Path, current: Sequence[Asset]) -> Asset | None:
    """Upload a file. Return None if a file of this name exists and is kept."""
    if asset := next((asset for asset in current if _is_same(step, asset, path.name)), None):
        if not step.inputs.switch("overwrite_files"):
            print(f"Asset {path.name} already exists and overwrite_files is false...")
            return None
        print(f"Deleting previously uploaded asset {path.name}...")
        step.api.remove_asset(asset)
    print(f"Uploading {path.name}...")
    try:
        uploaded = step.api.upload(release, path)
    except Refused as refusal:
        is_taken = refusal.status == 422 and refusal.code == "already_exists"
        if not is_taken or not step.inputs.since("2.5.2"):
            raise
        uploaded = _replace(step, release, path)
    if uploaded["name"] == path.name or not step.inputs.since("2.5.2"):
        return uploaded
    print(f"Restoring asset label to {path.name}...")
    try:
        return step.api.label(uploaded, path.name)
    except Refused as refusal:
        print(f"error updating release asset label for {path.name}: {refusal}")
        return uploaded


def _replace(step: Step, release: Release, path: Path) -> Asset:
    """Replace the file that another job or an earlier pattern uploaded."""
    if step.inputs.switch("overwrite_files"):
        for asset in step.api.assets(release):
            if _is_same(step, asset, path.name):
                step.api.remove_asset(asset)
                break
    return step.api.upload(release, path)


def _is_same(step: Step, asset: Asset, name: str) -> bool:
    """Return whether a version regards a file of the release as the file with this name."""
    aligned = name.replace(" ", ".")
    if step.inputs.since("2.5.2"):
        return not {asset["name"], asset["label"]}.isdisjoint({name, aligned})
    return asset["name"] == (aligned if step.inputs.since("2.1.0") else name)


def _write_outputs(
    step: Step, release: Release, assets: Sequence[Asset], *, has_files: bool
) -> None:
    if step.inputs.since("2.5.1"):
        # The URLs of the files of a draft change with its publication.
        ids = {asset["id"] for asset in assets}
        current = step.api.assets(release) if ids else []
        assets = [asset for asset in current if asset["id"] in ids]
        has_files = True
    if has_files:
        listed = [
            {key: value for key, value in asset.items() if key != "uploader"} for asset in assets
        ]
        output("assets", json.dumps(listed))
    print(f"Release ready at {release['html_url']}")
    output("url", release["html_url"])
    output("id", str(release["id"]))
    output("upload_url", release["upload_url"])


if __name__ == "__main__":
    run(main, OSError, testbed_errors={requests.RequestException: "forge-unreachable"})
