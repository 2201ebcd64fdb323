"""Read the metadata in the form of an upload.

The default index reads the metadata of the form, not those in the file (`parse_form_metadata` in
warehouse/forklift/metadata.py, 2026). The rules are in metadata_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast, get_type_hints

from packaging.metadata import InvalidMetadata, Metadata, RawMetadata
from werkzeug.datastructures import MultiDict

from . import metadata_rules
from .upload_form import SPECIFICATION, UploadRefused

_FIELDS = get_type_hints(RawMetadata)
"""The type of each metadata field."""
_FORM_NAMES = {
    "platforms": "platform",
    "supported_platforms": "supported_platform",
    "license_files": "license_file",
    "import_names": "import_name",
    "import_namespaces": "import_namespace",
}
"""The names of fields that have another name in the form."""
_LOCAL_VERSIONS = (
    "https://packaging.python.org/en/latest/specifications/version-specifiers/"
    "#local-version-identifiers"
)


def read(fields: MultiDict[str, str]) -> Metadata:
    """Return the checked metadata of a form.

    Raises:
        UploadRefused: a field is wrong. The message names the field that the default index names.
    """
    raw, unreadable = _raw(fields)
    if unreadable:
        raise _refused(unreadable)
    try:
        metadata = Metadata.from_raw(raw)
    except ExceptionGroup as errors:
        raise _refused(errors.exceptions) from errors
    if errors_of_index := list(metadata_rules.faults(metadata)):
        raise _refused(errors_of_index)
    return metadata


def _raw(fields: MultiDict[str, str]) -> tuple[RawMetadata, list[InvalidMetadata]]:
    raw: dict[str, Any] = {}
    unreadable: list[InvalidMetadata] = []
    for field, kind in _FIELDS.items():
        name = _FORM_NAMES.get(field, field)
        values = fields.getlist(name)
        if values in ([], [""]):
            continue
        if field == "project_urls" and (urls := _project_urls(values)) is not None:
            raw[field] = urls
        elif field == "keywords" and len(values) == 1:
            raw[field] = [word.strip() for word in values[0].split(",")]
        elif kind is str and len(values) == 1:
            raw[field] = values[0]
        elif kind == list[str] and field != "keywords":
            raw[field] = values
        else:
            unreadable.append(InvalidMetadata(name, f"{name!r} has invalid data"))
    return cast(RawMetadata, raw), unreadable


def _project_urls(values: Iterable[str]) -> dict[str, str] | None:
    """Return the URLs by their labels, or None if a label is repeated."""
    urls: dict[str, str] = {}
    for value in values:
        label, _, url = (part.strip() for part in value.partition(","))
        if label in urls:
            return None
        urls[label] = url
    return urls


def _refused(errors: Iterable[Exception]) -> UploadRefused:
    """Return the refusal for the fault that the default index reports first."""
    first = str(metadata_rules.first_fault(errors))
    page = _LOCAL_VERSIONS if "use of local versions" in first else SPECIFICATION
    return UploadRefused(f"{first.rstrip('.')}. See {page} for more information.")
