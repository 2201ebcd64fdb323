"""The rules of the default index for the metadata of a package.

The inspection applies them before an upload, and the index of the run during it. The index image
has this file too (a link).

The default index adds these checks to those of packaging.metadata. The checks and the messages are
those of 2026: `_validate_metadata` in warehouse/forklift/metadata.py, `file_upload` in
warehouse/forklift/legacy.py, `is_valid_uri` in warehouse/utils/http.py and `render` in
warehouse/utils/readme.py. This module uses the same libraries. Their import takes long, so it is
imported where it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import EmailMessage
from email.utils import parseaddr

import email_validator
from packaging.metadata import InvalidMetadata, Metadata
from packaging.requirements import InvalidRequirement, Requirement
from rfc3986 import uri_reference
from rfc3986.exceptions import RFC3986Exception
from rfc3986.validators import Validator
from trove_classifiers import classifiers, deprecated_classifiers

_SUMMARY_LENGTH = 512
_LABEL_LENGTH = 32
_VERSIONS = {"1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5"}


def first_fault(faults: Iterable[Exception]) -> InvalidMetadata:
    """Return the fault that the default index reports, of one or more faults."""
    # The metadata version decides which fields are valid, so its fault comes first.
    order = {"metadata-version": 0, "name": 1, "version": 2}

    def rank(fault: Exception) -> tuple[int, str]:
        field = fault.field if isinstance(fault, InvalidMetadata) else ""
        return order.get(field, 3), field

    first = min(faults, key=rank)
    return first if isinstance(first, InvalidMetadata) else InvalidMetadata("", str(first))


def faults(metadata: Metadata) -> Iterator[InvalidMetadata]:
    """Yield the faults that the default index reports for well-formed metadata."""
    if metadata.metadata_version not in _VERSIONS:
        message = f"{metadata.metadata_version!r} is not a valid metadata version"
        yield InvalidMetadata("metadata-version", message)
    if metadata.version.local:
        message = f"The use of local versions in '{metadata.version}' is not allowed."
        yield InvalidMetadata("version", message)
    if metadata.summary is not None and len(metadata.summary) > _SUMMARY_LENGTH:
        yield InvalidMetadata(
            "summary", f"'summary' field must be {_SUMMARY_LENGTH} characters or less."
        )
    yield from _addresses(metadata)
    yield from _classifiers(metadata)
    yield from _urls(metadata)
    yield from _requirements(metadata)
    if "dynamic" in (metadata.dynamic or ()):
        yield InvalidMetadata("dynamic", "Dynamic field 'dynamic' is not a valid dynamic field.")
    if metadata.license and metadata.license_expression:
        yield InvalidMetadata(
            "license",
            "License is deprecated when License-Expression is present. "
            "Only License-Expression should be present.",
        )


def description_fault(metadata: Metadata) -> str | None:
    """Return the error of a description that does not render, or None."""
    if not metadata.description:
        return None
    content_type = metadata.description_content_type
    if _renders(metadata.description, content_type or "text/x-rst"):
        return None
    if content_type:
        return f"The description failed to render for '{content_type}'."
    return "The description failed to render in the default format of reStructuredText."


def _addresses(metadata: Metadata) -> Iterator[InvalidMetadata]:
    for field, value in (
        ("author-email", metadata.author_email),
        ("maintainer-email", metadata.maintainer_email),
    ):
        # parseaddr returns no address for a list, so the default index does not check lists.
        _, address = parseaddr(value or "")
        if not address:
            continue
        try:
            email_validator.validate_email(address, check_deliverability=False)
        except email_validator.EmailNotValidError as error:
            yield InvalidMetadata(field, f"{address!r} is not a valid email address: {error}")


def _classifiers(metadata: Metadata) -> Iterator[InvalidMetadata]:
    for classifier in sorted(set(metadata.classifiers or ())):
        if classifier in deprecated_classifiers:
            message = f"The classifier {classifier!r} has been deprecated"
            replacements = deprecated_classifiers[classifier]
            message += f", use one of {replacements} instead." if replacements else "."
            yield InvalidMetadata("classifier", message)
        elif classifier not in classifiers:
            yield InvalidMetadata("classifier", f"{classifier!r} is not a valid classifier.")


def _urls(metadata: Metadata) -> Iterator[InvalidMetadata]:
    for field, url in (
        ("home-page", metadata.home_page),
        ("download-url", metadata.download_url),
    ):
        if url is not None and not _is_url(url):
            yield InvalidMetadata(field, f"{url!r} is not a valid url.")
    for label, url in (metadata.project_urls or {}).items():
        if not label:
            yield InvalidMetadata("project-url", "Must have a label")
        elif len(label) > _LABEL_LENGTH:
            message = f"{label!r} must be {_LABEL_LENGTH} characters or less."
            yield InvalidMetadata("project-url", message)
        elif not url:
            yield InvalidMetadata("project-url", "Must have a URL")
        elif not _is_url(url):
            yield InvalidMetadata("project-url", f"{url!r} is not a valid url")


def _requirements(metadata: Metadata) -> Iterator[InvalidMetadata]:
    for requirement in metadata.requires_dist or ():
        if requirement.url is not None:
            message = f"Can't have direct dependency: {requirement}"
            yield InvalidMetadata("requires-dist", message)
    for field, values in (
        ("provides-dist", metadata.provides_dist),
        ("obsoletes-dist", metadata.obsoletes_dist),
    ):
        for value in values or ():
            try:
                direct = Requirement(value).url is not None
            except InvalidRequirement as error:
                yield InvalidMetadata(field, f"{value!r} is invalid: {error}")
            else:
                if direct:
                    yield InvalidMetadata(field, f"Can't have direct dependency: {value!r}")


def _is_url(url: str) -> bool:
    validator = Validator().allow_schemes("http", "https").require_presence_of("scheme")
    validator.check_validity_of("scheme", "host", "port", "path", "query")
    try:
        validator.validate(uri_reference(url).normalize())
    except RFC3986Exception:
        return False
    return True


def _renders(text: str, content_type: str) -> bool:
    message = EmailMessage()
    message["content-type"] = content_type
    # The default index ignores the variant of Markdown. Plain text always renders.
    match message.get_content_type():
        case "text/x-rst":
            from readme_renderer import rst

            return rst.render(text) is not None
        case "text/markdown":
            from readme_renderer import markdown

            return markdown.render(text) is not None
    return True
