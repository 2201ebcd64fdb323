"""The release pages of the forge (GitHub's releases) and their assets, in memory.

A copy is in `Settings.folder`, on the disk of the forge's container. The host reads it there. Each
change replaces the file ``releases.json``. The content of an asset is in the file ``assets/ID``.
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
from typing import IO

from .refs import Refs, is_well_formed, version_key
from .routing import Problem, invalid, not_found

_BLOCK_SIZE = 1 << 20
# GitHub replaces these characters in the name of an asset by a full stop.
_REPLACED = re.compile(r"[^A-Za-z0-9_.@+~-]+")


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

    @property
    def node_id(self) -> str:
        """The id in GraphQL."""
        return f"RA_{self.id}"

    @property
    def digest(self) -> str:
        """The digest in GitHub's format."""
        return f"sha256:{self.sha256}"


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A request to upload an asset."""

    name: str
    label: str | None
    content_type: str
    content: IO[bytes]
    length: int


@dataclasses.dataclass
class Release:
    """A published release or a draft."""

    id: int
    tag: str
    target: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    created_at: str
    untagged: str
    """A random text. The URL of a draft contains it in the place of the tag."""
    published_at: str | None = None
    assets: list[Asset] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseFields:
    """The fields of a release that a client can set. A field that is None is not changed."""

    tag: str | None = None
    target: str | None = None
    name: str | None = None
    body: str | None = None
    draft: bool | None = None
    prerelease: bool | None = None


class ReleaseStore:
    """All releases. Each change uses `changing`."""

    def __init__(self, folder: Path, refs: Refs) -> None:
        self._folder = folder
        self._refs = refs
        self._lock = threading.RLock()
        self._releases: dict[int, Release] = {}
        self._latest: int | None = None
        self._never_latest: set[int] = set()
        self._last_id = 0
        (folder / "assets").mkdir(exist_ok=True)
        self._save()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Lock the store for a change, then write ``releases.json``."""
        with self._lock:
            yield
            self._save()

    def all(self, *, drafts: bool) -> list[Release]:
        """Return the releases, newest first."""
        with self._lock:
            releases = [rel for rel in self._releases.values() if drafts or not rel.draft]
        return sorted(releases, key=lambda release: release.id, reverse=True)

    def find(self, number: int, *, drafts: bool) -> Release:
        """Return a release by its id.

        Raises:
            Problem: 404: it does not exist, or it is a draft and ``drafts`` is false.
        """
        release = self._releases.get(number)
        if release is None or (release.draft and not drafts):
            raise not_found()
        return release

    def by_tag(self, tag: str) -> Release | None:
        """Return the published release of a tag, or None."""
        return next((release for release in self.all(drafts=False) if release.tag == tag), None)

    def latest(self) -> Release | None:
        """Return the release that is marked as the latest, else the highest version, or None."""
        candidates = [
            release
            for release in self.all(drafts=False)
            if not release.prerelease and release.id not in self._never_latest
        ]
        marked = [release for release in candidates if release.id == self._latest]
        return max(
            marked or candidates,
            key=lambda release: (version_key(release.tag), release.id),
            default=None,
        )

    def create(self, fields: ReleaseFields, make_latest: str) -> Release:
        """Create a release. A published release also creates its tag if it does not exist.

        Raises:
            Problem: 422: the tag is not valid, the target is unknown, or another published release
                has the tag.
        """
        with self.changing():
            release = Release(
                id=self._next_id(),
                tag=fields.tag or "",
                target=fields.target or "",
                name=fields.name,
                body=fields.body,
                draft=bool(fields.draft),
                prerelease=bool(fields.prerelease),
                created_at=now(),
                untagged=secrets.token_hex(10),
            )
            self._check(release)
            self._releases[release.id] = release
            if not release.draft:
                self._publish(release, make_latest)
        return release

    def update(self, release: Release, fields: ReleaseFields, make_latest: str | None) -> None:
        """Change a release.

        Raises:
            Problem: as for `create`. The release does not change.
        """
        with self.changing():
            changed = dataclasses.replace(release)
            _apply(fields, changed)
            self._check(changed)
            is_first_publication = release.draft and not changed.draft
            _apply(fields, release)
            if is_first_publication:
                self._publish(release, make_latest or "true")
            elif not release.draft:
                self._refs.create_tag(release.tag, release.target)
                self._mark_latest(release, make_latest)

    def delete(self, release: Release) -> None:
        """Delete a release with its assets. Its tag stays."""
        with self.changing():
            for asset in release.assets:
                self.path(asset).unlink(missing_ok=True)
            self._releases.pop(release.id, None)

    def _check(self, release: Release) -> None:
        if not is_well_formed(release.tag):
            tag_error = {"resource": "Release", "field": "tag_name"}
            errors = [] if release.tag else [tag_error | {"code": "missing_field"}]
            errors.append(tag_error | {"code": "custom", "message": "tag_name is not well-formed"})
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
        self._refs.create_tag(release.tag, release.target)
        self._mark_latest(release, make_latest)

    def _mark_latest(self, release: Release, make_latest: str | None) -> None:
        if release.prerelease:
            return  # a pre-release is never the latest
        if make_latest in ("true", "legacy"):
            self._never_latest.discard(release.id)
            self._latest = release.id if make_latest == "true" else None
        elif make_latest == "false":
            self._never_latest.add(release.id)

    # Assets.

    def asset(self, number: int, *, drafts: bool) -> tuple[Release, Asset]:
        """Return the release and the asset with this id.

        Raises:
            Problem: 404: as for `find`.
        """
        for release in self.all(drafts=drafts):
            for asset in release.assets:
                if asset.id == number:
                    return release, asset
        raise not_found()

    def path(self, asset: Asset) -> Path:
        """Return the path of the content of an asset."""
        return self._folder / "assets" / str(asset.id)

    def check_name(self, release: Release, name: str, keep: Asset | None = None) -> str:
        """Return the name that an asset gets.

        Raises:
            Problem: 422: the name is empty, or another asset than ``keep`` has it.
        """
        renamed = rename(name)
        if not renamed:
            raise invalid({"resource": "ReleaseAsset", "code": "missing_field", "field": "name"})
        if any(asset.name == renamed and asset is not keep for asset in release.assets):
            raise invalid({"resource": "ReleaseAsset", "code": "already_exists", "field": "name"})
        return renamed

    def attach(self, release: Release, upload: Upload) -> Asset:
        """Store the content of an asset and add it to a release.

        Raises:
            Problem: as for `check_name`, also if a simultaneous upload of this name ended first;
                400 if the client sends fewer bytes than announced.
        """
        self.check_name(release, upload.name)
        with self._lock:
            number = self._next_id()
        created_at = now()
        path = self._folder / "assets" / str(number)
        try:
            sha256 = _store(upload, path)
            with self.changing():
                asset = Asset(
                    id=number,
                    name=self.check_name(release, upload.name),
                    label=upload.label,
                    content_type=upload.content_type,
                    size=upload.length,
                    sha256=sha256,
                    created_at=created_at,
                    updated_at=now(),
                )
                release.assets.append(asset)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return asset

    def detach(self, release: Release, asset: Asset) -> None:
        """Delete an asset."""
        with self.changing():
            release.assets[:] = [other for other in release.assets if other is not asset]
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
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(table), "utf-8")
        temporary.replace(path)


def _apply(fields: ReleaseFields, release: Release) -> None:
    for field in dataclasses.fields(fields):
        value = getattr(fields, field.name)
        if value is not None:
            setattr(release, field.name, value)


def _store(upload: Upload, path: Path) -> str:
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        while block := upload.content.read(_BLOCK_SIZE):
            digest.update(block)
            size += file.write(block)
    if size != upload.length:
        raise Problem(400, "Bad Content-Length")
    return digest.hexdigest()


def rename(name: str) -> str:
    """Return the name that GitHub gives to an uploaded file."""
    return _REPLACED.sub(".", name).strip(".")


def now() -> str:
    """Return the current time in GitHub's format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
