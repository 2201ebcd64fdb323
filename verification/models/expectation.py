"""What a cell must show. This depends on the release, the scenario and the machine."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from verification.models.base import Model
from verification.models.verdict import ExpectationKind


class Conditions(Model):
    """The properties of a cell's scenario and installer that the rules need to judge the cell."""

    title: str = ""
    """What the scenario shows, in addition to installation, use and removal."""
    cause: str = ""
    """The name of the cause if the package fails only in this scenario; empty for plain use."""
    failed_command: str = "use-not-supported"
    """The name of the cause if another command of the user fails."""
    uses: tuple[str, ...] = ()
    """The uses that the scenario tries after the exercise."""
    offline: bool = False
    """True if the installer must not request anything from the index."""
    own_tests: bool = False
    """True if the package's own tests run."""
    keeps_dependencies: bool = False
    """True if dependencies that were installed before can stay."""
    keeps_in_cache: bool = False
    """True if the installer keeps the installed package in its cache."""


class Expectation(Model):
    """What a cell must show."""

    kind: ExpectationKind = ExpectationKind.WORKS
    refusal: str = ""
    """The name of the cause with which the installer must refuse; empty if it must install."""
    project: str
    """The normalised name of the project."""
    version: str
    package: str = ""
    """The name that is imported, if it differs from the name of the project."""
    digests: Mapping[str, str] = Field(description="The sha256 of each wheel, by file name.")
    locked: Mapping[str, str] = Field(
        description="The locked version of each dependency, by normalised name."
    )
    unpublished: tuple[str, ...] = ()
    """The dependencies that the release declares and that no index has, by normalised name."""
    libraries: tuple[str, ...]
    """The native libraries of the machine's platform, in loading order."""
    refused_upload: str = ""
    """Who refused the upload of the release, and why; empty if the index accepted every file."""
    conditions: Conditions = Conditions()

    @property
    def module(self) -> str:
        """The name that is imported."""
        return self.package or self.project
