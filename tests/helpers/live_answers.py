# ruff: noqa: E501 - one row of a table is one line
"""Uploads and the answers of the live index: the status and the first words.

Each row is one upload. The words are those of warehouse/forklift/legacy.py, August 2026.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import requests

from tests.helpers.index_front import PASSWORD, SCOPED, Front, sdist, upload_form, wheel

SPECIFICATION = (
    "See https://packaging.python.org/specifications/core-metadata for more information."
)
ARCHIVES = "See https://docs.127.0.0.1/archives for more information"
FILE = "Invalid distribution file. "
NOT_ACCEPTED = f"{FILE}ZIP archive not accepted: "
FOLDER = "rows-1.0.dist-info"
NAME = "rows-1.0-py3-none-any.whl"
SDIST = "rows-1.0.tar.gz"
LATIN = "Cannot upload a file with non-printable characters (ordinals 0-31) or the DEL"


@dataclasses.dataclass(frozen=True)
class Row:
    """One upload and the answer of the live index to it."""

    id: str
    status: int = 400
    answer: str = ""
    """The complete text, or its first words with an ellipsis at the end."""
    content: bytes | None = None
    """The file; None for a valid wheel or source distribution."""
    filename: str = NAME
    changes: Mapping[str, str | list[str]] = dataclasses.field(default_factory=dict)
    """The changes of the form. An empty value removes the field."""
    content_type: str | None = "application/octet-stream"
    password: str | None = PASSWORD


def members(**changes: bytes | None) -> dict[str, bytes]:
    """Return the files of a valid wheel. A member of dist-info is changed by its name."""
    with zipfile.ZipFile(io.BytesIO(wheel("rows", "1.0")[1])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name, data in changes.items():
        path = f"{FOLDER}/{name.replace('__', '.')}"
        if data is None:
            del files[path]
        else:
            files[path] = data
    return files


def packed(
    files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> bytes:
    """Return a zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, method)
        archive.comment = comment
    return content.getvalue()


class _Pipe(io.RawIOBase):
    """A stream that cannot seek, so that zipfile writes data descriptors."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def streamed() -> bytes:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, data in members().items():
            archive.writestr(name, data)
    return pipe.data


def with_member_comment() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members().items():
            info = zipfile.ZipInfo(name)
            info.comment = b"note"
            archive.writestr(info, data)
    return content.getvalue()


def repeated() -> bytes:
    return packed({**members(), "rows/payload.bix": b""}).replace(b"payload.bix", b"payload.bin")


def zip64(extra: bytes, *, method: int = 0) -> bytes:
    """Return a wheel whose first member has an extra field in its local header."""
    content = bytearray(packed(members()))
    name_size = struct.unpack_from("<H", content, 26)[0]
    struct.pack_into("<H", content, 28, len(extra))
    struct.pack_into("<H", content, 8, method)
    content[30 + name_size : 30 + name_size] = extra
    return bytes(moved(content, len(extra), 30 + name_size))


def moved(content: bytearray, count: int, position: int) -> bytearray:
    """Correct the offsets of an archive after bytes were inserted at a position."""
    end = content.rindex(b"PK\5\6")
    start = struct.unpack_from("<L", content, end + 16)[0] + count
    struct.pack_into("<L", content, end + 16, start)
    header = start
    while content[header : header + 4] == b"PK\1\2":
        offset = struct.unpack_from("<L", content, header + 42)[0]
        if offset >= position:
            struct.pack_into("<L", content, header + 42, offset + count)
        name, extra, comment = struct.unpack_from("<HHH", content, header + 28)
        header += 46 + name + extra + comment
    return content


def with_bytes_between() -> bytes:
    """Return a wheel with bytes between its first and its second member."""
    content = bytearray(packed(members()))
    position = content.index(b"PK\3\4", 4)
    content[position:position] = b"junk"
    return bytes(moved(content, 4, position))


def hidden_member() -> bytes:
    """Return a wheel whose first local header is in no central directory."""
    return bytes(
        moved(bytearray(b"".join([_lone_member(), packed(members())])), len(_lone_member()), 0)
    )


def _lone_member() -> bytes:
    content = packed({"other": b"x"})
    return content[: content.index(b"PK\1\2")]


def without_local_name() -> bytes:
    return packed(members()).replace(b"rows/payload.bin", b"rows/payload.\x01in", 1)


def other_name_in_local_header() -> bytes:
    return packed(members()).replace(b"rows/payload.bin", b"rows/payload.ban", 1)


def other_size_in_local_header() -> bytes:
    content = bytearray(packed(members()))
    position = content.index(b"rows/payload") - 30
    struct.pack_into("<L", content, position + 22, 7)
    return bytes(content)


def bomb() -> bytes:
    return packed({**members(), "rows/zeros": bytes(65 << 20)}, zipfile.ZIP_DEFLATED)


def tar_with(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive, compressed with gzip."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    return gzip.compress(content.getvalue(), mtime=0)


def both_formats() -> bytes:
    """Return a tar archive with a zip archive at its end."""
    plain = gzip.decompress(sdist("rows", "1.0")[1])
    return plain + packed(members())


def sparse() -> bytes:
    """Return a source distribution with a sparse member (PAX, GNU.sparse.*)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in {
            "rows-1.0/PKG-INFO": b"x",
            "rows-1.0/hole": b"1\n0\n1\n".ljust(512, b"\0") + b"y",
        }.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            if name.endswith("hole"):
                item.pax_headers = {
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": name,
                    "GNU.sparse.realsize": "1",
                }
            archive.addfile(item, io.BytesIO(data))
    return gzip.compress(content.getvalue(), mtime=0)


