"""A clean machine as machines.toml describes it, and the location of files on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import pydantic
from pydantic import Field

from verification.models.base import Model

OperatingSystem = Literal["linux", "windows"]
RunsOn = Literal["linux", "wine", "windows"]
Refusal = Literal["unsupported-python", "unsupported-platform"]
"""The causes by which an installer on a machine may have to refuse a release."""


class Layout(Model):
    """Where files are on a machine, for the engine and for the machine's own programs."""

    folder: str
    """The folder of the suite's own files, as the engine sees it. No file of the user is there."""
    separator: str
    user_folder: str
    """The same folder, as the machine's own programs see it."""
    python: tuple[str, ...]
    """The command of the Python that is there before the user installs anything."""
    home: str
    """The folder that the machine's commands start in, as the engine sees it."""
    users: Mapping[str, str]
    """The machine's own name of each account: the user's and the administrator's."""
    idle: tuple[str, ...]
    """The command that the machine runs between other commands."""
    drive: str = ""
    """The folder of drive C, as the engine sees it."""

    def as_engine(self, path: str) -> str:
        """Return a path of the machine's own programs as the engine sees it."""
        if not path.startswith("C:\\"):
            return path
        return self.drive + path.removeprefix("C:").replace("\\", "/")

    def path(self, name: str) -> str:
        """Return a file of the suite's folder as the machine's own programs see it."""
        return f"{self.user_folder}{self.separator}{name}"


_POSIX = Layout(
    folder="/e2e",
    separator="/",
    user_folder="/e2e",
    python=("python3",),
    home="/home/user",
    users={"user": "user", "root": "root"},
    idle=("sleep", "infinity"),
)
LAYOUTS: Mapping[RunsOn, Layout] = {
    "linux": _POSIX,
    # Wine shows the Linux root as drive Z (winecfg(1)).
    "wine": _POSIX.model_copy(
        update={
            "separator": "\\",
            "user_folder": "Z:\\e2e",
            "python": ("wine", "python.exe"),
            "drive": "/home/user/.wine/drive_c",
        }
    ),
    "windows": Layout(
        folder="C:/e2e",
        separator="\\",
        user_folder="C:\\e2e",
        python=("python.exe",),
        home="C:\\",
        users={"user": "ContainerUser", "root": "ContainerAdministrator"},
        idle=("ping", "-t", "localhost"),
        drive="C:",
    ),
}


class MachineSpec(Model):
    """One machine of machines.toml."""

    name: str
    title: str
    os: OperatingSystem
    runs_on: RunsOn
    """What starts its programs."""
    image: str
    """The recipe of its image."""
    python: str = Field(pattern=r"^3\.\d+t?$")
    """The version of its CPython, with ``t`` where it is free-threaded."""
    glibc: str = Field(default="", pattern=r"^(2\.\d+)?$")
    musl: str = Field(default="", pattern=r"^(1\.\d+)?$")
    """The version of its C library. A machine of Linux has one of the two, one of Windows none."""
    installers: tuple[str, ...]
    scenarios: tuple[str, ...]
    has: tuple[str, ...]
    """What it has and a clean machine does not have."""
    lacks: tuple[str, ...] = ()
    """What the platform's tags promise and this machine does not have."""
    processor: str = ""
    """The emulated processor that its Python runs on; empty where it is the host's own."""
    profiles: tuple[str, ...]

    @pydantic.model_validator(mode="after")
    def _check_libc(self) -> Self:
        if bool(self.glibc) + bool(self.musl) != (self.os == "linux"):
            raise ValueError("a machine of Linux has glibc or musl, one of Windows has neither")
        return self

    @property
    def python_version(self) -> tuple[int, int]:
        """The version of its CPython."""
        major, minor = self.python.removesuffix("t").split(".")
        return int(major), int(minor)

    @property
    def free_threaded(self) -> bool:
        """True if its CPython is free-threaded."""
        return self.python.endswith("t")

    @property
    def libc_version(self) -> tuple[int, int]:
        """The version of its C library; (0, 0) on Windows."""
        major, _, minor = (self.glibc or self.musl or "0.0").partition(".")
        return int(major), int(minor)

    @property
    def layout(self) -> Layout:
        """Where files are on it."""
        return LAYOUTS[self.runs_on]

    @property
    def clean(self) -> bool:
        """True if it has only what a clean machine has."""
        return not self.has
