"""The installers: what a user types to install and to uninstall."""

from __future__ import annotations

import dataclasses
import re

from packaging.version import Version

OLDEST_PIP = "24.1"
"""The first pip whose own code runs on CPython 3.13 (pip's NEWS, 24.1)."""


@dataclasses.dataclass(frozen=True)
class Installer:
    """One installer. ``deviation`` tells in what its command is not the user's literal one."""

    name: str
    install: tuple[str, ...]
    uninstall: tuple[str, ...]
    authority_variable: str = ""
    """What names the run's authority to it, where it does not ask the machine's own store."""
    system_option: tuple[str, ...] = ()
    """What it is told to use the machine's own Python with, where no environment is active."""
    deviation: str = ""
    setup: tuple[tuple[str, ...], ...] = ()
    """What the user types beforehand to have it."""
    then: tuple[str, ...] = ()
    """What follows the package's name in its command."""
    removes: tuple[str, ...] = ()
    """The whole command that takes the package away, where it does not name it."""
    python: tuple[str, ...] = ()
    """How the interpreter with the package is started, where the installer made its own."""
    keeps_in_cache: bool = False
    """Whether its cache is where the package lives, and must be without it in the end."""
    scenarios: tuple[str, ...] = ()
    """The scenarios that it makes sense with; none named means all."""

    def environment(self, authority: str) -> dict[str, str]:
        """Return what it must be told for it to trust the run's own authority, a PEM file."""
        return {self.authority_variable: authority} if self.authority_variable else {}


_UV_ROOTS = (
    "uv trusts the authorities it carries, not the machine's: SSL_CERT_FILE names the run's own"
)
_PIP = (("pip", "install"), ("pip", "uninstall", "--yes"))
_GET_PIP = ("python", "-m", "pip", "install", "--quiet")
INSTALLERS = {
    one.name: one
    for one in (
        # The one that the machine, or the environment made with it, came with.
        Installer("pip", *_PIP),
        Installer(
            "pip-oldest",
            *_PIP,
            authority_variable="PIP_CERT",
            deviation="pip before 24.2 trusts the authorities it carries, not the machine's: "
            "PIP_CERT names the run's own",
            setup=((*_GET_PIP, f"pip=={OLDEST_PIP}"),),
        ),
        Installer("pip-newest", *_PIP, setup=((*_GET_PIP, "--upgrade", "pip"),)),
        Installer(
            "uv",
            ("uv", "pip", "install"),
            ("uv", "pip", "uninstall"),
            authority_variable="SSL_CERT_FILE",
            system_option=("--system",),
            deviation=_UV_ROOTS,
        ),
        # The package has no command of its own, so who works with tools has it beside one that has:
        # `uv tool install` refuses it alone. pip stands for such a tool (ipython, say), for it is
        # on the run's index.
        Installer(
            "uv-tool",
            ("uv", "tool", "install", "--quiet", "pip", "--with"),
            (),
            authority_variable="SSL_CERT_FILE",
            deviation=f"{_UV_ROOTS}; uv tool install, beside a tool",
            removes=("uv", "tool", "uninstall", "pip"),
            python=("/home/user/.local/share/uv/tools/pip/bin/python",),
            scenarios=("managed",),
        ),
        # No installation: each command finds the environment of the one before in uv's cache.
        Installer(
            "uv-run",
            ("uv", "run", "--with"),
            (),
            authority_variable="SSL_CERT_FILE",
            deviation=f"{_UV_ROOTS}; uv run --with",
            then=("python", "-c", "pass"),
            removes=("uv", "cache", "clean"),
            python=("uv", "run", "--quiet", "--with", "{subject}", "python"),
            keeps_in_cache=True,
            scenarios=("managed",),
        ),
    )
}
_CERTAIN = re.compile(r"pip-(\d+(?:\.\d+)*)")
_ASKS_THE_SYSTEM = Version("24.2")
"""The first pip that asks the machine's own store of authorities (pip's NEWS, 24.2)."""


def named(name: str) -> Installer:
    """Return the installer of this name; ``pip-24.3`` is pip of that version, had from the index.

    Raises:
        KeyError: there is none.
    """
    if name in INSTALLERS or not (found := _CERTAIN.fullmatch(name)):
        return INSTALLERS[name]
    version = found[1]
    setup = ((*_GET_PIP, f"pip=={version}"),)
    if Version(version) >= _ASKS_THE_SYSTEM:
        return Installer(name, *_PIP, setup=setup)
    return dataclasses.replace(INSTALLERS["pip-oldest"], name=name, setup=setup)