def entry_points(text: str) -> bytes:
    return packed(members(entry_points__txt=text.encode()))


def tagged(platform: str) -> str:
    return f"rows-1.0-cp313-cp313-{platform}.whl"


def form(id_: str, answer: str, **changes: str | list[str]) -> Row:
    return Row(f"form: {id_}", 400, answer, changes=changes)


def field(name: str, value: str | list[str], answer: str, **changes: str) -> Row:
    text = answer if answer.endswith("...") else f"{answer} {SPECIFICATION}"
    fields = {name: value, **changes}
    return Row(f"metadata: {name}={str(value)[:40]}", 400, text, changes=fields)


FORM_ROWS = [
    form("protocol 2", "Unknown protocol version.", protocol_version="2"),
    form(
        "no name", "'' is an invalid value for Name. Error: This field is required. See...", name=""
    ),
    form(
        "wrong name",
        "'_bad' is an invalid value for Name. Error: Start and end with a letter or numeral "
        f"containing only ASCII numeric and '.', '_' and '-'. {SPECIFICATION}",
        name="_bad",
    ),
    form(
        "long name",
        f"'{'x' * 30}...{'x' * 29}_' is an invalid value for Name. ...",
        name=f"{'x' * 80}_",
    ),
    form("no filetype", "Invalid value for filetype. Error: This field is required.", filetype=""),
    form("egg", "Invalid value for filetype. Error: Use a known file type.", filetype="bdist_egg"),
    form(
        "no pyversion",
        "Invalid value for pyversion. Error: Python version is required for binary distribution "
        "uploads.",
        pyversion="",
    ),
    form("no digest", "Error: Include at least one message digest.", sha256_digest=""),
    form(
        "short digest",
        "Invalid value for sha256_digest. Error: Use a valid, hex-encoded, SHA256 message digest.",
        sha256_digest="abc",
    ),
    form(
        "short blake2 digest",
        "Invalid value for blake2_256_digest. Error: Use a valid, hex-encoded, BLAKE2 message "
        "digest.",
        blake2_256_digest="abc",
    ),
    form(
        "name before digest", "'_' is an invalid value for Name. ...", name="_", sha256_digest="abc"
    ),
    form(
        "wrong sha256",
        "The digest supplied does not match a digest calculated from the uploaded file.",
        sha256_digest="0" * 64,
    ),
    form(
        "wrong md5",
        "The digest supplied does not match a digest calculated from the uploaded file.",
        md5_digest="0" * 32,
    ),
    form(
        "wrong blake2",
        "The digest supplied does not match a digest calculated from the uploaded file.",
        blake2_256_digest="0" * 64,
    ),
    form(
        "wheel as sdist",
        "Invalid file extension: Extension .whl is invalid for filetype sdist. See https://www.python.org/dev/peps/pep-0527 for more information.",
        filetype="sdist",
        pyversion="source",
    ),
    form("other name", "Start filename for 'other' with 'other'.", name="other"),
    form("other version", "Version in filename should be '2.0' not '1.0'.", version="2.0"),
    form(
        "stdlib name",
        "The name 'json' isn't allowed (conflict with Python Standard Library module name). See https://127.0.0.1/help/#project-name for more information.",
        name="json",
    ),
    form("old stdlib name", "The name 'Urllib2' isn't allowed (conflict with ...", name="Urllib2"),
    form(
        "stdlib submodule name",
        "The name 'os.path' isn't allowed (conflict with ...",
        name="os.path",
    ),
    form("unnormalized name", "Start filename for 'r.ows' with 'r_ows'.", name="r.ows"),
    Row(
        "form: pre-registration",
        410,
        "Project pre-registration is no longer required or supported, upload your files instead.",
        changes={":action": "submit"},
    ),
    Row(
        "form: pre-registration by PKG-INFO",
        410,
        "Project pre-registration is no longer...",
        changes={":action": "submit_pkg_info"},
    ),
    Row(
        "form: documentation",
        410,
        "Uploading documentation is no longer supported, ...",
        changes={":action": "doc_upload"},
    ),
    Row(
        "no credentials",
        403,
        "Invalid or non-existent authentication information. See https://127.0.0.1/help/#invalid-auth for more information.",
        password=None,
    ),
    Row(
        "wrong credentials",
        403,
        "Invalid or non-existent authentication information. ...",
        password=PASSWORD[1:],
    ),
    Row(
        "scoped token, new project",
        403,
        "Invalid API Token: project-scoped token is not valid for project: 'rows'",
        password=SCOPED,
    ),
    Row("part with an image", 400, "Invalid distribution file.", content_type="image/png"),
    Row("part without a content type", 200, "OK", content_type=None),
    Row(
        "control character in the name",
        400,
        f"{LATIN}...",
        filename="rows-1.0\x7f-py3-none-any.whl",
    ),
    Row(
        "slash in the name",
        400,
        r"Cannot upload a file with '/' or '\' in the name.",
        filename="a/rows-1.0-py3-none-any.whl",
    ),
    Row(
        "egg file",
        400,
        "Invalid file extension: Use .tar.gz, .whl or .zip extension. See https://www.python.org/dev/peps/pep-0527 and https://peps.python.org/pep-0715/ for more information",
        filename="rows-1.0.egg",
    ),
    Row(
        "upper-case extension",
        400,
        "Invalid file extension: Extension .WHL is invalid for ...",
        filename="rows-1.0-py3-none-any.WHL",
    ),
]

