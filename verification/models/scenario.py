"""A scenario (one way of installing and using a package), and an installer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.machine import OperatingSystem

Command = tuple[str, ...]
ProjectFileKind = Literal["hashes", "wheels", "decoys", "old-runtime"]
SYSTEM_FOLDERS = ("/boot", "/etc", "/usr", "/var/lib")
"""Folders of root on every Linux machine. No other user can change anything there, so snapshots
leave them out. They hold nine of ten files; tests/faults/test_machine_faults.py checks this."""


class Installer(Model):
    """One installer: what a user types to install and to uninstall."""

    name: str
    install: Command
    uninstall: Command = ()
    ca_variable: str = ""
    """The variable that names the run's CA certificate, where the installer does not read the
    machine's own store."""
    system_option: Command = ()
    """The option that selects the machine's own Python, where no environment is active."""
    deviation: str = ""
    """How its command differs from the literal one."""
    setup: tuple[Command, ...] = ()
    """The commands by which the user gets the installer."""
    trailing: Command = ()
    """What follows the package's name in the command."""
    uninstall_all: Command = ()
    """The whole command that removes the package, where it does not name the package."""
    python: Command = ()
    """How the interpreter with the package is started, where the installer made its own."""
    keeps_in_cache: bool = False
    """True if the package lives in the installer's cache, which must not hold it in the end."""
    scenarios: tuple[str, ...] = ()
    """The scenarios that it makes sense with; empty for all."""

    def environment(self, certificate: str) -> dict[str, str]:
        """Return the variables by which it trusts the run's CA certificate, a PEM file."""
        return {self.ca_variable: certificate} if self.ca_variable else {}


class Scenario(Model):
    """One way of installing and using a package on one operating system.

    Paths are as the machine's own programs see them. Commands have placeholders, which
    ``scenarios/instructions.py`` fills in: ``{subject}`` is the package, ``{version}`` the version
    under test, ``{previous}`` that of the newest earlier release, ``{libraries}`` the names of the
    package's native libraries, ``{older_dependency}`` a dependency as an older environment has it,
    ``{suite}`` the folder of the suite's own files, ``{actions}`` the statement that defines the
    functions of uses.py.
    """

    name: str
    system: OperatingSystem
    title: str
    """What it asserts, beyond that the package installs, works and is removed."""
    cwd: str
    environment: Mapping[str, str]
    snapshot_roots: tuple[str, ...]
    """The folders whose trees are compared before and after."""
    ignored: tuple[str, ...] = ()
    """Folders that snapshots leave out, whoever the user is."""
    ignored_keys: tuple[str, ...] = ()
    """Keys of the Windows registry that snapshots leave out."""
    system_python: bool = False
    """True if the package is installed into the machine's own Python, with no environment."""
    installers: tuple[str, ...] = ()
    """The installers that it makes sense with; empty for all."""
    as_root: tuple[Command, ...] = ()
    """Changes to the machine that the user did not make."""
    tmpfs: Mapping[str, str] = Field(default_factory=dict)
    """File systems in memory: mount options by folder."""
    setup: tuple[Command, ...] = ()
    """What the user has done before the first snapshot. A failure is the testbed's."""
    before_install: tuple[Command, ...] = ()
    """What the user types after the first snapshot, before the installation that is judged. The
    word ``install`` alone at the start stands for the installer's own command."""
    requirement: Command = ("{subject}",)
    """How the package is named, with the options of this scenario."""
    deviation: str = ""
    """How the command differs from the literal one."""
    python: Command = ("python",)
    code_before_import: str = ""
    """Code that runs in the interpreter before the package is imported."""
    actions: tuple[str, ...] = ()
    """What is tried with the package after the exercise: functions of uses.py."""
    package_specific: bool = False
    """True if it needs actions or libraries that only the default subject has."""
    after_install: tuple[Command, ...] = ()
    before_uninstall: tuple[Command, ...] = ()
    uninstall: Command = ()
    """The command that removes the package, where it is not the installer's own."""
    reinstall: bool = False
    """True if the installation is repeated, and must then change nothing."""
    umask: int = -1
    """The file mode creation mask; -1 for the machine's own."""
    files: tuple[ProjectFileKind, ...] = ()
    """What the user has in the project's folder."""
    offline: bool = False
    """True if the installer must not ask the index."""
    runs_tests: bool = False
    """True if the package's own tests run after the exercise."""
    keeps_dependencies: bool = False
    """True if dependencies that were there before may stay where the release accepts them."""
    needs_previous: bool = False
    """True if it needs an earlier release on the index."""
    refusal: str = ""
    """The cause by which the installer must refuse; empty where the machine decides."""
    cause: str = "use-not-supported"
    """The cause where only this way of using fails."""
    user: Literal["user", "root"] = "user"
    """Whose commands these are."""

    @property
    def ignored_paths(self) -> tuple[str, ...]:
        """The folders that snapshots leave out."""
        if self.user == "root" or self.system == "windows":
            return self.ignored
        return (*self.ignored, *SYSTEM_FOLDERS)

    @property
    def pinned(self) -> bool:
        """True if the version is named, so that no other release can be installed."""
        return any("{version}" in word for word in self.requirement)

    def options(self, installer: Installer) -> Command:
        """Return the options that this installer needs here."""
        return installer.system_option if self.system_python else ()
