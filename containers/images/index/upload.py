"""Uploads, with the rules and the messages of the default index.

The checks and the messages are from the upload code of the default index, 2026. The rules for the
metadata fields are in metadata_rules.py. Two checks are stricter: the METADATA in the file must be
valid, and its name and version must be equal to the form. The default index reads only the form.
Attestations are ignored.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from packaging.metadata import InvalidMetadata, Metadata, parse_email
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version
from server.json_reader import JsonObject
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from .config import Credential, Hosts
from .credentials import Keyring, may_upload
from .file_details import FileDetailsCache, read_metadata
from .platform_tags import is_accepted
from .routing import Request, Route, text_response
from .store import PackageStore

MAX_SIZE = 100 * 1024 * 1024
_EXTENSIONS = {"sdist": (".tar.gz", ".zip"), "bdist_wheel": (".whl",)}
_METADATA_HELP = "See the core metadata specification for more information."


class UploadRefused(Exception):
    """An upload is refused. The client gets the message."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The fields of the form that describe the file."""

    name: str
    version: Version
    filetype: str
    digests: dict[str, str]

    @property
    def project(self) -> NormalizedName:
        """The normalised name of the project."""
        return canonicalize_name(self.name)

    @property
    def escaped(self) -> str:
        """The name of the project in file names (binary distribution format)."""
        return self.project.replace("-", "_")


class UploadApi:
    """Receives uploaded files."""

    def __init__(
        self, store: PackageStore, details: FileDetailsCache, keyring: Keyring, hosts: Hosts
    ) -> None:
        self._store = store
        self._details = details
        self._keyring = keyring
        self._hosts = hosts
        # Only one upload at a time is checked and stored. If two files have the same name, the
        # second one is refused.
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [Route("/legacy/", self._receive, role="upload", methods=("POST",))]

    def _receive(self, request: Request) -> Response:
        notes: JsonObject = {}
        request.notes["upload"] = notes
        try:
            self._check_and_store(request, notes)
        except UploadRefused as refusal:
            notes["refused"] = refusal.reason
            return self._refusal_response(refusal)
        return text_response("OK")

    def _refusal_response(self, refusal: UploadRefused) -> Response:
        # Clients show the reason phrase, so the default index puts its message there. A
        # phrase has to be one line of Latin-1 (RFC 9112, section 4).
        phrase = " ".join(refusal.reason.split()).encode("latin-1", "replace").decode("latin-1")
        return text_response(f"{refusal.status} {refusal.reason}", f"{refusal.status} {phrase}")

    def _check_and_store(self, request: Request, notes: JsonObject) -> None:
        credential = self._identify(request)
        if credential.publisher is not None:
            notes["identity"] = {**credential.publisher}
        try:
            fields, content = request.form, request.files.get("content")
        except RequestEntityTooLarge as error:
            raise UploadRefused("The form is too large.", 413) from error
        form = _read_form(fields)
        if content is None or not content.filename:
            raise UploadRefused("Upload payload does not have a file.")
        filename = content.filename
        notes["file"] = filename
        if not may_upload(credential, form.name):
            raise UploadRefused(
                f"The given token isn't allowed to upload to project '{form.name}'. "
                f"See {self._help('project-name')} for more information.",
                403,
            )
        _check_filename(filename, form)
        digests = _digest(content.stream)
        notes["sha256"] = digests["sha256"]
        for algorithm, digest in form.digests.items():
            if not hmac.compare_digest(digest.lower(), digests[algorithm]):
                raise UploadRefused(
                    "The digest supplied does not match a digest calculated from the "
                    "uploaded file.",
                )
        with self._lock:
            if self._is_stored(filename, digests):
                notes["known"] = True
                return
            metadata = _check_file(content.stream, filename, form)
            self._check_description(metadata)
            content.stream.seek(0)
            self._store.add(filename, content.stream)

    def _identify(self, request: Request) -> Credential:
        authorization = request.authorization
        if authorization is not None and authorization.type == "basic":
            credential = self._keyring.find(
                authorization.username or "", authorization.password or ""
            )
            if credential is not None:
                return credential
        raise UploadRefused(
            "Invalid or non-existent authentication information. "
            f"See {self._help('invalid-auth')} for more information.",
            403,
        )

    def _is_stored(self, filename: str, digests: dict[str, str]) -> bool:
        for file in self._store.files():
            same_name = file.path.name == filename
            same_bytes = self._details.read(file.path).sha256 == digests["sha256"]
            if same_name and same_bytes:
                return True
            if same_name or same_bytes:
                raise UploadRefused(  # twine --skip-existing looks for the first words.
                    f"File already exists ({filename!r}, with blake2_256 hash "
                    f"{digests['blake2_256']!r}). See {self._help('file-name-reuse')} "
                    "for more information.",
                )
        return False

    def _check_description(self, metadata: Metadata) -> None:
        from . import metadata_rules  # as in _check_metadata

        fault = metadata_rules.description_fault(metadata)
        if fault is not None:
            page = self._help("description-content-type")
            raise UploadRefused(f"{fault} See {page} for more information.")

    def _help(self, anchor: str) -> str:
        return f"https://{self._hosts.index}/help/#{anchor}"