METADATA_ROWS = [
    Row(
        "metadata: no version",
        400,
        f"None is not a valid metadata version. {SPECIFICATION}",
        changes={"metadata_version": ""},
    ),
    field("metadata_version", "9.9", "'9.9' is not a valid metadata version."),
    field("version", "one", "'one' is invalid for 'version'."),
    Row(
        "metadata: local version",
        400,
        "The use of local versions in '1.0+here' is not allowed. See https://packaging.python.org/en/latest/specifications/version-specifiers/#local-version-identifiers for more information.",
        changes={"version": "1.0+here"},
    ),
    field("version", ["1.0", "2.0"], "'version' has invalid data."),
    field("requires_python", "three", "'three' is invalid for 'requires-python'."),
    field(
        "requires_dist",
        "other @ https://files.invalid/other.whl",
        "Can't have direct dependency: other @ https://files.invalid/other.whl.",
    ),
    field(
        "classifiers",
        "Programming Language :: Klingon",
        "'Programming Language :: Klingon' is not a valid classifier.",
    ),
    field(
        "classifiers",
        "Private :: Do Not Upload",
        "'Private :: Do Not Upload' is not a valid classifier.",
    ),
    field(
        "classifiers",
        "Natural Language :: Ukranian",
        "The classifier 'Natural Language :: Ukranian' has been deprecated, use one of ['Natural Language :: Ukrainian'] instead.",
    ),
    field("summary", "x" * 513, "'summary' field must be 512 characters or less."),
    field("summary", "one\ntwo", "'summary' must be a single line."),
    field("home_page", "ftp://example.invalid/", "'ftp://example.invalid/' is not a valid url."),
    field("download_url", "here", "'here' is not a valid url."),
    field("project_urls", "Home, none", "'none' is not a valid url."),
    field("project_urls", "Home", "Must have a URL."),
    field("project_urls", ", https://example.invalid/", "Must have a label."),
    field(
        "project_urls",
        f"{'x' * 33}, https://example.invalid/",
        f"'{'x' * 33}' must be 32 characters or less.",
    ),
    field(
        "project_urls",
        ["a, https://example.invalid/", "a, https://example.invalid/b"],
        "'project_urls' has invalid data.",
    ),
    field(
        "dynamic",
        "Dynamic",
        "Dynamic field 'dynamic' is not a valid dynamic field.",
        metadata_version="2.2",
    ),
    field(
        "dynamic", "Nonsense", "'nonsense' is not a valid dynamic field.", metadata_version="2.2"
    ),
    field(
        "provides_dist",
        "other @ https://example.invalid/",
        "Can't have direct dependency: 'other @ https://example.invalid/'.",
    ),
    field(
        "description_content_type", "text/html", "'description-content-type' must be one of [..."
    ),
    Row(
        "metadata: license and expression",
        400,
        f"License is deprecated when License-Expression is present. Only License-Expression should be present. {SPECIFICATION}",
        changes={"metadata_version": "2.4", "license": "MIT", "license_expression": "MIT"},
    ),
    Row(
        "metadata: address",
        400,
        "'nobody' is not a valid email address: ...",
        changes={"author_email": "nobody"},
    ),
    Row(
        "metadata: description",
        400,
        "The description failed to render in the default format of reStructuredText. See https://127.0.0.1/help/#description-content-type for more information.",
        changes={"description": "A title\n=====\n"},
    ),
    Row(
        "metadata: licence file",
        400,
        f"License-File LICENSE does not exist in distribution file {NAME} at {FOLDER}/licenses/LICENSE",
        changes={"metadata_version": "2.4", "license_file": "LICENSE"},
    ),
]

