"""What a cell must show: the release, and the consequences of its scenario and its machine."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from verification.models.base import Model
from verification.models.verdict import ExpectationKind


class Conditions(Model):
    """What the scenario and the installer of a cell imply for its judgement."""

    title: str = ""
    """What the scenario asserts beyond that the package installs, works and is removed."""
    cause: str = ""
    """The name of the cause where only this way of using fails; empty for the ordinary way."""
    failed_command: str = "use-not-supported"
    """The name of the cause where another command of the user fails."""
    uses: tuple[str, ...] = ()
    """What is tried with the package after the exercise."""
    offline: bool = False
    """Whether the installer must not ask the index."""
    own_tests: bool = False
    """Whether the package's own tests run."""
    keeps_dependencies: bool = False
    """Whether dependencies that were there before may stay."""
    keeps_in_cache: bool = False
    """Whether the installer keeps what it installs in its cache."""


class Expectation(Model):
    """What a cell must show."""

    kind: ExpectationKind = ExpectationKind.WORKS
    refusal: str = ""
    """The cause by which the installer must refuse; empty where the release must work."""
    project: str
    """The normalised name of the project."""
    version: str
    package: str = ""
    """The name that is imported, where it is not the project's."""
    digests: Mapping[str, str] = Field(description="The sha256 of each wheel, by file name.")
    locked: Mapping[str, str] = Field(description="Version by normalised project name.")
    unpublished: tuple[str, ...] = ()
    """The dependencies that the release declares and that no index has, by normalised name."""
    libraries: tuple[str, ...]
    """The native libraries of the machine's platform, in loading order."""
    refused_upload: str = ""
    """Who refused the upload of the release and why; empty if the index took every file."""
    conditions: Conditions = Conditions()

    @property
    def module(self) -> str:
        """The name that is imported."""
        return self.package or self.project
