"""Check that each file of a wheel has a name that every system of the wheel can store."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause, FactValue
from verification.models.subject import PlatformTarget, Subject
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
# The user name has 20 characters, the maximum of sAMAccountName.
_APP_DATA = f"C:/Users/{'x' * 20}/AppData/Local"
STORE_PYTHON = "Python of the Microsoft Store"


def causes(archive: Archive, identity: WheelIdentity, subject: Subject) -> Iterator[Cause]:
    """Yield a cause for each name that cannot be unpacked to its install path.

    A wheel that can be installed on Windows must have only names that Windows allows, with the
    subject's Python.
    """
    python = subject.python_version
    for_windows = identity.pure or PlatformTarget.of(identity.platform_tag).system == "windows"
    for name in dict.fromkeys(archive.names):
        if reason := _unsafe_name(name):
            yield _mismatch(name, f"is an unsafe file name: {reason}")
        if for_windows:
            yield from _windows_causes(name, archive.install_paths[name], python)
    if for_windows:
        yield from _store_causes(archive, python)
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


def _site_packages_length(python: tuple[int, int]) -> int:
    """Return the length of the folder of packages after an installation for one user.

    It is the default folder of Python's installer (docs.python.org, "Using Python on Windows").
    """
    major, minor = python
    return len(f"{_APP_DATA}/Programs/Python/Python{major}{minor}/Lib/site-packages/")


def _store_site_packages_length(python: tuple[int, int]) -> int:
    """Return the length of the folder of packages with Python of the Microsoft Store.

    This Python installs into the folder of its application package (learn.microsoft.com, "MSIX:
    file system"; the family name is the one that the Store shows).
    """
    major, minor = python
    family = f"PythonSoftwareFoundation.Python.{major}.{minor}_qbz5n2kfra8p0"
    packages = f"LocalCache/local-packages/Python{major}{minor}/site-packages/"
    return len(f"{_APP_DATA}/Packages/{family}/{packages}")


def _windows_causes(name: str, install_path: str, python: tuple[int, int]) -> Iterator[Cause]:
    for part in PurePosixPath(name).parts:
        if _DEVICE.match(part) or _UNUSABLE.search(part) or _utf16_length(part) > _MAX_NAME_LENGTH:
            message = f"cannot be installed on Windows, which does not allow the name {part[:80]!r}"
            yield catalogue().cause("file-name-unusable", name, message, part=part)
    length = _site_packages_length(python) + _utf16_length(install_path)
    if length > _MAX_PATH_LENGTH and _is_in_site_packages(install_path):
        message = f"has an install path of {length} characters in the default folder of a user's"
        message += f" Python on Windows, where the limit is {_MAX_PATH_LENGTH} by default"
        yield catalogue().cause("file-name-unusable", name, message, length=length)


def _store_causes(archive: Archive, python: tuple[int, int]) -> Iterator[Cause]:
    """Yield one cause for the paths that are too long only with Python of the Microsoft Store."""
    site_packages, of_store = _site_packages_length(python), _store_site_packages_length(python)
    lengths = {
        name: of_store + _utf16_length(path)
        for name, path in archive.install_paths.items()
        if _is_in_site_packages(path) and site_packages + _utf16_length(path) <= _MAX_PATH_LENGTH
    }
    too_long = {name: length for name, length in lengths.items() if length > _MAX_PATH_LENGTH}
    if too_long:
        name = max(sorted(too_long), key=too_long.__getitem__)
        message = f"has an install path of {too_long[name]} characters with {STORE_PYTHON}, where"
        message += f" the limit is {_MAX_PATH_LENGTH} by default"
        message += f"; {len(too_long)} files are too long" if len(too_long) > 1 else ""
        yield catalogue().cause(
            "file-name-unusable",
            name,
            message,
            risk=True,
            length=too_long[name],
            files=len(too_long),
            python=STORE_PYTHON,
        )


def _is_in_site_packages(install_path: str) -> bool:
    """Return whether a file is installed next to the packages, not to a folder of `.data`."""
    return not install_path.partition("/")[0].endswith(".data")


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _mismatch(name: str, message: str, **facts: FactValue) -> Cause:
    return catalogue().cause("record-mismatch", name, message, risk=False, **facts)