NAME_ROWS = [
    Row(
        f"platform {platform}",
        200 if accepted else 400,
        "OK"
        if accepted
        else f"Binary wheel '{tagged(platform)}' has an unsupported platform tag '{platform.rpartition('.')[2]}'.",
        filename=tagged(platform),
    )
    for platform, accepted in {
        "any": True,
        "win32": True,
        "win_amd64": True,
        "win_arm64": True,
        "win_mips": False,
        "linux_armv7l": True,
        "linux_x86_64": False,
        "manylinux1_x86_64": True,
        "manylinux2014_s390x": True,
        "manylinux_2_28_x86_64": True,
        "manylinux_2_28_x86_64.manylinux2014_x86_64": True,
        "manylinux_2_28_x86_64.linux_x86_64": False,
        "manylinux_2_28_mips": False,
        "manylinux_2_39_riscv64": True,
        "musllinux_1_2_aarch64": True,
        "musllinux_1_2_ppc64": False,
        "macosx_10_9_universal2": True,
        "macosx_11_0_arm64": True,
        "macosx_11_5_arm64": False,
        "macosx_26_0_arm64": True,
        "macosx_16_0_arm64": False,
        "ios_13_0_arm64_iphoneos": True,
        "android_21_arm64_v8a": True,
        "android_21_mips": False,
        "pyemscripten_2026_0_wasm32": True,
        "pyemscripten_2026_0_wasm64": False,
        "emscripten_4_0_9_wasm32": False,
        "freebsd_14_amd64": False,
    }.items()
] + [
    Row(
        "no tags",
        400,
        "Invalid wheel filename (wrong number of parts): 'rows-1.0-py3-none'",
        filename="rows-1.0-py3-none.whl",
    ),
    Row(
        "upper-case project",
        400,
        f"{FILE}WHEEL not found at Rows-1.0.dist-info/WHEEL",
        filename="Rows-1.0-py3-none-any.whl",
    ),
    Row(
        "one part",
        400,
        f"{FILE}Unable to parse name and version from wheel filename",
        filename="rows-1.0.whl",
    ),
]

