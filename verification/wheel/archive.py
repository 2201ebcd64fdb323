"""Read the files of a wheel, also of a damaged one. No large file is in memory as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import mmap
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

from verification.models.inspection import Binary
from verification.models.release import file_sha256
from verification.wheel import binary, size_limits
from verification.wheel.errors import BadWheel, NoStorage, Program, UnreadableBinary, WheelTooLarge
from verification.wheel.size_limits import Excess

# The exceptions of zipfile for a damaged archive: a wrong checksum, a bad stream, a short file or
# an invalid field. RuntimeError is for encryption and for unknown compression methods.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    RuntimeError,
    ValueError,
)
_CHUNK = 1 << 20
_START = 512
MAX_DATA = 32 << 20
"""The maximum size of a file that is read into memory."""
_MAX_KEPT = 32 << 20
"""The maximum size of all contents that stay in memory after the first reading."""
_MAX_IN_MEMORY = 1 << 20
"""The maximum size of native code that is not written to a temporary file."""
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
"""The methods that pip can unpack with every Python."""


class NativeContent(NamedTuple):
    """The native code in a file of a wheel."""

    binary: Binary | UnreadableBinary
    """The contents of the headers, or the error if they cannot be read."""
    program: Program | None
    """Why no process can load the readable file as a library; None if one can."""


@dataclass(frozen=True)
class WheelMember:
    """A readable file of a wheel. Its content is unpacked again on each access to `data`."""

    size: int
    """In bytes."""
    sha256: str
    start: bytes
    """The first 512 bytes."""
    native: NativeContent | None
    """The native code, or None if the file does not start like native code."""
    _archive: zipfile.ZipFile = field(repr=False)
    _info: zipfile.ZipInfo = field(repr=False)
    _kept: bytes | None = field(repr=False)

    @property
    def data(self) -> bytes | None:
        """The content, or None if the file is too large to be read into memory."""
        if self._kept is not None or self.size > MAX_DATA:
            return self._kept
        return self._archive.read(self._info)

    def digest(self, algorithm: str) -> bytes:
        """Return another hash of the content than sha256."""
        total = hashlib.new(algorithm)
        for chunk in _chunks(self._archive, self._info):
            total.update(chunk)
        return total.digest()

    def contains(self, *words: bytes) -> bool:
        """Return whether the content has one of these words."""
        overlap, before = max(map(len, words)) - 1, b""
        for chunk in _chunks(self._archive, self._info):
            window = before + chunk
            if any(word in window for word in words):
                return True
            before = window[-overlap:]
        return False


@dataclass(frozen=True)
class Archive:
    """The files of a wheel. They are read once, on the first access to one of them."""

    path: Path
    size: int
    """In bytes."""
    names: tuple[str, ...]
    """The names of the files in the order of the archive, with repeats and without folders."""
    _archive: zipfile.ZipFile = field(repr=False)

    @property
    def name(self) -> str:
        """The file name of the wheel."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the wheel itself."""
        return file_sha256(self.path)

    @property
    def files(self) -> Mapping[str, WheelMember]:
        """Each readable file by its name."""
        return self._contents.files

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The reason for each file that cannot be read."""
        return self._contents.unreadable

    @cached_property
    def _contents(self) -> _Contents:
        return _read_members(self._archive)

    @cached_property
    def install_paths(self) -> dict[str, str]:
        """The install path of each file by its name in the wheel (PEP 427: the .data folder)."""
        return {name: _install_path(name) for name in self.names}

    @cached_property
    def installed(self) -> dict[str, WheelMember]:
        """Each readable file by its install path."""
        return {self.install_paths[name]: member for name, member in self.files.items()}

    @cached_property
    def dist_infos(self) -> tuple[str, ...]:
        """The metadata folders at the top level of the wheel; a valid wheel has exactly one."""
        folders = {name.partition("/")[0] for name in self.names if "/" in name}
        return tuple(sorted(folder for folder in folders if folder.endswith(".dist-info")))

    def metadata_file(self, name: str) -> str | None:
        """Return the text of a file in a metadata folder, or None if no folder has it.

        The other files are not read. A damaged file counts as absent.
        """
        for path in (f"{folder}/{name}" for folder in self.dist_infos):
            if path in self.names:
                with contextlib.suppress(*_DAMAGE, OSError):
                    return self._archive.read(path).decode("utf-8", errors="replace")
        return None


class _Contents(NamedTuple):
    files: dict[str, WheelMember]
    unreadable: dict[str, str]


def _install_path(name: str) -> str:
    parts = PurePosixPath(name).parts
    if len(parts) > 2 and parts[0].endswith(".data") and parts[1] in {"purelib", "platlib"}:
        return "/".join(parts[2:])
    return name


def open_wheel(path: Path) -> Archive:
    """Open a wheel, and read the list of its files.

    Raises:
        BadWheel: the file does not exist, is not a zip archive, or is truncated.
        WheelTooLarge: it unpacks to more than a limit.
    """
    size = 0
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            _refuse_excess(path, size_limits.directory_excess(stream))
        archive = zipfile.ZipFile(path)
        _refuse_excess(path, size_limits.excesses(archive.infolist(), size))
    except OSError as error:
        raise BadWheel(f"{path} cannot be read: {error.strerror or error}") from error
    except BadWheel:
        raise
    except _DAMAGE as error:
        raise BadWheel(f"{path} is not a wheel: {error} (size: {size} bytes)") from error
    names = (member.filename for member in archive.infolist())
    return Archive(path, size, tuple(name for name in names if not name.endswith("/")), archive)


def _refuse_excess(path: Path, excesses: Iterable[Excess]) -> None:
    for excess in excesses:
        message = f"{excess.message}; the limit is {excess.maximum:,}"
        raise WheelTooLarge(path.name, message, excess.facts())


def _read_members(archive: zipfile.ZipFile) -> _Contents:
    """Read each file once, in parts."""
    contents, kept = _Contents({}, {}), 0
    for info in archive.infolist():
        if info.filename.endswith("/"):
            continue
        try:
            member = _read_member(archive, info, keep=kept + info.file_size <= _MAX_KEPT)
        except (*_DAMAGE, OSError) as error:
            # The other members may be readable.
            contents.unreadable[info.filename] = (str(error) or type(error).__name__)[:120]
        else:
            contents.files[info.filename] = member
            kept += len(member._kept or b"")
    return contents


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, keep: bool) -> WheelMember:
    keep = keep and info.file_size <= _MAX_IN_MEMORY
    total, size, start = hashlib.sha256(), 0, b""
    parts: list[bytes] = []
    with contextlib.ExitStack() as stack:
        unpacked: _UnpackedFile | None = None
        for chunk in _chunks(archive, info):
            if not size:
                start = chunk[:_START]
                if binary.format_of(start) and info.file_size > _MAX_IN_MEMORY:
                    unpacked = stack.enter_context(_UnpackedFile())
            total.update(chunk)
            size += len(chunk)
            if unpacked:
                unpacked.write(chunk)
            elif info.file_size <= _MAX_IN_MEMORY:
                parts.append(chunk)
        if size != info.file_size:
            raise EOFError(f"it has {size} bytes instead of {info.file_size}")
        kept, native = b"".join(parts), None
        if binary.format_of(start):
            native = unpacked.read_native() if unpacked else _native(kept)
    return WheelMember(
        size, total.hexdigest(), start, native, archive, info, kept if keep else None
    )


class _UnpackedFile:
    """A temporary file with the content of one file of a wheel."""

    def __enter__(self) -> Self:
        with self._storage():
            self._file = tempfile.TemporaryFile(prefix="quiverdb-e2e-")
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        with self._storage():
            self._file.write(chunk)

    def read_native(self) -> NativeContent:
        with self._storage():
            self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _native(mapped)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = tempfile.gettempdir()
            raise NoStorage(f"{folder} has no space to unpack a file: {error.strerror}") from error


def _native(content: binary.Content) -> NativeContent:
    headers = binary.read(content)
    return NativeContent(headers, binary.program_fault(content, headers))


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a file in parts. `zipfile` unpacks no more than the announced size."""
    if info.compress_type not in _COMPRESSIONS:
        raise NotImplementedError("compression type is not supported")
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
