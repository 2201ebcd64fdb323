"""A clean machine, as machines.toml describes it, and the location of files on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import pydantic
from pydantic import Field

from verification.models.base import Model

OperatingSystem = Literal["linux", "windows"]
RunsOn = Literal["linux", "wine", "windows"]
Refusal = Literal["unsupported-python", "unsupported-platform"]
"""The names of the causes with which an installer must refuse a release on some machines."""


# The package can see these names. They do not say what the suite does.
_FOLDER = "/opt/app"
DATA_FOLDER = "data"
"""The folder in the suite's folder for what the processes of the user write."""
PROBE, PLAN, PLUGIN = "service.py", "plan.json", "event_log"
"""The script of the probe, its instructions, and the plugin for the package's own tests."""
SCRIPTS: Mapping[str, str] = {
    "probe.py": PROBE,
    "exercise.py": "main.py",
    "uses.py": "actions.py",
    "written.py": "files.py",
    "process_state.py": "state.py",
}
"""The files of ``verification/probe/``, with their names on the machine."""
SMOKE_TEST, OWN_ACTIONS = "calls.py", "own_actions.py"
"""The files of the subject on the machine."""


class Layout(Model):
    """The location of files, as paths for the engine and for the machine's programs."""

    folder: str
    """The folder with the files of the suite, as a path for the engine. Root owns them."""
    separator: str
    user_folder: str
    """The same folder, as a path for the machine's programs."""
    python: tuple[str, ...]
    """The command that starts the machine's Python, before the user installs anything."""
    home: str
    """The current folder of the machine's commands, as a path for the engine."""
    users: Mapping[str, str]
    """The name of each account on the machine, by the keys `user` and `root`."""
    idle: tuple[str, ...]
    """The command that the machine runs between other commands."""
    drive: str = ""
    """The folder of drive C, as a path for the engine."""

    def as_engine(self, path: str) -> str:
        """Return a path of the machine's programs as a path for the engine."""
        if not path.startswith("C:\\"):
            return path
        return self.drive + path.removeprefix("C:").replace("\\", "/")

    def path(self, name: str) -> str:
        """Return the path of a file in the suite's folder for the machine's programs."""
        return f"{self.user_folder}{self.separator}{name}"

    @property
    def data(self) -> str:
        """The folder in the suite's folder that the user can write, as a path for the engine."""
        return f"{self.folder}/{DATA_FOLDER}"


_POSIX = Layout(
    folder=_FOLDER,
    separator="/",
    user_folder=_FOLDER,
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
            "user_folder": "Z:" + _FOLDER.replace("/", "\\"),
            "python": ("wine", "python.exe"),
            "drive": "/home/user/.wine/drive_c",
        }
    ),
    "windows": Layout(
        folder=f"C:{_FOLDER}",
        separator="\\",
        user_folder="C:" + _FOLDER.replace("/", "\\"),
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
    """The system that runs its programs."""
    image: str
    """The recipe of its image."""
    python: str = Field(pattern=r"^3\.\d+t?$")
    """The version of its CPython, with ``t`` if it is free-threaded."""
    glibc: str = Field(default="", pattern=r"^(2\.\d+)?$")
    musl: str = Field(default="", pattern=r"^(1\.\d+)?$")
    """The version of its C library. Linux machines have either `glibc` or `musl`."""
    installers: tuple[str, ...]
    scenarios: tuple[str, ...]
    additional_software: tuple[str, ...]
    """What it has in addition to a clean machine."""
    missing_software: tuple[str, ...] = ()
    """What its platform tags promise and it does not have."""
    processor: str = ""
    """The emulated processor of its Python; empty if it runs on the host's processor."""
    profiles: tuple[str, ...]

    @pydantic.model_validator(mode="after")
    def _check_libc(self) -> Self:
        if bool(self.glibc) + bool(self.musl) != (self.os == "linux"):
            raise ValueError("a Linux machine has either glibc or musl, a Windows machine neither")
        return self

    @property
    def python_version(self) -> tuple[int, int]:
        """The version of its CPython."""
        major, minor = self.python_minor.split(".")
        return int(major), int(minor)

    @property
    def python_minor(self) -> str:
        """The version of its CPython without a mark for free threading, such as 3.13."""
        return self.python.removesuffix("t")

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
        """The location of files on the machine."""
        return LAYOUTS[self.runs_on]

    @property
    def clean(self) -> bool:
        """True if `additional_software` is empty; `missing_software` does not matter."""
        return not self.additional_software