ARCHIVE_ROWS = [
    Row("no zip", 400, f"{FILE}File is not a zipfile", b"no zip archive"),
    Row("zip and tar", 400, f"{FILE}File is both a zip and a tar file", both_formats()),
    Row(
        "data descriptors",
        400,
        f"{NOT_ACCEPTED}ZIP contains a data descriptor. {ARCHIVES}",
        streamed(),
    ),
    Row(
        "comment of a member",
        400,
        f"{NOT_ACCEPTED}Comment in central directory. {ARCHIVES}",
        with_member_comment(),
    ),
    Row("comment of the archive", 200, "OK", packed(members(), comment=b"note")),
    Row(
        "bytes before",
        400,
        f"{NOT_ACCEPTED}Unknown record signature. {ARCHIVES}",
        b"junk" + packed(members()),
    ),
    Row(
        "bytes after", 400, f"{NOT_ACCEPTED}Trailing data. {ARCHIVES}", packed(members()) + b"junk"
    ),
    Row(
        "bytes between",
        400,
        f"{NOT_ACCEPTED}Unknown record signature. {ARCHIVES}",
        with_bytes_between(),
    ),
    Row(
        "member without entry",
        400,
        f"{NOT_ACCEPTED}Filename not in central directory. {ARCHIVES}",
        hidden_member(),
    ),
    Row(
        "member twice",
        400,
        f"{NOT_ACCEPTED}Duplicate filename in local headers. {ARCHIVES}",
        repeated(),
    ),
    Row(
        "control character in a member",
        400,
        f"{NOT_ACCEPTED}Invalid character in filename. {ARCHIVES}",
        without_local_name(),
    ),
    Row(
        "two names of a member",
        400,
        f"{NOT_ACCEPTED}Filename not in central directory. {ARCHIVES}",
        other_name_in_local_header(),
    ),
    Row(
        "two sizes of a member",
        400,
        f"{NOT_ACCEPTED}Mis-matched file size. {ARCHIVES}",
        other_size_in_local_header(),
    ),
    Row("zip64 field", 200, "OK", zip64(struct.pack("<HHQQ", 1, 16, 0, 0))),
    Row(
        "short zip64 field",
        400,
        f"{NOT_ACCEPTED}Malformed zip file. {ARCHIVES}",
        zip64(struct.pack("<HHL", 1, 4, 0)),
    ),
    Row(
        "extra field twice",
        400,
        f"{NOT_ACCEPTED}Invalid duplicate extra in local file. {ARCHIVES}",
        zip64(struct.pack("<HHQQ", 1, 16, 0, 0) * 2),
    ),
    Row(
        "unicode path that is not UTF-8",
        400,
        f"{NOT_ACCEPTED}Filename not valid UTF-8. {ARCHIVES}",
        zip64(struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"\xff"),
    ),
    Row(
        "truncated extra field",
        400,
        f"{NOT_ACCEPTED}Malformed zip file. {ARCHIVES}",
        zip64(b"\1\0\1"),
    ),
    Row("compression ratio", 400, f"{FILE}File exceeds compression ratio of 50", bomb()),
    Row(
        "small file with a high ratio",
        200,
        "OK",
        packed({**members(), "rows/zeros": bytes(1 << 20)}, zipfile.ZIP_DEFLATED),
    ),
    Row(
        "bzip2",
        400,
        f"{FILE}File does not use a supported compression type",
        packed(members(), zipfile.ZIP_BZIP2),
    ),
    Row("folder as a member", 200, "OK", packed({"rows/": b"", **members()})),
    Row("no WHEEL", 400, f"{FILE}WHEEL not found at {FOLDER}/WHEEL", packed(members(WHEEL=None))),
    Row(
        "no RECORD",
        400,
        f"Wheel '{NAME}' does not contain the required RECORD file: {FOLDER}/RECORD",
        packed(members(RECORD=None)),
    ),
    Row(
        "RECORD that is not UTF-8",
        400,
        f"Wheel '{NAME}' does not contain the required RECORD ...",
        packed(members(RECORD=b"\xff")),
    ),
    Row(
        "no METADATA",
        400,
        f"Wheel '{NAME}' does not contain the required METADATA file: {FOLDER}/METADATA",
        packed(members(METADATA=None)),
    ),
    Row(
        "RECORD with too much",
        200,
        "OK",
        packed(members(RECORD=members()[f"{FOLDER}/RECORD"] + b"more,,\n")),
    ),
    Row("RECORD with too little", 200, "OK", packed(members(RECORD=b""))),
    Row(
        "METADATA of another version",
        200,
        "OK",
        packed(members(METADATA=b"Metadata-Version: 2.1\nName: other\nVersion: 3\n")),
    ),
    Row("damaged METADATA", 200, "OK", packed(members(METADATA=b"\xff nothing"))),
    Row(
        "entry point with a path",
        400,
        f"Wheel '{NAME}' has invalid entry points defined in the entry_points.txt file",
        entry_points("[console_scripts]\n../../bin/sh = rows:main\n"),
    ),
    Row(
        "entry point of a GUI with a path",
        400,
        f"Wheel '{NAME}' has invalid entry points ...",
        entry_points("[gui_scripts]\na/b = rows:main\n"),
    ),
    Row(
        "entry points that are no INI",
        400,
        f"Wheel '{NAME}' has invalid entry points ...",
        entry_points("rows = rows:main\n"),
    ),
    Row(
        "entry points that are not UTF-8",
        400,
        f"Wheel '{NAME}' has invalid entry points ...",
        packed(members(entry_points__txt=b"\xff")),
    ),
    Row(
        "entry point of another group with a path",
        200,
        "OK",
        entry_points("[rows.plugins]\na/b = rows:main\n"),
    ),
    Row("entry point", 200, "OK", entry_points("[console_scripts]\nrows-run = rows:main\n")),
    Row(
        "PyArmor",
        400,
        f"{FILE}PyArmor-encrypted content is not allowed. See https://127.0.0.1/policy/acceptable-use-policy/ for more information.",
        packed({**members(), "rows/a.py": b"__pyarmor__(__name__, __file__, b'')"}),
    ),
    Row(
        "SourceDefender",
        400,
        f"{FILE}SourceDefender-encrypted content is not allowed. See ...",
        packed({**members(), "rows/a.pye": b"---BEGIN PYE FILE---\n---END PYE FILE---"}),
    ),
]

