"""The rules of the default index for the file of a wheel.

The inspection applies them before an upload, and the index of the run during it. The index image
has this file too (a link), so it imports only the standard library and packaging.

The checks, their order and the messages are those of 2026: `_is_valid_dist_file`,
`_valid_platform_tag` and `file_upload` in warehouse/forklift/legacy.py,
warehouse/utils/zipfiles.py, warehouse/utils/wheel.py and warehouse/utils/scanner_rules.
"""

from __future__ import annotations

import configparser
import csv
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

_MIB = 1 << 20
_RATIO_MIN_SIZE = 64 * _MIB
_MAX_RATIO = 50
SCANNED_SIZE = 5 * _MIB
"""Larger files are not scanned."""
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)
"""The exceptions of zipfile for a member that cannot be read."""
_ACCEPTED = re.compile(
    r"""
      any
    | win32 | win_(amd64|arm64|ia64)
    | linux_armv[67]l
    | manylinux(1|2010)_(x86_64|i686)
    | manylinux2014_(x86_64|i686|aarch64|armv7l|ppc64|ppc64le|s390x)
    | manylinux_\d+_\d+_(x86_64|i686|aarch64|armv7l|ppc64|ppc64le|s390x|riscv64)
    | musllinux_\d+_\d+_(x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64)
    | macosx_(10_\d+|(11|12|13|14|15|26)_0)
        _(arm64|x86_64|i386|ppc|ppc64|intel|fat|fat3|fat64|universal|universal2)
    | ios_\d+_\d+_(arm64|x86_64)_(iphoneos|iphonesimulator).*
    | android_\d+_(armeabi_v7a|arm64_v8a|x86|x86_64)
    | pyemscripten_\d+_\d+_wasm32.*
    """,
    re.VERBOSE,
)
_PYARMOR = (
    b"__pyarmor__(__name__, __file__,",
    b"__pyarmor_enter__",
    b"__pyarmor_exit__",
    b"__pyarmor_assert__",
    b"__pyarmor_bcc__",
)
_SOURCEDEFENDER = (b"---BEGIN PYE FILE---", b"---END PYE FILE---")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the index refuses a file."""

    reason: str
    page: tuple[str, str] | None = None
    """The site (docs or index) and the path of the page about the rule."""


@dataclass(frozen=True, slots=True)
class UploadClaim:
    """What the form of an upload says about the file."""

    name: str
    version: Version
    license_files: tuple[str, ...] = ()

    @property
    def escaped(self) -> str:
        """The name of the project in file names (binary distribution format)."""
        return canonicalize_name(self.name).replace("-", "_")


def is_accepted(platform: str) -> bool:
    """Return True if the index accepts wheels with a platform tag.

    Plain linux tags are refused, because they do not state the required libraries. manylinux
    (PEP 600) and musllinux (PEP 656) tags state them.
    """
    return _ACCEPTED.fullmatch(platform) is not None


def wheel_refusal(content: IO[bytes], filename: str, claim: UploadClaim) -> Refusal | None:
    """Return why the index refuses a wheel; None if it accepts the wheel."""
    if refusal := distribution_refusal(content, filename):
        return refusal
    if reason := _name_fault(filename, claim):
        return Refusal(reason)
    with zipfile.ZipFile(content) as archive:
        return next(map(Refusal, _missing_files(archive, filename, claim)), None)


def distribution_refusal(content: IO[bytes], filename: str) -> Refusal | None:
    """Return why the index refuses a zip archive as a distribution file.

    This applies to wheels and to source distributions in the zip format.
    """
    content.seek(0)
    is_zip = zipfile.is_zipfile(content)
    content.seek(0)
    is_tar = tarfile.is_tarfile(content)
    if is_zip and is_tar:
        return invalid_file("File is both a zip and a tar file")
    if not is_zip:
        return invalid_file("File is not a zipfile")
    content.seek(0)
    try:
        with zipfile.ZipFile(content) as archive:
            size = content.seek(0, os.SEEK_END)
            if reason := _members_fault(archive, filename, size):
                return invalid_file(reason)
            if product := _obfuscation(archive):
                return encrypted_file(product)
            if reason := framing_fault(archive, content):
                return invalid_file(f"ZIP archive not accepted: {reason}.", ("docs", "/archives"))
    except (*DAMAGE, IndexError, ValueError, struct.error):
        # The default index gives no reason.
        return invalid_file("None")
    return None


def encrypted_file(product: str) -> Refusal:
    """Return the refusal of a file with a module that a program encrypted."""
    page = ("index", "/policy/acceptable-use-policy/")
    return invalid_file(f"{product}-encrypted content is not allowed.", page)


def invalid_file(reason: str, page: tuple[str, str] | None = None) -> Refusal:
    """Return the refusal of a file that is no valid distribution."""
    return Refusal(f"Invalid distribution file. {reason}", page)


def _members_fault(archive: zipfile.ZipFile, filename: str, size: int) -> str | None:
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > _RATIO_MIN_SIZE and unpacked / size > _MAX_RATIO:
        return f"File exceeds compression ratio of {_MAX_RATIO}"
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        return "File does not use a supported compression type"
    if filename.endswith(".zip"):
        names = archive.namelist()
        top = os.path.commonpath(names) if names else ""
        if top in {".", "/", ""}:
            return "Incorrect number of top-level directories in sdist"
        required = f"{top}/PKG-INFO"
    else:
        if filename.count("-") < 2:
            return "Unable to parse name and version from wheel filename"
        required = f"{dist_info(filename)}/WHEEL"
    try:
        archive.read(required)
    except KeyError:
        return f"{required.rpartition('/')[2]} not found at {required}"
    return None


def dist_info(filename: str) -> str:
    """Return the metadata folder of a wheel by its file name."""
    name, version, *_ = filename.split("-", 2)
    return f"{name}-{version}.dist-info"


def _obfuscation(archive: zipfile.ZipFile) -> str | None:
    for member in archive.infolist():
        suffix = PurePosixPath(member.filename).suffix.lower()
        if member.is_dir() or suffix not in {".py", ".pye"} or member.file_size > SCANNED_SIZE:
            continue
        if product := obfuscator(archive.read(member)):
            return product
    return None


def obfuscator(source: bytes) -> str | None:
    """Return the program that encrypted a source file, or None. The index refuses such files."""
    if any(text in source for text in _PYARMOR):
        return "PyArmor"
    return "SourceDefender" if all(text in source for text in _SOURCEDEFENDER) else None


# ---- the name ----


def _name_fault(filename: str, claim: UploadClaim) -> str | None:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        return str(error)
    for platform in sorted({tag.platform for tag in tags}):
        if not is_accepted(platform):
            return f"Binary wheel '{filename}' has an unsupported platform tag '{platform}'."
    if name != canonicalize_name(claim.name):
        return f"Start filename for {claim.name!r} with {claim.escaped!r}."
    name_in_file = filename.partition("-")[0]
    if name_in_file != claim.escaped:
        return (
            f"Filename {filename!r} should contain the normalized project name "
            f"{claim.escaped!r}, not {name_in_file!r}."
        )
    if version != claim.version:
        return f"Version in filename should be {str(claim.version)!r} not {str(version)!r}."
    return None


# ---- the files ----


def _missing_files(archive: zipfile.ZipFile, filename: str, claim: UploadClaim) -> Iterator[str]:
    members = frozenset(archive.namelist())
    folder = dist_info(filename)
    for licence in claim.license_files:
        if (target := f"{folder}/licenses/{licence}") not in members:
            yield license_fault(licence, filename, target)
    if not _has_record(archive, folder):
        yield _required(filename, f"{folder}/RECORD")
    if not _has_valid_entry_points(archive, folder):
        yield f"Wheel '{filename}' has invalid entry points defined in the entry_points.txt file"
    if f"{folder}/METADATA" not in members:
        yield _required(filename, f"{folder}/METADATA")


def license_fault(licence: str, filename: str, target: str) -> str:
    """Return the refusal of a file without one of its licences (PEP 639)."""
    return f"License-File {licence} does not exist in distribution file {filename} at {target}"


def _required(filename: str, path: str) -> str:
    name = path.rpartition("/")[2]
    return f"Wheel '{filename}' does not contain the required {name} file: {path}"


def _has_record(archive: zipfile.ZipFile, folder: str) -> bool:
    """Return False if RECORD is missing, cannot be read, or is not CSV in UTF-8."""
    try:
        recorded_names(archive, folder)
    except (KeyError, UnicodeError, csv.Error, *DAMAGE):
        return False
    return True


def recorded_names(archive: zipfile.ZipFile, folder: str) -> frozenset[str]:
    """Return the names in RECORD.

    Raises:
        KeyError: there is no RECORD.
        ValueError, csv.Error: it is not UTF-8 or not CSV. Or one of ``DAMAGE``.
    """
    text = archive.read(f"{folder}/RECORD").decode()
    return frozenset(row[0].replace("\\", "/") for row in csv.reader(text.splitlines()) if row)


def record_differs(content: IO[bytes], filename: str) -> bool:
    """Return True if RECORD lists other files than an accepted wheel has.

    The index accepts such a wheel and informs the owners of the project.
    """
    with zipfile.ZipFile(content) as archive:
        folder = dist_info(filename)
        signatures = {f"{folder}/RECORD.jws", f"{folder}/RECORD.p7s"}
        members = {
            name
            for name in archive.namelist()
            if not name.endswith(("/", "\\")) and name not in signatures
        }
        return recorded_names(archive, folder) != members


class _EntryPoints(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _has_valid_entry_points(archive: zipfile.ZipFile, folder: str) -> bool:
    parser = _EntryPoints(delimiters=("=",))
    try:
        parser.read_string(archive.read(f"{folder}/entry_points.txt").decode())
    except KeyError:
        return True
    except (UnicodeError, configparser.Error, *DAMAGE):
        return False
    groups = filter(parser.has_section, ("console_scripts", "gui_scripts"))
    return all(re.fullmatch(r"[\w.-]+", name) for group in groups for name in parser[group])


# ---- the records of the zip archive (PKWARE, APPNOTE.TXT 6.3.10) ----

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_UNIQUE_EXTRAS = {_ZIP64, _UNICODE_PATH}
_ZIP64_LENGTHS = {0, 8, 16, 24, 28}
_UNKNOWN32 = 0xFFFFFFFF
_HAS_DESCRIPTOR = 0x08
_UNPRINTABLE = frozenset([*range(0x20), 0x7F])
_MALFORMED = "Malformed zip file"


class _NotAccepted(Exception):
    """The archive is not accepted. The message is the reason."""


@dataclass
class _Walk:
    """The state of a walk over the records of an archive, from its first byte to its last."""

    stream: IO[bytes]
    sizes: dict[str, tuple[int, int]]
    """The compressed and the real size of each member, by its name in the central directory."""
    local_names: set[bytes] = field(default_factory=set)
    central_names: set[bytes] = field(default_factory=set)
    central_count: int = 0
    central_offset: int | None = None
    central_size: int = 0
    announced: tuple[int, int, int] | None = None
    """Number, size and offset of the central directory, as its end record announces them."""
    has_end64: bool = False
    has_locator64: bool = False

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) != size:
            raise _NotAccepted(_MALFORMED)
        return data

    def skip(self, size: int) -> None:
        self.stream.seek(size, os.SEEK_CUR)


def framing_fault(archive: zipfile.ZipFile, content: IO[bytes]) -> str | None:
    """Return why the index does not accept the structure of an archive, or None.

    Each reader of the archive must find the same files: one that reads the central directory, and
    one that reads the archive from its first byte.
    """
    sizes = {
        member.orig_filename: (member.compress_size, member.file_size)
        for member in archive.infolist()
    }
    content.seek(0)
    walk = _Walk(content, sizes)
    try:
        while not _record(walk):
            pass
    except _NotAccepted as reason:
        return str(reason)
    if walk.central_names != walk.local_names:
        return "Mis-matched local headers and central directory"
    # A comment can be announced with more bytes than the file has.
    position = content.tell()
    return None if position == content.seek(0, os.SEEK_END) else "Trailing data"


def _record(walk: _Walk) -> bool:
    """Read one record. Return True after the last one."""
    match walk.read(4):
        case signature if signature == _CENTRAL:
            _central_header(walk)
        case signature if signature == _LOCAL:
            _local_header(walk)
        case signature if signature == _END:
            _end(walk)
            return True
        case signature if signature == _END64:
            _end64(walk)
        case signature if signature == _LOCATOR64:
            walk.read(16)
            walk.has_locator64 = True
        case _:
            raise _NotAccepted("Unknown record signature")
    return False


def _central_header(walk: _Walk) -> None:
    if walk.central_offset is None:
        walk.central_offset = walk.stream.tell() - 4
    walk.central_count += 1
    name_size, extra_size, comment_size = struct.unpack("<24xHHH12x", walk.read(42))
    if comment_size:
        raise _NotAccepted("Comment in central directory")
    name = walk.read(name_size)
    walk.read(extra_size)
    _check_name(name)
    walk.central_size += 46 + name_size + extra_size
    if name in walk.central_names:
        raise _NotAccepted("Duplicate filename in central directory")
    if name not in walk.local_names:
        raise _NotAccepted("Missing filename in local headers")
    walk.central_names.add(name)


def _local_header(walk: _Walk) -> None:
    flags, method, packed, size, name_size, extra_size = struct.unpack("<2xHH8xLLHH", walk.read(26))
    name, extra = walk.read(name_size), walk.read(extra_size)
    _check_name(name)
    for kind, data in _extras(extra):
        if kind == _ZIP64:
            packed, size = _zip64_sizes(data, method, packed, size)
        elif kind == _UNICODE_PATH:
            _check_unicode_name(data[5:])
    if flags & _HAS_DESCRIPTOR:
        raise _NotAccepted("ZIP contains a data descriptor")
    try:
        expected_packed, expected_size = walk.sizes[name.decode()]
    except UnicodeError:
        raise _NotAccepted("Filename not unicode") from None
    except KeyError:
        raise _NotAccepted("Filename not in central directory") from None
    if packed != expected_packed:
        raise _NotAccepted("Mis-matched data size")
    if size != expected_size:
        raise _NotAccepted("Mis-matched file size")
    walk.skip(packed)
    if name in walk.local_names:
        raise _NotAccepted("Duplicate filename in local headers")
    walk.local_names.add(name)


def _check_name(name: bytes) -> None:
    if not _UNPRINTABLE.isdisjoint(name):
        raise _NotAccepted("Invalid character in filename")


def _check_unicode_name(name: bytes) -> None:
    _check_name(name)
    try:
        name.decode()
    except UnicodeError:
        raise _NotAccepted("Filename not valid UTF-8") from None


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the data of each extra field of a local header."""
    kinds: set[int] = set()
    while extra:
        if len(extra) < 4:
            raise _NotAccepted(_MALFORMED)
        kind, size = struct.unpack("<HH", extra[:4])
        if size + 4 > len(extra):
            raise _NotAccepted(_MALFORMED)
        if kind in kinds and kind in _UNIQUE_EXTRAS:
            raise _NotAccepted("Invalid duplicate extra in local file")
        kinds.add(kind)
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _zip64_sizes(data: bytes, method: int, packed: int, size: int) -> tuple[int, int]:
    """Return the compressed and the real size of a member with a ZIP64 field."""
    if len(data) not in _ZIP64_LENGTHS:
        raise _NotAccepted(_MALFORMED)
    if not data:
        if _UNKNOWN32 in {packed, size}:
            raise _NotAccepted(_MALFORMED)
        return packed, size
    (real,) = struct.unpack("<Q", data[:8])
    if len(data) == 8:
        if method != zipfile.ZIP_STORED:
            raise _NotAccepted(_MALFORMED)
        return real, real if size == _UNKNOWN32 else size
    (compressed,) = struct.unpack("<Q", data[8:16])
    return compressed, real if size == _UNKNOWN32 else size


def _end(walk: _Walk) -> None:
    if walk.has_end64 and not walk.has_locator64:
        raise _NotAccepted(_MALFORMED)
    if walk.central_offset is None:
        walk.central_offset = walk.stream.tell() - 4
    on_disk, count, size, offset, comment_size = struct.unpack("<4xHHLLH", walk.read(18))
    if on_disk != count:
        raise _NotAccepted(_MALFORMED)
    walk.skip(comment_size)
    if walk.announced is None or not walk.has_locator64:
        walk.announced = (count, size, offset)
    count, size, offset = walk.announced
    if count != walk.central_count:
        raise _NotAccepted("Mismatched central directory records")
    if offset != walk.central_offset:
        raise _NotAccepted("Mismatched central directory offset")
    if size != walk.central_size:
        raise _NotAccepted("Mismatched central directory size")


def _end64(walk: _Walk) -> None:
    walk.has_end64 = True
    record_size, on_disk, count, size, offset = struct.unpack("<Q12xQQQQ", walk.read(52))
    if on_disk != count:
        raise _NotAccepted(_MALFORMED)
    if record_size != 44:
        raise _NotAccepted("ZIP64 extensible data not allowed")
    walk.announced = (count, size, offset)
