"""The installers: what a user types to install and to uninstall."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Installer:
    """One installer. ``deviation`` tells in what its command is not the user's literal one."""

    name: str
    install: tuple[str, ...]
    uninstall: tuple[str, ...]
    own_authorities: bool = False
    system_option: tuple[str, ...] = ()
    """What it is told to use the machine's own Python with, where no environment is active."""
    deviation: str = ""

    def environment(self, authority: str) -> dict[str, str]:
        """Return what it must be told for it to trust the run's own authority, a PEM file."""
        return {"SSL_CERT_FILE": authority} if self.own_authorities else {}


INSTALLERS = {
    one.name: one
    for one in (
        Installer("pip", ("pip", "install"), ("pip", "uninstall", "--yes")),
        Installer(
            "uv",
            ("uv", "pip", "install"),
            ("uv", "pip", "uninstall"),
            own_authorities=True,
            system_option=("--system",),
            deviation="uv trusts the authorities it carries, not the machine's: SSL_CERT_FILE "
            "names the run's own",
        ),
    )
}