SDIST_ROWS = [
    Row("sdist", 200, "OK", filename=SDIST),
    Row("sdist without pyversion", 200, "OK", filename=SDIST, changes={"pyversion": ""}),
    Row(
        "sdist with another pyversion",
        400,
        "Invalid value for pyversion. Error: Use 'source' as Python version for an sdist.",
        filename=SDIST,
        changes={"pyversion": "py3"},
    ),
    Row("no tar", 400, f"{FILE}File is not a tarfile", b"not a tar", SDIST),
    Row(
        "tar with another compression",
        400,
        f"{FILE}None",
        gzip.decompress(sdist("rows", "1.0")[1]),
        SDIST,
    ),
    Row("truncated tar", 400, f"{FILE}...", sdist("rows", "1.0")[1][:-40], SDIST),
    Row(
        "no PKG-INFO",
        400,
        f"{FILE}PKG-INFO not found at rows-1.0/PKG-INFO",
        tar_with({"rows-1.0/a": b"", "rows-1.0/b": b""}),
        SDIST,
    ),
    Row(
        "two folders",
        400,
        f"{FILE}Incorrect number of top-level directories in sdist",
        tar_with({"a/PKG-INFO": b"", "b/x": b""}),
        SDIST,
    ),
    Row("another folder", 200, "OK", tar_with({"other/PKG-INFO": b"", "other/x": b""}), SDIST),
    Row(
        "sparse member",
        400,
        f"{FILE}tar archive not accepted: Sparse members are not allowed. {ARCHIVES}",
        sparse(),
        SDIST,
    ),
    Row(
        "sdist of another project",
        400,
        "Start filename for 'other' with 'other'.",
        filename=SDIST,
        changes={"name": "other"},
    ),
    Row(
        "sdist of another version",
        400,
        f"Filename '{SDIST}' is invalid, should be 'rows-2.0.tar.gz'.",
        filename=SDIST,
        changes={"version": "2.0"},
    ),
    Row(
        "sdist without version",
        400,
        "Invalid source distribution filename: rows.tar.gz",
        sdist("rows", "1.0")[1],
        "rows.tar.gz",
        {"version": "1.0"},
    ),
    Row(
        "sdist licence file",
        400,
        f"License-File LICENSE does not exist in distribution file {SDIST} at rows-1.0/LICENSE",
        filename=SDIST,
        changes={"metadata_version": "2.4", "license_file": "LICENSE"},
    ),
    Row(
        "zip sdist",
        400,
        "Filename 'rows-1.0.zip' is invalid, should be 'rows-1.0.tar.gz'.",
        packed({"rows-1.0/PKG-INFO": b"", "rows-1.0/x": b""}),
        "rows-1.0.zip",
    ),
    Row(
        "zip sdist without a folder",
        400,
        f"{FILE}Incorrect number of top-level directories in sdist",
        packed({"PKG-INFO": b"", "x": b""}),
        "rows-1.0.zip",
    ),
]

