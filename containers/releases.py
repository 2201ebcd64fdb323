"""What the live index has of the project: a release as a whole, and the releases before it.

An installer that finds no fitting file in a release takes the newest older one that has any, so
what a user gets depends on them as well. Only those that some installer could take are kept: of
releases with files for the same Pythons and platforms that is the newest.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from containers import wheelhouse
from containers.images import Unavailable
from containers.progress import say, step
from containers.state import locked, state_dir
from containers.wheelhouse import Wheelhouse

_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691
_PLATFORM = re.compile(r"(?:many|musl)?linux\w*_x86_64|win_amd64|any")
"""The platform tags of machines that we have."""
_SECONDS = 20
_ASK = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of an earlier release, as the index tells of it."""

    name: str
    version: Version
    url: str
    sha256: str
    fits: tuple[str, ...]
    """For whom it is: its tags, or ``sdist``, and the Pythons it requires."""
    yanked: str | None
    """Why its maintainer withdrew it; None for a file that counts."""


@dataclasses.dataclass(frozen=True)
class History:
    """The earlier releases: their files, oldest first, and those of them that are yanked."""

    files: tuple[Path, ...] = ()
    yanked: dict[str, str] = dataclasses.field(default_factory=dict)
    """The reason, by file name."""

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that there are wheels of, oldest first."""
        wheels = [path.name for path in self.files if path.suffix == ".whl"]
        return tuple(str(v) for v in sorted({parse_wheel_filename(name)[1] for name in wheels}))


def earlier(project: str, version: str, *, url: str | None = None) -> History:
    """Return what the configured upstream index has of ``project`` before ``version``.

    The page is asked for in every run, and the last one is used where the index does not answer;
    each file is fetched once and checked against the page's sha256. ``url`` names another index.

    Raises:
        Unavailable: the index does not answer and never did, or does not give a file.
    """
    folder = state_dir() / "releases" / f"{project}-earlier"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(f"earlier-{project}"):
        page, base = _page(project, folder / "page.json", url)
        wanted = taken(list(_files(page, base)), Version(version))
        missing = [file for file in wanted if not (folder / file.name).exists()]
        if missing:
            with step(f"earlier releases: fetching {len(missing)} files"):
                for file in missing:
                    _fetch(file, folder)
    return History(
        tuple(folder / file.name for file in wanted),
        {file.name: file.yanked for file in wanted if file.yanked is not None},
    )


def release(version: str, project: str, *, url: str | None = None) -> Wheelhouse:
    """Fetch the published wheels of one release, those for other Pythons and C libraries included.

    What it has for a promised machine must be had; what of the rest cannot be had is told by
    ``lost``. ``url`` names another index for these.

    Raises:
        WrongUse: the version is not one, or the index has no such release.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    house = wheelhouse.from_release(version, project)
    folder = state_dir() / "releases" / project / f"{house.version}-others"
    folder.mkdir(parents=True, exist_ok=True)
    known = set(house.digests())
    found, lost = [], {}
    with locked(f"release-{project}-{house.version}"):
        try:
            page, base = _page(project, folder / "page.json", url)
            wanted = [file for file in _files(page, base) if file.version == Version(house.version)]
        except Unavailable as reason:
            say(f"release {house.version}: whether it has wheels for other machines: {reason}")
            return dataclasses.replace(house, lost={"its other wheels": str(reason)})
        for file in wanted:
            if file.name in known or not file.name.endswith(".whl"):
                continue
            try:
                if not (folder / file.name).exists():
                    _fetch(file, folder)
            except Unavailable as reason:
                lost[file.name] = str(reason)
            else:
                found.append(folder / file.name)
    every = sorted((*house.wheels, *found), key=lambda path: path.name)
    beside = [Path(file.name) for file in wanted if not file.name.endswith(".whl")]
    return dataclasses.replace(
        house, wheels=tuple(every), lost=lost, beside=(*house.beside, *beside)
    )


