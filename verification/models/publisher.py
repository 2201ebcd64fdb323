"""The registration of a trusted publisher on a package index.

The checks are those of the default index's registration form for GitHub, as of 2026.
"""

from __future__ import annotations

import re
import sys
from typing import Self

import pydantic
from packaging.utils import canonicalize_name

from verification.models.base import Model

_PROJECT = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE | re.ASCII)
_OWNER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")
_REPOSITORY = re.compile(r"[a-zA-Z0-9-_.]+")
_OWNER_ID = re.compile(r"[0-9]+")
_NOT_IN_ENVIRONMENT = re.compile(r"[\x00-\x1f\x7f'\"`,;\\]")
_NOT_IN_WORKFLOW = re.compile(r"[\x00-\x1f\x7f/]")
_MAX_LENGTH = 255


class TrustedPublisher(Model):
    """A registration, which allows a workflow to publish a project."""

    model_config = pydantic.ConfigDict(strict=True)

    project: str
    """The normalised name, as the index stores it."""
    owner: str
    owner_id: str
    repository: str
    workflow: str
    environment: str = ""
    """In lower case, as the index stores it; empty for any or none."""
    pending: bool
    """True if the project does not exist on the index yet."""
    stand_in_owner: bool = False
    """True if the real owner is unknown. Name and number are then values of the testbed."""

    @property
    def slug(self) -> str:
        """The repository as GitHub writes it, OWNER/NAME."""
        return f"{self.owner}/{self.repository}"

    def form(self) -> dict[str, str]:
        """Return the registration as the configuration of the index has it (`index/config.py`)."""
        values = self.model_dump(exclude={"pending", "stand_in_owner"})
        return {key: value for key, value in values.items() if value}

    @pydantic.field_validator(
        "project", "owner", "owner_id", "repository", "workflow", "environment"
    )
    @classmethod
    def _check(cls, value: str, info: pydantic.ValidationInfo) -> str:
        if reason := _refusal(info.field_name or "", value):
            raise ValueError(reason)
        return value

    @pydantic.field_validator("environment")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @pydantic.model_validator(mode="after")
    def _check_pending(self) -> Self:
        if self.pending and _is_standard(self.project):
            raise ValueError(
                "the index does not accept the name of a module of Python's standard library"
            )
        return self

    @pydantic.field_validator("project")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return canonicalize_name(value)


def _is_standard(project: str) -> bool:
    return project in {canonicalize_name(name) for name in sys.stdlib_module_names}


def _refusal(key: str, value: str) -> str | None:
    """Return why the registration form refuses a value, or None."""
    if len(value) > _MAX_LENGTH:
        return f"must not be longer than {_MAX_LENGTH} characters"
    match key:
        case "project" if not _PROJECT.fullmatch(value):
            return (
                "must contain only letters, digits, dots, dashes and underscores, and start and "
                "end with a letter or digit"
            )
        case "owner" if not _OWNER.fullmatch(value):
            return "must be a user or organisation of GitHub: only letters, digits and dashes"
        case "owner_id" if not _OWNER_ID.fullmatch(value):
            return "must be a number in quotes"
        case "repository" if not _REPOSITORY.fullmatch(value):
            return (
                "must be the name without the owner, and contain only letters, digits, dots, "
                "dashes and underscores"
            )
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
        return "must be a file name that ends with .yml or .yaml"
    if _NOT_IN_WORKFLOW.search(value):
        return "must be the name of the file without folders"
    return None


def _environment_refusal(value: str) -> str | None:
    if value != value.strip(" "):
        return "must not start or end with a space"
    if _NOT_IN_ENVIRONMENT.search(value):
        return "must not contain control characters or any of ' \" ` , ; \\"
    return None