def _read_form(fields: MultiDict[str, str]) -> UploadForm:
    if fields.get(":action") != "file_upload":
        raise UploadRefused("Invalid value for :action. Error: Use file_upload.")
    if fields.get("protocol_version", "1") != "1":
        raise UploadRefused("Unknown protocol version.")
    if not fields.get("metadata_version"):
        raise UploadRefused(f"'' is an invalid value for Metadata-Version. {_METADATA_HELP}")
    name = fields.get("name", "")
    try:
        canonicalize_name(name, validate=True)
    except InvalidName as error:
        raise UploadRefused(
            f"{name!r} is an invalid value for Name. Error: Start and end with a letter or "
            "numeral containing only ASCII numeric and '.', '_' and '-'. " + _METADATA_HELP,
        ) from error
    try:
        version = Version(fields.get("version", ""))
    except InvalidVersion as error:
        raise UploadRefused(
            f"{fields.get('version', '')!r} is an invalid value for Version. {_METADATA_HELP}"
        ) from error
    if version.local is not None:
        raise UploadRefused(
            f"The use of local versions in {version!r} is not allowed. {_METADATA_HELP}"
        )
    filetype = fields.get("filetype", "")
    if filetype not in _EXTENSIONS:
        raise UploadRefused("Invalid value for filetype. Error: Use a known file type.")
    digests = {
        algorithm: fields[f"{algorithm}_digest"]
        for algorithm in ("md5", "sha256", "blake2_256")
        if fields.get(f"{algorithm}_digest")
    }
    for algorithm, title in (("sha256", "SHA256"), ("blake2_256", "BLAKE2")):
        if algorithm in digests and not re.fullmatch("[0-9A-Fa-f]{64}", digests[algorithm]):
            raise UploadRefused(
                f"Invalid value for {algorithm}_digest. "
                f"Error: Use a valid, hex-encoded, {title} message digest.",
            )
    if not digests:
        raise UploadRefused("Error: Include at least one message digest.")
    return UploadForm(name, version, filetype, digests)


def _check_filename(filename: str, form: UploadForm) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in filename):
        raise UploadRefused(
            "Cannot upload a file with non-printable characters (ordinals 0-31) or the DEL "
            "character (ordinal 127) in the name.",
        )
    if "/" in filename or "\\" in filename:
        raise UploadRefused(r"Cannot upload a file with '/' or '\' in the name.")
    extension = next(
        (end for ends in _EXTENSIONS.values() for end in ends if filename.endswith(end)), None
    )
    if extension is None:
        raise UploadRefused("Invalid file extension: Use .tar.gz, .whl or .zip extension.")
    if extension not in _EXTENSIONS[form.filetype]:
        raise UploadRefused(
            f"Invalid file extension: Extension {extension} is invalid for filetype "
            f"{form.filetype}.",
        )


def _digest(content: IO[bytes]) -> dict[str, str]:
    md5 = hashlib.md5(usedforsecurity=False)
    sha256 = hashlib.sha256()
    blake2 = hashlib.blake2b(digest_size=32)
    size = 0
    for chunk in iter(lambda: content.read(1 << 16), b""):
        size += len(chunk)
        if size > MAX_SIZE:
            raise UploadRefused(f"File too large. The limit is {MAX_SIZE >> 20} MB.")
        for hasher in (md5, sha256, blake2):
            hasher.update(chunk)
    content.seek(0)
    return {
        "md5": md5.hexdigest(),
        "sha256": sha256.hexdigest(),
        "blake2_256": blake2.hexdigest(),
    }


def _check_file(content: IO[bytes], filename: str, form: UploadForm) -> Metadata:
    """Compare the content of a file with its name and the form. Return its metadata.

    Raises:
        UploadRefused: a check failed. The message is that of the first failed check.
    """
    if filename.endswith(".whl"):
        _check_wheel_name(filename, form)
        licences = _check_wheel(content, filename)
    else:
        _check_sdist_name(filename, form)
        licences = _check_sdist(content, filename)
    content.seek(0)
    metadata = _check_metadata(read_metadata(content, filename), filename, form)
    for licence in metadata.license_files or ():
        target = posixpath.join(licences.folder, licence)
        if target not in licences.members:
            raise UploadRefused(
                f"License-File {licence} does not exist in distribution file {filename} "
                f"at {target}",
            )
    return metadata


@dataclass(frozen=True, slots=True)
class _Licences:
    """The folder of the licence files in an archive (PEP 639), and the members of the archive."""

    folder: str
    members: frozenset[str]


