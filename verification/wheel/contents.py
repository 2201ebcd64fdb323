"""List what a wheel contains, and compare it with the declaration and with an earlier release."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import PurePosixPath
from typing import NamedTuple

from packaging.utils import canonicalize_name

from verification.models.cause import Cause
from verification.models.inspection import FileContent, Library, WheelContents
from verification.models.subject import ContentsDeclaration
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.library_names import is_extension_module, without_hash
from verification.wheel.wording import byte_size, listing

_DIST_INFO = re.compile(r"^[^/]+(?=\.(?:dist-info|data)/)")
_NAME = re.compile(r'^[\w.-]+|(?<=extra==")[\w.-]+|(?<=\[)[\w.,-]+')
"""The names of a distribution and of extras in a line of METADATA without spaces."""
_MAX_FACTS = 100
"""The number of values that a fact of a cause contains. ``contents.json`` has all."""


def read(archive: Archive, libraries: Iterable[Library], requires: Iterable[str]) -> WheelContents:
    """Return what a wheel contains."""
    return WheelContents(
        wheel=archive.name,
        size=archive.size,
        sha256=archive.sha256,
        files={
            path: FileContent(size=member.size, sha256=member.sha256)
            for path, member in sorted(archive.installed.items(), key=itemgetter(0))
        },
        exports={library.path: tuple(sorted(library.exports)) for library in libraries},
        requires=tuple(requires),
    )


def causes(contents: WheelContents, declaration: ContentsDeclaration) -> Iterator[Cause]:
    """Yield a cause for each difference of a wheel from the declaration of its subject."""
    for pattern in declaration.must_have:
        if not any(_fits(path, pattern) for path in contents.files):
            message = f"has no file that fits {pattern}"
            yield catalogue().cause("declared-file-missing", contents.wheel, message, path=pattern)
    for pattern in declaration.must_not_have:
        if fitting := [path for path in contents.files if _fits(path, pattern)]:
            message = f"contains {listing(fitting)}; {pattern} must not be in it"
            yield catalogue().cause(
                "excluded-file",
                contents.wheel,
                message,
                pattern=pattern,
                files=tuple(fitting[:_MAX_FACTS]),
            )
    budget = declaration.size_budget
    installed = sum(file.size for file in contents.files.values())
    for kind, size, limit in (
        ("wheel", contents.size, budget.wheel),
        ("installed", installed, budget.installed),
    ):
        if limit is not None and size > limit:
            measured = "is" if kind == "wheel" else "installs"
            message = f"{measured} {byte_size(size)}; the budget is {byte_size(limit)}"
            yield catalogue().cause(
                "size-budget-exceeded", contents.wheel, message, kind=kind, size=size, limit=limit
            )


def _fits(path: str, pattern: str) -> bool:
    """Return whether a pattern fits the name of a file, or with a slash its path or a folder."""
    if "/" not in pattern:
        return fnmatch.fnmatchcase(posixpath.basename(path), pattern)
    pattern = pattern.removesuffix("/")
    folders = [str(folder) for folder in PurePosixPath(path).parents]
    if "/" not in pattern:
        return any(fnmatch.fnmatchcase(posixpath.basename(each), pattern) for each in folders)
    return any(fnmatch.fnmatchcase(each, pattern) for each in (path, *folders))


class Changes(NamedTuple):
    """The differences of a wheel from the wheel of an earlier release."""

    removed: tuple[str, ...]
    """The files that only the earlier wheel has."""
    added: tuple[str, ...]
    """The files that only the later wheel has."""
    no_longer_required: tuple[str, ...]
    newly_required: tuple[str, ...]
    no_longer_exported: tuple[str, ...]
    """The symbols that a library in both wheels no longer exports, as ``path: symbol``."""


def changes(now: WheelContents, before: WheelContents) -> Changes:
    """Return the differences of a wheel from the wheel of an earlier release.

    The version in the name of the metadata folder and the hash in the name of a repaired library
    are no differences. The exports of extension modules do not count, because no library uses them.
    """
    files, earlier_files = _by_stable_path(now.files), _by_stable_path(before.files)
    requires, earlier_requires = map(_by_requirement, (now.requires, before.requires))
    exports, earlier_exports = map(_by_stable_path, (now.exports, before.exports))
    return Changes(
        _missing(earlier_files, files),
        _missing(files, earlier_files),
        _missing(earlier_requires, requires),
        _missing(requires, earlier_requires),
        tuple(
            f"{path}: {symbol}"
            for stable, path in exports.items()
            if stable in earlier_exports and not is_extension_module(path)
            for symbol in before.exports[earlier_exports[stable]]
            if symbol not in set(now.exports[path])
        ),
    )


def changes_cause(now: WheelContents, before: WheelContents) -> Cause | None:
    """Return the note about the differences from an earlier wheel; None if there are none."""
    found = changes(now, before)
    parts = [
        f"{text} {listing(values, limit)}"
        for text, values, limit in zip(
            ("has no", "has new", "does not require", "newly requires", "does not export"),
            found,
            (3, 3, 3, 3, 1),
            strict=True,
        )
        if values
    ]
    if not parts:
        return None
    facts = {name: values[:_MAX_FACTS] for name, values in found._asdict().items() if values}
    message = f"compared with {before.wheel}: {'; '.join(parts)}"
    return catalogue().cause("contents-changed", now.wheel, message, earlier=before.wheel, **facts)


def _missing(names: Mapping[str, str], others: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for stable, name in names.items() if stable not in others)


def _by_stable_path(paths: Iterable[str]) -> dict[str, str]:
    """Return paths by a form that is equal in each release."""
    return {_stable_path(path): path for path in paths}


def _stable_path(path: str) -> str:
    folder, name = posixpath.split(_DIST_INFO.sub("", path))
    return posixpath.join(folder, without_hash(name))


def _by_requirement(lines: Iterable[str]) -> dict[str, str]:
    return {normalized(line): line for line in lines}


def normalized(text: str | None) -> str:
    """Return a line of METADATA in a form that is equal for lines with the same meaning."""
    line = re.sub(r"\s+|[()]", "", text or "nothing").replace("'", '"')
    return _NAME.sub(lambda name: canonicalize_name(name[0]), line)
