"""The scenarios: where a user installs and uses the package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.support.installers import Installer


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of installing and using; paths are as the machine's own programs see them."""

    name: str
    cwd: str
    environment: Mapping[str, str]
    roots: tuple[str, ...]
    """Where the file system is looked at."""
    skipped: tuple[str, ...]
    """What in it is the kernel's."""
    system: bool = False
    """Whether the machine's own Python is installed into, with no environment active."""
    skipped_keys: tuple[str, ...] = ()
    """Keys of the Windows registry that are not looked at."""

    def options(self, installer: Installer) -> tuple[str, ...]:
        """Return what this installer must be told here."""
        return installer.system_option if self.system else ()


_VENV = "/home/user/venv"
SCENARIOS = {
    one.name: one
    for one in (
        # Debian marks its own Python as externally managed, so the user's way is a virtual
        # environment, active as ``source venv/bin/activate`` leaves it.
        Scenario(
            "venv",
            cwd="/home/user/project",
            environment={
                "HOME": "/home/user",
                "VIRTUAL_ENV": _VENV,
                "PATH": f"{_VENV}/bin:/usr/local/bin:/usr/bin:/bin",
            },
            roots=("/",),
            skipped=("/proc", "/sys", "/dev", "/run"),
        ),
        # Python as its own installer puts it on Windows: its pip is on PATH and installs into it.
        Scenario(
            "system",
            cwd="C:\\users\\user\\project",
            environment={},
            roots=("C:\\",),
            skipped=(),
            system=True,
            # Thousands of keys, of classes and certificates, take seconds and are the system's; a
            # user who is no administrator cannot change them.
            skipped_keys=(
                "HKLM\\Software\\Classes",
                "HKLM\\Software\\Wow6432Node",
                "HKLM\\Software\\Microsoft\\SystemCertificates",
            ),
        ),
    )
}