def _check_wheel_name(filename: str, form: UploadForm) -> None:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise UploadRefused(str(error)) from error
    for platform in sorted({tag.platform for tag in tags}):
        if not is_accepted(platform):
            raise UploadRefused(
                f"Binary wheel '{filename}' has an unsupported platform tag '{platform}'."
            )
    _check_name_and_version(name, version, form)
    name_in_file = filename.partition("-")[0]
    if name_in_file != form.escaped:
        raise UploadRefused(
            f"Filename {filename!r} should contain the normalized project name "
            f"{form.escaped!r}, not {name_in_file!r}.",
        )


def _check_sdist_name(filename: str, form: UploadForm) -> None:
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename as error:
        raise UploadRefused(f"Invalid source distribution filename: {filename}") from error
    _check_name_and_version(name, version, form)
    expected = f"{form.escaped}-{form.version}.tar.gz"
    if filename != expected:
        raise UploadRefused(f"Filename {filename!r} is invalid, should be {expected!r}.")


def _check_name_and_version(name: NormalizedName, version: Version, form: UploadForm) -> None:
    if name != form.project:
        raise UploadRefused(f"Start filename for {form.name!r} with {form.escaped!r}.")
    if version != form.version:
        raise UploadRefused(
            f"Version in filename should be {str(form.version)!r} not {str(version)!r}.",
        )


def _check_wheel(content: IO[bytes], filename: str) -> _Licences:
    content.seek(0)
    if not zipfile.is_zipfile(content):
        raise UploadRefused("Invalid distribution file. File is not a zipfile")
    content.seek(0)
    try:
        with zipfile.ZipFile(content) as archive:
            items = archive.infolist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise UploadRefused(f"Invalid distribution file. {error}") from error
    if damaged is not None:
        raise UploadRefused(f"Invalid distribution file. {damaged} is damaged")
    if any(item.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for item in items):
        raise UploadRefused(
            "Invalid distribution file. File does not use a supported compression type"
        )
    members = frozenset(item.filename for item in items)
    name, version, _ = filename.split("-", 2)
    folder = f"{name}-{version}.dist-info"
    if f"{folder}/WHEEL" not in members:
        raise UploadRefused(f"Invalid distribution file. WHEEL not found at {folder}/WHEEL")
    for required in ("RECORD", "METADATA"):
        if f"{folder}/{required}" not in members:
            raise UploadRefused(
                f"Wheel '{filename}' does not contain the required {required} file: "
                f"{folder}/{required}",
            )
    return _Licences(f"{folder}/licenses", members)


def _check_sdist(content: IO[bytes], filename: str) -> _Licences:
    folder = filename.removesuffix(".tar.gz")
    content.seek(0)
    try:
        with tarfile.open(fileobj=content, mode="r:gz") as archive:
            members = frozenset(archive.getnames())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UploadRefused("Invalid distribution file. File is not a tarfile") from error
    if {member.partition("/")[0] for member in members} != {folder}:
        raise UploadRefused(
            "Invalid distribution file. Incorrect number of top-level directories in sdist"
        )
    if f"{folder}/PKG-INFO" not in members:
        raise UploadRefused(f"Invalid distribution file. PKG-INFO not found at {folder}/PKG-INFO")
    return _Licences(folder, members)


def _check_metadata(data: bytes | None, filename: str, form: UploadForm) -> Metadata:
    if data is None:
        raise UploadRefused(
            f"Invalid distribution file. {filename} has no or several metadata files"
        )
    from . import metadata_rules  # imported here, because its libraries are slow to import

    raw, _ = parse_email(data)
    if _is_older(raw.get("metadata_version", ""), "2.4"):
        # setuptools wrote this field before a specification had it. Clients do not send it.
        raw.pop("license_files", None)
    try:
        metadata = Metadata.from_raw(raw)
    except ExceptionGroup as errors:
        raise _invalid(errors.exceptions) from errors
    if canonicalize_name(metadata.name) != form.project:
        raise UploadRefused(
            f"The metadata in {filename!r} has the name {metadata.name!r}, the form has "
            f"{form.name!r}.",
        )
    if metadata.version != form.version:
        raise UploadRefused(
            f"The metadata in {filename!r} has the version {str(metadata.version)!r}, the form has "
            f"{str(form.version)!r}.",
        )
    faults = list(metadata_rules.faults(metadata))
    if faults:
        raise _invalid(faults)
    return metadata


def _is_older(version: str, limit: str) -> bool:
    try:
        return Version(version) < Version(limit)
    except InvalidVersion:
        return False


def _invalid(errors: Iterable[Exception]) -> UploadRefused:
    """Return the refusal for the fault that the default index reports first."""
    # The metadata version decides which fields are valid, so its fault comes first.
    order = {"metadata-version": 0, "name": 1, "version": 2}

    def rank(error: Exception) -> tuple[int, str]:
        field = error.field if isinstance(error, InvalidMetadata) else ""
        return order.get(field, 3), field

    first = str(min(errors, key=rank))
    return UploadRefused(f"{first.rstrip('.')}. {_METADATA_HELP}")
