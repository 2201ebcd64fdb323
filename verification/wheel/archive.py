"""Read the files of a wheel, also of a damaged one."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from verification.wheel.errors import BadWheel

# The exceptions of zipfile for a damaged archive: a wrong checksum, a bad stream, a short file or
# an invalid field. RuntimeError is for encryption and for unknown compression methods.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Archive:
    """The files of a wheel."""

    name: str
    """The file name of the wheel."""
    sha256: str
    size: int
    names: tuple[str, ...]
    """The names of the files in the order of the archive, with repeats and without folders."""
    files: Mapping[str, bytes]
    """The content of each readable file."""
    unreadable: Mapping[str, str]
    """The reason for each file that cannot be read."""
    content: bytes
    """The archive itself."""

    @cached_property
    def install_paths(self) -> dict[str, str]:
        """The install path of each file by its name in the wheel (PEP 427: the .data folder)."""
        return {name: _install_path(name) for name in self.names}

    @cached_property
    def installed(self) -> dict[str, bytes]:
        """The content of each readable file by its install path."""
        return {self.install_paths[name]: data for name, data in self.files.items()}

    @cached_property
    def dist_infos(self) -> tuple[str, ...]:
        """The metadata folders at the top level of the wheel; a valid wheel has exactly one."""
        folders = {name.partition("/")[0] for name in self.names if "/" in name}
        return tuple(sorted(folder for folder in folders if folder.endswith(".dist-info")))

    def metadata_file(self, name: str) -> str | None:
        """Return the text of a file in a metadata folder, or None if no folder has it."""
        for folder in self.dist_infos:
            if (data := self.files.get(f"{folder}/{name}")) is not None:
                return data.decode("utf-8", errors="replace")
        return None


def _install_path(name: str) -> str:
    parts = PurePosixPath(name).parts
    if len(parts) > 2 and parts[0].endswith(".data") and parts[1] in {"purelib", "platlib"}:
        return "/".join(parts[2:])
    return name


def open_wheel(path: Path) -> Archive:
    """Read a wheel into memory.

    Raises:
        BadWheel: the file does not exist, is not a zip archive, or is truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadWheel(f"{path} cannot be read: {error.strerror}") from error
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            for member in members:
                try:
                    files[member.filename] = archive.read(member)
                except _DAMAGE as error:
                    # The other members may be readable.
                    unreadable[member.filename] = (str(error) or type(error).__name__)[:120]
    except _DAMAGE as error:
        raise BadWheel(f"{path} is not a wheel: {error} (size: {len(data)} bytes)") from error
    return Archive(
        name=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        names=tuple(member.filename for member in members),
        files=files,
        unreadable=unreadable,
        content=data,
    )
