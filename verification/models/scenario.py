"""A scenario, which is one way to install and use a package, and an installer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.machine import OperatingSystem

Command = tuple[str, ...]
ProjectFileKind = Literal["hashes", "wheels", "decoys", "old-runtime"]
SYSTEM_FOLDERS = ("/boot", "/etc", "/usr", "/var/lib")
"""Folders on every Linux machine that only root can change. Snapshots leave them out unless root
installs. They hold nine of ten files. tests/faults/test_machine_faults.py checks that the user
cannot change anything there."""


class Installer(Model):
    """One installer, with its commands to install and to uninstall."""

    name: str
    install: Command
    uninstall: Command = ()
    ca_variable: str = ""
    """The variable with the path of the run's CA certificate; empty if the installer reads the
    machine's certificate store."""
    system_option: Command = ()
    """The option to use the machine's Python when no virtual environment is active."""
    deviation: str = ""
    """How its command differs from the literal command."""
    setup: tuple[Command, ...] = ()
    """The commands with which the user installs the installer."""
    trailing: Command = ()
    """The words after the package's name in the command."""
    uninstall_all: Command = ()
    """The complete command that removes the package, if it does not name the package."""
    python: Command = ()
    """The command that starts the interpreter with the package, if the installer creates one."""
    keeps_in_cache: bool = False
    """True if the installer keeps the package in its cache. The removal must clear it."""
    scenarios: tuple[str, ...] = ()
    """The scenarios that support it; empty for all."""

    def environment(self, certificate: str) -> dict[str, str]:
        """Return the variables that make the installer trust the CA certificate in a PEM file."""
        return {self.ca_variable: certificate} if self.ca_variable else {}


class Scenario(Model):
    """One way of installing and using a package on one operating system.

    All paths are paths for the machine's programs. ``scenarios/instructions.py`` replaces the
    placeholders in commands:

    - ``{subject}``: the package under test;
    - ``{version}``: the version under test;
    - ``{previous}``: the version of the newest earlier release;
    - ``{libraries}``: the names of the package's native libraries, without extension modules;
    - ``{older_dependency}``: an older version of a dependency, which the release does not accept;
    - ``{suite}``: the folder with the files of the suite;
    - ``{actions}``: the statement that defines the actions.
    """

    name: str
    system: OperatingSystem
    title: str
    """What it shows, in addition to installation, use and removal."""
    cwd: str
    environment: Mapping[str, str]
    snapshot_roots: tuple[str, ...]
    """The folders that snapshots record."""
    ignored: tuple[str, ...] = ()
    """Folders that snapshots leave out for every user."""
    ignored_keys: tuple[str, ...] = ()
    """Keys of the Windows registry that snapshots leave out."""
    system_python: bool = False
    """True if the package is installed into the machine's Python, without an environment."""
    installers: tuple[str, ...] = ()
    """The installers that support it; empty for all."""
    as_root: tuple[Command, ...] = ()
    """The commands with which root prepares the machine."""
    tmpfs: Mapping[str, str] = Field(default_factory=dict)
    """File systems in memory: mount options by folder."""
    setup: tuple[Command, ...] = ()
    """The commands of the user before the first snapshot. If one fails, the testbed failed."""
    before_install: tuple[Command, ...] = ()
    """The commands of the user between the first snapshot and the installation. The first word
    ``install`` is replaced by the installer's command."""
    requirement: Command = ("{subject}",)
    """The requirement that is installed, with the options of this scenario."""
    deviation: str = ""
    """How the command differs from the literal command."""
    python: Command = ("python",)
    code_before_import: str = ""
    """Code that runs in the interpreter before the package is imported."""
    in_thread: bool = False
    """True if the package is used in a thread that is not the main thread."""
    actions: tuple[str, ...] = ()
    """The uses that are tried after the exercise: functions of ``verification/probe/uses.py`` or of
    the subject. The scenario has no cell for a subject that does not offer them all."""
    additional_actions: tuple[str, ...] = ()
    """The uses that are tried if the subject offers them."""
    after_install: tuple[Command, ...] = ()
    before_uninstall: tuple[Command, ...] = ()
    uninstall: Command = ()
    """The command that removes the package; empty for the installer's command."""
    reinstall: bool = False
    """True if the installation runs a second time, which must not change anything."""
    umask: int = -1
    """The file mode creation mask; -1 for the machine's default."""
    files: tuple[ProjectFileKind, ...] = ()
    """The files in the project's folder before the installation."""
    offline: bool = False
    """True if the installer must not request anything from the index."""
    runs_tests: bool = False
    """True if the package's own tests run after the exercise."""
    keeps_dependencies: bool = False
    """True if installed dependencies that the release accepts can stay."""
    needs_previous: bool = False
    """True if it needs an earlier release on the index."""
    refusal: str = ""
    """The name of the cause with which the installer must refuse; empty if the machine decides."""
    cause: str = "use-not-supported"
    """The name of the cause if the package fails only in this scenario."""
    user: Literal["user", "root"] = "user"
    """The account that runs the commands."""

    @property
    def ignored_paths(self) -> tuple[str, ...]:
        """The folders that snapshots leave out."""
        if self.user == "root" or self.system == "windows":
            return self.ignored
        return (*self.ignored, *SYSTEM_FOLDERS)

    @property
    def needs_libraries(self) -> bool:
        """True if it needs a native library that is no extension module."""
        words = (word for command in self.as_root for word in command)
        return "decoys" in self.files or any("{libraries}" in word for word in words)

    @property
    def needs_older_dependency(self) -> bool:
        """True if it needs an older version of a dependency, which the release does not accept."""
        return any("{older_dependency}" in command for command in self.before_install)

    @property
    def pinned(self) -> bool:
        """True if the requirement has a version, so that no other release can be installed."""
        return any("{version}" in word for word in self.requirement)

    def options(self, installer: Installer) -> Command:
        """Return the options that this installer needs in this scenario."""
        return installer.system_option if self.system_python else ()
