"""The projects of the index, and the names that a new one can have.

The checks, their order and the messages are those of the default index, 2026: `check_project_name`
and `create_project` in warehouse/packaging/services.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import stdlib_list
from packaging.utils import canonicalize_name

from .config import UploadPolicy
from .oidc.publishers import PublisherRegistry
from .store import PackageStore


class Projects:
    """The projects that exist: with files or with a publisher, or named in the policy."""

    def __init__(
        self, store: PackageStore, publishers: PublisherRegistry, policy: UploadPolicy
    ) -> None:
        self._store = store
        self._publishers = publishers
        self._policy = policy

    def __contains__(self, name: str) -> bool:
        return canonicalize_name(name) in self.names()

    def names(self) -> set[str]:
        """Return the normalised names of all projects."""
        stored = {str(canonicalize_name(name)) for name in self._store.projects()}
        return stored | self._publishers.projects | self._policy.existing_projects

    def has_publisher(self, name: str) -> bool:
        """Return True if a trusted publisher is registered for a project."""
        return canonicalize_name(name) in self._publishers.projects

    def name_fault(self, name: str) -> str | None:
        """Return why a new project cannot have a name, without the reference to a page; or None."""
        project = canonicalize_name(name)
        if project in _standard_names():
            return (
                f"The name {name!r} isn't allowed (conflict with Python Standard Library module "
                "name)."
            )
        if project in self._policy.prohibited_names:
            return f"The name {name!r} isn't allowed."
        if _similar_form(name) in map(_similar_form, self.names()):
            return f"The name {name!r} is too similar to an existing project."
        return None


def _similar_form(name: str) -> str:
    """Return a form that is equal for names which people confuse."""
    plain = re.sub(r"[._-]", "", name.lower())
    return re.sub("o", "0", re.sub("[li]", "1", plain))


@functools.cache
def _standard_names() -> frozenset[str]:
    """Return the names of the modules of the standard library of each Python 2 and 3."""
    return frozenset(
        canonicalize_name(part.strip("-_."))
        for version in stdlib_list.short_versions
        for module in stdlib_list.stdlib_list(version)
        for part in _parents(module)
    )


def _parents(module: str) -> Iterator[str]:
    """Yield a module and the packages that contain it."""
    parts = module.split(".")
    yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
