"""The trusted publishers as they are registered: `publishers.toml`, by the rules of the form.

The rules are those of the default index's registration form for GitHub, as of 2026.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from verification.models.errors import WrongUse
from verification.subjects.subject import DEFAULT_SUBJECT

PUBLISHERS = DEFAULT_SUBJECT.with_name("publishers.toml")
_PROJECT = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE | re.ASCII)
_OWNER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")
_REPOSITORY = re.compile(r"[a-zA-Z0-9-_.]+")
_OWNER_ID = re.compile(r"[0-9]+")
_NOT_IN_ENVIRONMENT = re.compile(r"[\x00-\x1f\x7f'\"`,;\\]")
_NOT_IN_WORKFLOW = re.compile(r"[\x00-\x1f\x7f/]")
_LONGEST = 255
_OPTIONAL = {"environment": "", "stand_in_owner": False}


@dataclasses.dataclass(frozen=True)
class Publisher:
    """A registration: this workflow may publish this project."""

    project: str
    """As the index normalises it."""
    owner: str
    owner_id: str
    repository: str
    workflow: str
    environment: str
    """In lower case, as the index keeps it; empty for any or none."""
    pending: bool
    stand_in_owner: bool = False
    """The owner is not known: its name and number are the testbed's own."""

    @property
    def slug(self) -> str:
        """Owner and name of the repository, as GitHub joins them."""
        return f"{self.owner}/{self.repository}"

    def form(self) -> dict[str, str]:
        """Return what the index is told; see ``images/index/config.py``."""
        told = {
            "project": self.project,
            "owner": self.owner,
            "owner_id": self.owner_id,
            "repository": self.repository,
            "workflow": self.workflow,
            "environment": self.environment,
        }
        return {key: value for key, value in told.items() if value}


def load(path: Path = PUBLISHERS) -> tuple[Publisher, ...]:
    """Read the registrations.

    Raises:
        WrongUse: the file cannot be read; or the form would refuse it, with all faults.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path}: {' '.join(str(error).split())}") from None
    faults = [f"unknown key {key!r}; write [[publisher]]" for key in data if key != "publisher"]
    tables = data.get("publisher", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        tables = []
        faults.append("publisher must be tables; write [[publisher]]")
    elif not tables and not faults:
        faults.append("no publisher; write one [[publisher]] for each registration")
    found = []
    for number, table in enumerate(tables, 1):
        wrong = _faults(table)
        faults += [f"publisher {number}: {fault}" for fault in wrong]
        if not wrong:
            found.append(_publisher(table))
    faults += _repeated(found)
    if faults:
        raise WrongUse(f"{path.name}: {'; '.join(faults)}")
    return tuple(found)


def _publisher(table: dict[str, Any]) -> Publisher:
    values: dict[str, Any] = {**_OPTIONAL, **table}
    values["project"] = canonicalize_name(values["project"])
    values["environment"] = values["environment"].lower()
    return Publisher(**values)


def _faults(table: dict[str, Any]) -> list[str]:
    """Return all that is wrong with one registration."""
    fields = {field.name: field.type for field in dataclasses.fields(Publisher)}
    known = ", ".join(sorted(fields))
    faults = [
        f"unknown key {key!r}; there are: {known}" for key in sorted(set(table) - set(fields))
    ]
    for key, kind in fields.items():
        if key not in table:
            if key not in _OPTIONAL:
                faults.append(f"missing key {key!r}")
        elif not isinstance(table[key], bool if kind == "bool" else str):
            faults.append(f"{key} must be {'true or false' if kind == 'bool' else 'a string'}")
        elif kind == "str" and (reason := _refusal(key, table[key])):
            faults.append(f"{key} {table[key]!r}: {reason}")
    if not faults and table["pending"] and _is_standard(table["project"]):
        faults.append(
            f"project {table['project']!r}: the name of a module of Python's standard library, "
            "which the index gives to nobody"
        )
    return faults


def _is_standard(project: str) -> bool:
    return canonicalize_name(project) in {
        canonicalize_name(name) for name in sys.stdlib_module_names
    }


def _refusal(key: str, value: str) -> str | None:
    """Return why the form refuses a value, or None."""
    if len(value) > _LONGEST:
        return f"longer than {_LONGEST} characters"
    match key:
        case "project" if not _PROJECT.fullmatch(value):
            return "letters, digits, dots, dashes and underscores, a letter or digit at both ends"
        case "owner" if not _OWNER.fullmatch(value):
            return "a user or organisation of GitHub has letters, digits and dashes"
        case "owner_id" if not _OWNER_ID.fullmatch(value):
            return "a number in quotes"
        case "repository" if not _REPOSITORY.fullmatch(value):
            return "letters, digits, dots, dashes and underscores, without the owner"
        case "workflow":
            return _workflow_refusal(value)
        case "environment":
            return _environment_refusal(value)
        case _:
            return None


def _workflow_refusal(value: str) -> str | None:
    if not value.removesuffix(".yml").removesuffix(".yaml") or not value.endswith(
        (".yml", ".yaml")
    ):
        return "it must end with .yml or .yaml"
    if _NOT_IN_WORKFLOW.search(value):
        return "the file's name only, without folders"
    return None


def _environment_refusal(value: str) -> str | None:
    if value != value.strip(" "):
        return "it must not start or end with a space"
    if _NOT_IN_ENVIRONMENT.search(value):
        return "it must not contain control characters nor ' \" ` , ; \\"
    return None


def _repeated(publishers: list[Publisher]) -> list[str]:
    """Return the registrations that the index would refuse as being there already.

    A publisher in force may publish several projects; a pending one stands for one.
    """
    seen = Counter(
        (
            publisher.owner,
            publisher.repository,
            publisher.workflow,
            publisher.environment,
            None if publisher.pending else publisher.project,
        )
        for publisher in publishers
    )
    return [
        f"{owner}/{repository} with {workflow} and environment {environment or 'any'} "
        f"is registered {count} times"
        for (owner, repository, workflow, environment, _), count in seen.items()
        if count > 1
    ]
