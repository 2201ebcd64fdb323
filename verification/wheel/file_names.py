"""Check that each file name of a wheel can be unpacked in its place on every system."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause
from verification.models.subject import Target
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.wording import listing

# learn.microsoft.com, "Naming Files, Paths, and Namespaces": the names of devices, with any suffix,
# and what no name may have. `_escape` covers the separators of folders.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3])\s*(\.|$)", re.IGNORECASE
)
_UNUSABLE = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')
_LONGEST = 255  # UTF-16 units
# learn.microsoft.com, "Maximum Path Length Limitation": MAX_PATH is 260 with the end of the text.
_LONGEST_PATH = 259
# Where Python's own installer for Windows puts it for one user (docs.python.org, "Using Python on
# Windows"), with a user's name of 20 characters, the most that sAMAccountName may have.
_SITE_PACKAGES = len(
    f"C:/Users/{'x' * 20}/AppData/Local/Programs/Python/Python313/Lib/site-packages/"
)


def faults(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    """Yield the names that cannot be unpacked where they belong.

    A wheel that may be installed on Windows must have names that Windows can have.
    """
    for_windows = identity.pure or Target.of(identity.platform_tag).system == "windows"
    for name in dict.fromkeys(archive.names):
        if escape := _escape(name):
            yield _mismatch(name, f"is a file name {escape}")
        if for_windows:
            yield from _windows_faults(name, archive.install_paths[name])
    names_by_path: dict[str, list[str]] = defaultdict(list)
    for name, path in archive.install_paths.items():
        names_by_path[path.lower() if for_windows else path].append(name)
    for names in names_by_path.values():
        if len(names) > 1:
            yield _mismatch(names[0], f"is installed in the same place as {listing(names[1:])}")


def _escape(name: str) -> str | None:
    """Return how a name leads out of the environment, or None if it does not."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "that leads to a fixed place"
    if ".." in re.split(r"[/\\]", name):
        return "that leads out of the environment"
    if "\\" in name:
        return "with a backslash, which is a folder on Windows only"
    return None


def _windows_faults(name: str, install_path: str) -> Iterator[Cause]:
    for part in PurePosixPath(name).parts:
        if _DEVICE.match(part) or _UNUSABLE.search(part) or _utf16_length(part) > _LONGEST:
            observed = f"is to be installed on Windows, which has no file named {part[:80]!r}"
            yield catalogue().cause("file-name-unusable", where=name, observed=observed)
    length = _SITE_PACKAGES + _utf16_length(install_path)
    # Scripts and headers of the .data folder are installed elsewhere.
    if length > _LONGEST_PATH and not install_path.partition("/")[0].endswith(".data"):
        observed = f"is {length} characters long where a user's Python is on Windows, which opens"
        observed += f" paths of {_LONGEST_PATH} unless it is set otherwise"
        yield catalogue().cause("file-name-unusable", where=name, observed=observed)


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _mismatch(name: str, observed: str) -> Cause:
    return catalogue().cause("record-mismatch", where=name, observed=observed)
