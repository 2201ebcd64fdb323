"""Read the trusted publishers of a subject from `publishers.toml`."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydantic

from verification.models.errors import WrongUse
from verification.models.publisher import TrustedPublisher


def load(path: Path) -> tuple[TrustedPublisher, ...]:
    """Read the registrations.

    Raises:
        WrongUse: the file cannot be read, or the form of the index would refuse a registration.
            The message is one line with all faults.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(f"{path}: {' '.join(str(error).split())}") from None
    faults = [f"unknown key {key!r}; write [[publisher]]" for key in data if key != "publisher"]
    tables = data.get("publisher", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        tables = []
        faults.append("`publisher` must be an array of tables; write [[publisher]]")
    elif not tables and not faults:
        faults.append("the file has no publisher; write [[publisher]] for each registration")
    publishers = []
    for number, table in enumerate(tables, 1):
        try:
            publishers.append(TrustedPublisher.model_validate(table))
        except pydantic.ValidationError as error:
            faults += [f"publisher {number}: {fault}" for fault in _faults(error)]
    faults += _repeated(publishers)
    if faults:
        raise WrongUse(f"{path.name}: {'; '.join(faults)}")
    return tuple(publishers)


def _faults(error: pydantic.ValidationError) -> Iterator[str]:
    """Yield the faults of a registration, each with the name of its key."""
    for details in error.errors(include_url=False):
        # An error without location is about the project.
        key = str(details["loc"][0]) if details["loc"] else "project"
        match details["type"]:
            case "extra_forbidden":
                known = ", ".join(sorted(TrustedPublisher.model_fields))
                yield f"unknown key {key!r}; the keys are: {known}"
            case "missing":
                yield f"missing key {key!r}"
            case "string_type":
                yield f"{key} must be a string"
            case "bool_type":
                yield f"{key} must be true or false"
            case _:
                value = details["input"] if details["loc"] else details["input"][key]
                yield f"{key} {value!r}: {details['ctx']['error']}"


def _repeated(publishers: Iterable[TrustedPublisher]) -> Iterator[str]:
    """Yield the registrations that the index would refuse as duplicates.

    An active publisher may publish several projects. A pending publisher is for one project.
    """
    registered = Counter(
        (
            publisher.owner,
            publisher.repository,
            publisher.workflow,
            publisher.environment,
            None if publisher.pending else publisher.project,
        )
        for publisher in publishers
    )
    for (owner, repository, workflow, environment, _), count in registered.items():
        if count > 1:
            yield (
                f"{owner}/{repository} with {workflow} and environment {environment or 'any'} "
                f"is registered {count} times"
            )