def sources(versions: Mapping[str, str], *, url: str | None = None) -> tuple[Path, ...]:
    """Return the source distribution of each project in its version, as the upstream index has it.

    ``versions`` is by project; one without a source distribution is left out. Each is fetched once,
    and the index is not asked again: what is published does not change. ``url`` names another index
    than the configured one.

    Raises:
        Unavailable: the index does not answer and never did, or does not give a file.
    """
    folder = state_dir() / "releases" / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with locked("sources"):
        for project, version in versions.items():
            wanted = (canonicalize_name(project), Version(version))
            kept = [path for path in folder.iterdir() if path.name.endswith((".tar.gz", ".zip"))]
            there = [path for path in kept if parse_sdist_filename(path.name) == wanted]
            if not there:
                page, base = _page(project, folder / f"{project}.json", url)
                for file in _files(page, base):
                    if file.version == wanted[1] and file.fits[0] == "sdist":
                        _fetch(file, folder)
                        there.append(folder / file.name)
            found += there
    return tuple(found)


def taken(files: list[File], before: Version) -> list[File]:
    """Return the files that some installer could take, oldest release first.

    A file is left out where a newer release has one for the same Pythons and platforms.
    """
    found: list[File] = []
    seen: set[tuple[object, ...]] = set()
    older = [file for file in files if file.version < before and not file.version.is_prerelease]
    for file in sorted(older, key=lambda one: (one.version, one.name), reverse=True):
        key = (file.fits, file.yanked is None)
        if key not in seen or any(one.version == file.version for one in found):
            found.append(file)
        seen.add(key)
    return found[::-1]


def _files(page: dict[str, Any], base: str) -> Iterator[File]:
    for told in page["files"]:
        name = str(told["filename"])
        try:
            if name.endswith(".whl"):
                _, version, _, tags = parse_wheel_filename(name)
                if not any(_PLATFORM.fullmatch(tag.platform) for tag in tags):
                    continue  # for a machine that we have not
                fits = sorted(map(str, tags))
            else:
                _, version = parse_sdist_filename(name)
                fits = ["sdist"]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue  # no installer looks at it either
        yanked = told.get("yanked") or None
        yield File(
            name=name,
            version=version,
            url=urljoin(base, told["url"]),
            sha256=(told.get("hashes") or {}).get("sha256", ""),
            fits=(*fits, str(told.get("requires-python") or "")),
            yanked=yanked if yanked is None or isinstance(yanked, str) else "",
        )


def _page(project: str, kept: Path, url: str | None) -> tuple[dict[str, Any], str]:
    base = f"{(url or _index_url()).rstrip('/')}/{canonicalize_name(project)}/"
    try:
        answer = requests.get(base, headers={"Accept": _JSON}, timeout=_SECONDS)
        answer.raise_for_status()
        page = _listed(answer.json())
    except (requests.RequestException, ValueError) as error:
        if not kept.exists():
            reason = " ".join(str(error).split())[:200]
            raise Unavailable(
                f"the upstream index does not tell what it has of {project}: {reason}"
            ) from error
        page = json.loads(kept.read_text("utf-8"))
    else:
        kept.write_text(json.dumps(page), "utf-8")
    return page, base


def _listed(page: Any) -> dict[str, Any]:
    """Return the page of a project, if it is one (PEP 691).

    Raises:
        ValueError: it is something else.
    """
    if isinstance(page, dict) and isinstance(page.get("files"), list):
        return page
    raise ValueError("its answer is no list of files")


@functools.cache
def _index_url() -> str:
    """Return the index that this host's own pip asks: as it is set up, else pip's default."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    ran = subprocess.run(pip, capture_output=True, text=True, check=False)
    told = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
    for name in (":env:.index-url", "global.index-url"):
        if name in told:
            return str(ast.literal_eval(told[name]))
    default = subprocess.run(
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=True
    )
    return default.stdout.strip()


def _fetch(file: File, into: Path) -> None:
    try:
        answer = requests.get(file.url, timeout=_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise Unavailable(
            f"{file.name} cannot be had: {' '.join(str(error).split())[:200]}"
        ) from error
    if not file.sha256:
        raise Unavailable(f"{file.name}: its page has no sha256 of it")
    seen = hashlib.sha256(answer.content).hexdigest()
    if seen != file.sha256:
        raise Unavailable(
            f"{file.name} has sha256 {seen[:16]}..., its page says {file.sha256[:16]}..."
        )
    partial = into / f"{file.name}.partial"
    partial.write_bytes(answer.content)
    partial.rename(into / file.name)
