"""Build small wheels for tests, and plant faults in wheels.

The planted fault must be the only one. RECORD is therefore written again by default. A fault in a
file that the wheel does not contain raises an error.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

LINUX_TAG = "cp313-cp313-manylinux_2_28_x86_64"
WINDOWS_TAG = "cp313-cp313-win_amd64"

_EPOCH = (2020, 1, 1, 0, 0, 0)


def build(
    folder: Path,
    files: Mapping[str, bytes | str],
    *,
    name: str = "quiverdb",
    version: str = "1.0.0",
    tag: str = LINUX_TAG,
    requires: Iterable[str] = ("cffi>=2.0.0",),
    metadata: str | None = None,
) -> Path:
    """Write a wheel with these files and return its path.

    METADATA is complete unless `metadata` replaces it. WHEEL and RECORD are correct (PEP 427).
    """
    info = f"{name}-{version}.dist-info"
    members: dict[str, bytes] = {path: _bytes(data) for path, data in files.items()}
    if metadata is None:
        metadata = _metadata(name, version, requires)
    members[f"{info}/METADATA"] = _bytes(metadata)
    members[f"{info}/WHEEL"] = _bytes(_wheel(tag))
    members[f"{info}/RECORD"] = b""
    wheel = folder / f"{name}-{version}-{tag}.whl"
    _write(wheel, {path: (_member(path), data) for path, data in members.items()}, fix_record=True)
    return wheel


def mutate(
    wheel: Path,
    folder: Path,
    *,
    remove: Iterable[str] = (),
    move: Mapping[str, str] | None = None,
    edit: Mapping[str, Callable[[bytes], bytes]] | None = None,
    add: Mapping[str, bytes | str] | None = None,
    fix_record: bool = True,
    rename: str | None = None,
) -> Path:
    """Write a changed copy of a wheel into a folder and return its path.

    The changes are made in the order of the parameters. A path in `remove` or `move` that ends
    with a slash means all files in this folder. `rename` is the new file name. Without
    `fix_record`, RECORD does not change.

    Raises:
        ValueError: the wheel does not contain a file to change, already contains a file to add,
            or the copy would overwrite the wheel.
    """
    target = folder / (rename or wheel.name)
    if target.resolve() == wheel.resolve():
        raise ValueError(f"{target} would overwrite the wheel; use another folder or `rename`")
    with zipfile.ZipFile(wheel) as archive:
        members = {
            member.filename: (member, archive.read(member))
            for member in archive.infolist()
            if not member.is_dir()
        }
    for path in remove:
        for match in _matches(members, path):
            del members[match]
    for old, new in (move or {}).items():
        for match in _matches(members, old):
            moved = new + match.removeprefix(old)
            members[moved] = (_member(moved, members[match][0]), members.pop(match)[1])
    for path, change in (edit or {}).items():
        (match,) = _matches(members, path)
        members[match] = (members[match][0], change(members[match][1]))
    for path, data in (add or {}).items():
        if path in members:
            raise ValueError(f"{path} is already in the wheel; use `edit`")
        members[path] = (_member(path), _bytes(data))
    _write(target, members, fix_record=fix_record)
    return target


def set_version(wheel: Path, folder: Path, version: str) -> Path:
    """Write a copy of a wheel with another version in file name and METADATA, but the same code.

    Raises:
        ValueError: see `mutate`.
    """
    name, old, tags = wheel.name.split("-", 2)
    before, after = f"{name}-{old}.dist-info/", f"{name}-{version}.dist-info/"

    def change(data: bytes) -> bytes:
        return data.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode(), 1)

    return mutate(
        wheel,
        folder,
        move={before: after},
        edit={f"{after}METADATA": change},
        rename=f"{name}-{version}-{tags}",
    )


def stored(wheel: Path, target: Path) -> Path:
    """Write a copy of a wheel without compression, and return its path."""
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(target, "w") as copy:
        for member in archive.infolist():
            copy.writestr(member, archive.read(member), zipfile.ZIP_STORED)
    return target


def _matches(members: Mapping[str, object], path: str) -> list[str]:
    matches = [
        name for name in members if name == path or (path[-1:] == "/" and name.startswith(path))
    ]
    if not matches:
        raise ValueError(f"{path} is not in the wheel; its files are: {', '.join(members)}")
    return matches


def _write(
    wheel: Path, members: Mapping[str, tuple[zipfile.ZipInfo, bytes]], *, fix_record: bool
) -> None:
    # RECORD comes after the files that it lists.
    records = [path for path in members if path.endswith(".dist-info/RECORD")]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, (member, data) in members.items():
            if path not in records:
                archive.writestr(member, data, zipfile.ZIP_DEFLATED, compresslevel=1)
        for path in records:
            member, data = members[path]
            if fix_record:
                data = _record(members, path)
            archive.writestr(member, data, zipfile.ZIP_DEFLATED, compresslevel=1)


def _record(members: Mapping[str, tuple[zipfile.ZipInfo, bytes]], record: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for path, (_, data) in members.items():
        if path != record:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            writer.writerow((path, f"sha256={digest.decode()}", len(data)))
    writer.writerow((record, "", ""))
    return text.getvalue().encode()


def _member(path: str, template: zipfile.ZipInfo | None = None) -> zipfile.ZipInfo:
    """Return a new entry with the time and the mode of the template."""
    member = zipfile.ZipInfo(path, template.date_time if template else _EPOCH)
    # Installers keep the permissions. A script must be executable.
    mode = 0o100755 if ".data/scripts/" in path else 0o100644
    member.external_attr = template.external_attr if template else mode << 16
    return member


def _metadata(name: str, version: str, requires: Iterable[str]) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        f"Version: {version}",
        "Summary: A package for tests",
        "License-Expression: MIT",
        "Classifier: Programming Language :: Python :: 3.13",
        "Project-URL: Source, https://example.org/",
        "Requires-Python: >=3.13",
        *(f"Requires-Dist: {requirement}" for requirement in requires),
        "Description-Content-Type: text/markdown",
        "",
        "A package for tests.",
    ]
    return "\n".join(lines) + "\n"


def _wheel(tag: str) -> str:
    python, abi, platforms = tag.split("-")
    tags = "".join(f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split("."))
    pure = str(platforms == "any").lower()
    return f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\n{tags}\n"


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data
