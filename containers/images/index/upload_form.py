"""The form of an upload, without the metadata fields.

The checks, their order and the messages are those of the default index, 2026: `sanitize` in
warehouse/forklift/decorators.py and `UploadForm` in warehouse/forklift/forms.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from packaging.utils import NormalizedName, canonicalize_name
from werkzeug.datastructures import FileStorage, MultiDict

EXTENSIONS = {"sdist": (".tar.gz", ".zip"), "bdist_wheel": (".whl",)}
SPECIFICATION = "https://packaging.python.org/specifications/core-metadata"
_FILE_NAME = re.compile(r".+?(\.(tar\.gz|zip|whl))", re.IGNORECASE | re.DOTALL)
_PROJECT_NAME = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE | re.ASCII)
_REQUIRED = "This field is required."
_SHOWN_LENGTH = 60
_PEP_527 = "See https://www.python.org/dev/peps/pep-0527"


class UploadRefused(Exception):
    """An upload is refused. The client gets the message."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The fields of the form that are not metadata."""

    name: str
    filetype: Literal["sdist", "bdist_wheel"]
    digests: dict[str, str]

    @property
    def project(self) -> NormalizedName:
        """The normalised name of the project."""
        return canonicalize_name(self.name)


def sanitize(
    fields: MultiDict[str, str], files: MultiDict[str, FileStorage]
) -> MultiDict[str, str]:
    """Return the fields without those that a client marks as empty (`UNKNOWN`).

    Raises:
        UploadRefused: a field other than that of the file is a file.
    """
    clean: MultiDict[str, str] = MultiDict()
    for key, values in fields.lists():
        if values[-1].strip() == "UNKNOWN":
            continue
        if "\0" in values[-1]:
            values = [values[-1].replace("\0", "\\x00")]
        clean.setlist(key, values)
    for key in sorted(set(files) - {"content", "gpg_signature"}):
        raise UploadRefused(f"{key}: Should not be a tuple.")
    return clean


def read_form(fields: MultiDict[str, str]) -> UploadForm:
    """Return the checked form.

    Raises:
        UploadRefused: a field is wrong. The message names the field that the default index names.
    """
    if fields.get("protocol_version", "1") != "1":
        raise UploadRefused("Unknown protocol version.")
    faults = _field_faults(fields) or _combination_faults(fields)
    if faults:
        raise UploadRefused(_message(faults, fields))
    filetype: Literal["sdist", "bdist_wheel"] = (
        "sdist" if fields["filetype"] == "sdist" else "bdist_wheel"
    )
    digests = {name: fields[f"{name}_digest"] for name in _digests(fields)}
    return UploadForm(fields["name"], filetype, digests)


def _field_faults(fields: MultiDict[str, str]) -> dict[str, str]:
    faults: dict[str, str] = {}
    name, filetype = fields.get("name", ""), fields.get("filetype", "")
    if not _PROJECT_NAME.fullmatch(name):
        faults["name"] = (
            "Start and end with a letter or numeral containing only ASCII numeric and '.', '_' "
            "and '-'."
            if name
            else _REQUIRED
        )
    if filetype not in EXTENSIONS:
        faults["filetype"] = "Use a known file type." if filetype else _REQUIRED
    for algorithm, title in (("sha256", "SHA256"), ("blake2_256", "BLAKE2")):
        digest = fields.get(f"{algorithm}_digest", "")
        if digest.strip() and not re.fullmatch("[0-9A-Fa-f]{64}", digest):
            faults[f"{algorithm}_digest"] = f"Use a valid, hex-encoded, {title} message digest."
    return faults


def _combination_faults(fields: MultiDict[str, str]) -> dict[str, str]:
    is_source, python = fields["filetype"] == "sdist", fields.get("pyversion", "")
    if not is_source and not python:
        return {"pyversion": "Python version is required for binary distribution uploads."}
    if is_source and python not in {"", "source"}:
        return {"pyversion": "Use 'source' as Python version for an sdist."}
    return {} if _digests(fields) else {"": "Include at least one message digest."}


def _digests(fields: MultiDict[str, str]) -> list[str]:
    return [name for name in ("md5", "sha256", "blake2_256") if fields.get(f"{name}_digest")]


def _message(faults: dict[str, str], fields: MultiDict[str, str]) -> str:
    key = "name" if "name" in faults else min(faults)
    if key == "name":
        value = fields.get(key, "")
        if len(value) > _SHOWN_LENGTH:
            value = f"{value[:30]}...{value[-30:]}"
        return (
            f"{value!r} is an invalid value for Name. Error: {faults[key]} See {SPECIFICATION} "
            "for more information."
        )
    return f"{f'Invalid value for {key}. ' if key else ''}Error: {faults[key]}"


def check_filename(filename: str, form: UploadForm) -> None:
    """Check the characters and the extension of a file name.

    Raises:
        UploadRefused: the name cannot be stored, or does not fit the file type.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in filename):
        raise UploadRefused(
            "Cannot upload a file with non-printable characters (ordinals 0-31) or the DEL "
            "character (ordinal 127) in the name.",
        )
    if "/" in filename or "\\" in filename:
        raise UploadRefused(r"Cannot upload a file with '/' or '\' in the name.")
    match = _FILE_NAME.fullmatch(filename)
    if match is None:
        raise UploadRefused(
            f"Invalid file extension: Use .tar.gz, .whl or .zip extension. {_PEP_527} and "
            "https://peps.python.org/pep-0715/ for more information",
        )
    if match[1] not in EXTENSIONS[form.filetype]:
        raise UploadRefused(
            f"Invalid file extension: Extension {match[1]} is invalid for filetype "
            f"{form.filetype}. {_PEP_527} for more information.",
        )


def check_content_type(content: FileStorage) -> None:
    """Check the content type of the form part with the file.

    A part without the header has the type text/plain (RFC 7578, section 4.4).

    Raises:
        UploadRefused: the header is empty or names an image.
    """
    kind = content.headers.get("Content-Type", "text/plain").partition(";")[0].strip()
    if not kind or kind.startswith("image/"):
        raise UploadRefused("Invalid distribution file.")
