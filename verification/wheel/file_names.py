"""Check that each file of a wheel has a name that every system of the wheel can store."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause, FactValue
from verification.models.subject import PlatformTarget
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.wording import listing

# learn.microsoft.com, "Naming Files, Paths, and Namespaces": the names of devices, with any suffix,
# and the forbidden characters. `_unsafe_name` checks the separators of folders.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3])\s*(\.|$)", re.IGNORECASE
)
_UNUSABLE = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')
_MAX_NAME_LENGTH = 255  # UTF-16 units
# learn.microsoft.com, "Maximum Path Length Limitation": MAX_PATH is 260 with the final null.
_MAX_PATH_LENGTH = 259
# The default folder of the Python installer for one user (docs.python.org, "Using Python on
# Windows"). The user name has 20 characters, the maximum of sAMAccountName.
_SITE_PACKAGES = len(
    f"C:/Users/{'x' * 20}/AppData/Local/Programs/Python/Python313/Lib/site-packages/"
)


def causes(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    """Yield a cause for each name that cannot be unpacked to its install path.

    A wheel that can be installed on Windows must have only names that Windows allows.
    """
    for_windows = identity.pure or PlatformTarget.of(identity.platform_tag).system == "windows"
    for name in dict.fromkeys(archive.names):
        if reason := _unsafe_name(name):
            yield _mismatch(name, f"is an unsafe file name: {reason}")
        if for_windows:
            yield from _windows_causes(name, archive.install_paths[name])
    names_by_path: dict[str, list[str]] = defaultdict(list)
    for name, path in archive.install_paths.items():
        names_by_path[path.lower() if for_windows else path].append(name)
    for names in names_by_path.values():
        if len(names) > 1:
            message = f"has the same install path as {listing(names[1:])}"
            yield _mismatch(names[0], message, same_path=tuple(names[1:]))


def _unsafe_name(name: str) -> str | None:
    """Return why a file may be unpacked outside the environment, or None if it may not."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "the path is absolute"
    if ".." in re.split(r"[/\\]", name):
        return "`..` leads out of the environment"
    if "\\" in name:
        return "a backslash separates folders on Windows only"
    return None


def _windows_causes(name: str, install_path: str) -> Iterator[Cause]:
    for part in PurePosixPath(name).parts:
        if _DEVICE.match(part) or _UNUSABLE.search(part) or _utf16_length(part) > _MAX_NAME_LENGTH:
            message = f"cannot be installed on Windows, which does not allow the name {part[:80]!r}"
            yield catalogue().cause("file-name-unusable", name, message, part=part)
    length = _SITE_PACKAGES + _utf16_length(install_path)
    # Scripts and headers of the .data folder have other install paths.
    if length > _MAX_PATH_LENGTH and not install_path.partition("/")[0].endswith(".data"):
        message = f"has an install path of {length} characters in the default folder of a user's"
        message += f" Python on Windows, where the limit is {_MAX_PATH_LENGTH} by default"
        yield catalogue().cause("file-name-unusable", name, message, length=length)


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _mismatch(name: str, message: str, **facts: FactValue) -> Cause:
    return catalogue().cause("record-mismatch", name, message, risk=False, **facts)
