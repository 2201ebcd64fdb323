"""Releases and their assets: the rules, in memory, with a copy on disk for the host side.

``releases.json`` in the folder is replaced whole after each change; the bytes of an asset lie in
``assets/ID``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from .refs import Refs, is_well_formed, version_key
from .routing import Problem, invalid

_BLOCK = 1 << 20
# What GitHub lets stand in the name of an asset; the rest becomes a full stop.
_RENAMED = re.compile(r"[^A-Za-z0-9_.@+~-]+")


@dataclasses.dataclass
class Asset:
    """A file of a release."""

    id: int
    name: str
    label: str | None
    content_type: str
    size: int
    sha256: str
    created_at: str
    updated_at: str
    downloads: int = 0


@dataclasses.dataclass
class Release:
    """A release, published or a draft."""

    id: int
    tag: str
    target: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    created_at: str
    untagged: str
    """What stands in a draft's address, where a published release has its tag."""
    published_at: str | None = None
    assets: list[Asset] = dataclasses.field(default_factory=list)


class Store:
    """All releases; every change goes through `changing`."""

    def __init__(self, folder: Path, refs: Refs) -> None:
        self._folder = folder
        self._refs = refs
        self._lock = threading.RLock()
        self._releases: dict[int, Release] = {}
        self._latest: int | None = None
        self._passed_over: set[int] = set()
        self._last_id = 0
        (folder / "assets").mkdir(exist_ok=True)
        self._save()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the store for a change, and write the copy when it is made."""
        with self._lock:
            yield
            self._save()

    def all(self, *, drafts: bool) -> list[Release]:
        """Return the releases, the newest first."""
        with self._lock:
            found = [one for one in self._releases.values() if drafts or not one.draft]
        return sorted(found, key=lambda one: one.id, reverse=True)

    def find(self, number: int, *, drafts: bool) -> Release | None:
        """Return a release by its id."""
        found = self._releases.get(number)
        return found if found and (drafts or not found.draft) else None

    def by_tag(self, tag: str) -> Release | None:
        """Return the published release of a tag."""
        return next((one for one in self.all(drafts=False) if one.tag == tag), None)

    def latest(self) -> Release | None:
        """Return the release that is marked as the latest one."""
        fit = [
            one
            for one in self.all(drafts=False)
            if not one.prerelease and one.id not in self._passed_over
        ]
        marked = [one for one in fit if one.id == self._latest]
        return max(marked or fit, key=lambda one: (version_key(one.tag), one.id), default=None)

    def create(self, values: dict[str, Any], make_latest: str) -> Release:
        """Make a release; its tag too, if it is published and there is none.

        Raises:
            Problem: 422: no valid tag, an unknown target, or a published release has the tag.
        """
        with self.changing():
            release = Release(
                id=self._next_id(), created_at=now(), untagged=secrets.token_hex(10), **values
            )
            self._check(release)
            self._releases[release.id] = release
            if not release.draft:
                self._publish(release, make_latest)
        return release

    def update(self, release: Release, values: dict[str, Any], make_latest: str | None) -> None:
        """Change a release.

        Raises:
            Problem: as for `create`; nothing is changed then.
        """
        with self.changing():
            changed = dataclasses.replace(release, **values)
            self._check(changed)
            first = release.draft and not changed.draft
            for name, value in values.items():
                setattr(release, name, value)
            if first:
                self._publish(release, make_latest or "true")
            elif not release.draft:
                self._refs.make_tag(release.tag, release.target)
                self._mark(release, make_latest)

    def delete(self, release: Release) -> None:
        """Delete a release with its assets; its tag stays."""
        with self.changing():
            for asset in release.assets:
                self.path(asset).unlink(missing_ok=True)
            self._releases.pop(release.id, None)

    def _check(self, release: Release) -> None:
        if not is_well_formed(release.tag):
            about = {"resource": "Release", "field": "tag_name"}
            errors = [] if release.tag else [about | {"code": "missing_field"}]
            errors.append(about | {"code": "custom", "message": "tag_name is not well-formed"})
            if not release.draft:
                message = "Published releases must have a valid tag"
                errors.append({"resource": "Release", "code": "custom", "message": message})
            raise invalid(*errors)
        if self._refs.find(f"refs/tags/{release.tag}") is None and not self._refs.commit(
            release.target
        ):
            raise invalid({"resource": "Release", "code": "invalid", "field": "target_commitish"})
        if not release.draft:
            other = self.by_tag(release.tag)
            if other is not None and other.id != release.id:
                raise invalid(
                    {"resource": "Release", "code": "already_exists", "field": "tag_name"}
                )

    def _publish(self, release: Release, make_latest: str) -> None:
        release.published_at = now()
        self._refs.make_tag(release.tag, release.target)
        self._mark(release, make_latest)

    def _mark(self, release: Release, make_latest: str | None) -> None:
        if release.prerelease:
            return  # it cannot be the latest
        if make_latest in ("true", "legacy"):
            self._passed_over.discard(release.id)
            self._latest = release.id if make_latest == "true" else None
        elif make_latest == "false":
            self._passed_over.add(release.id)

    # Assets.

    def asset(self, number: int, *, drafts: bool) -> tuple[Release, Asset] | None:
        """Return an asset by its id, and its release."""
        for release in self.all(drafts=drafts):
            for asset in release.assets:
                if asset.id == number:
                    return release, asset
        return None

    def path(self, asset: Asset) -> Path:
        """Return where the bytes of an asset are."""
        return self._folder / "assets" / str(asset.id)

    def check_name(self, release: Release, name: str, keep: Asset | None = None) -> str:
        """Return the name that an asset gets.

        Raises:
            Problem: 422: another asset of the release has it, or there is none.
        """
        given = rename(name)
        if not given:
            raise invalid({"resource": "ReleaseAsset", "code": "missing_field", "field": "name"})
        if any(one.name == given and one is not keep for one in release.assets):
            raise invalid({"resource": "ReleaseAsset", "code": "already_exists", "field": "name"})
        return given

    def attach(
        self,
        release: Release,
        name: str,
        label: str | None,
        kind: str,
        content: IO[bytes],
        length: int,
    ) -> Asset:
        """Take an asset's bytes in and attach it.

        Raises:
            Problem: as for `check_name`, also if another upload of that name was faster; 400 if
                there are not ``length`` bytes.
        """
        self.check_name(release, name)
        with self._lock:
            number = self._next_id()
        time = now()
        path = self._folder / "assets" / str(number)
        try:
            digest = _take(content, length, path)
            with self.changing():
                given = self.check_name(release, name)
                asset = Asset(number, given, label, kind, length, digest, time, now())
                release.assets.append(asset)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return asset

    def detach(self, release: Release, asset: Asset) -> None:
        """Delete an asset."""
        with self.changing():
            release.assets[:] = [one for one in release.assets if one is not asset]
            self.path(asset).unlink(missing_ok=True)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _save(self) -> None:
        latest = self.latest()
        table = [
            dataclasses.asdict(release) | {"latest": release is latest}
            for release in self.all(drafts=True)
        ]
        path = self._folder / "releases.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(table), "utf-8")
        fresh.replace(path)


def _take(content: IO[bytes], length: int, into: Path) -> str:
    digest = hashlib.sha256()
    size = 0
    with into.open("wb") as file:
        while block := content.read(_BLOCK):
            digest.update(block)
            size += file.write(block)
    if size != length:
        raise Problem(400, "Bad Content-Length")
    return digest.hexdigest()


def rename(name: str) -> str:
    """Return the name that GitHub gives an uploaded file: special characters become full stops."""
    return _RENAMED.sub(".", name).strip(".")


def now() -> str:
    """Return the time as GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