_PAGE = re.compile(r" See https://\S+ for more information\.?$")


def send(front: Front, row: Row) -> requests.Response:
    valid = sdist("rows", "1.0") if row.filename.endswith(".tar.gz") else wheel("rows", "1.0")
    content = valid[1] if row.content is None else row.content
    fields = {
        **upload_form(NAME, wheel("rows", "1.0")[1]),
        "sha256_digest": hashlib.sha256(content).hexdigest(),
    }
    if row.filename.endswith((".tar.gz", ".zip")):
        fields |= {"filetype": "sdist", "pyversion": "source"}
    data = {key: value for key, value in {**fields, **row.changes}.items() if value}
    part: tuple[Any, ...] = (row.filename, content, row.content_type)
    return front.shared_session.post(
        f"{front.upload}/legacy/",
        data=data,
        files={"content": part},
        auth=None if row.password is None else ("__token__", row.password),
        timeout=30,
    )


def assert_answered(front: Front, row: Row) -> None:
    """Check that the index answers an upload as the live index does."""
    response = send(front, row)
    assert response.status_code == row.status
    if row.answer.endswith("..."):
        assert response.reason.startswith(row.answer.removesuffix("..."))
    else:
        assert response.reason == row.answer
    assert (front.store / row.filename).exists() == (row.status == 200)


def without_page(answer: str) -> str:
    """Return an answer of the index without the reference to a page."""
    return _PAGE.sub("", answer)
