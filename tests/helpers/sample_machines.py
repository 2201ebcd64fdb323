"""Sample entries of machines.toml (`MachineSpec`) for unit tests. No container is started."""

from __future__ import annotations

from typing import Literal

from verification.models.machine import MachineSpec


def sample_machine(
    name: str = "debian",
    *,
    system: Literal["linux", "windows"] = "linux",
    additional_software: tuple[str, ...] = (),
    scenarios: tuple[str, ...] = ("venv",),
) -> MachineSpec:
    """Return the `MachineSpec` of a machine with this name. A Windows machine runs on Wine."""
    return MachineSpec(
        name=name,
        title=name,
        os=system,
        runs_on="wine" if system == "windows" else "linux",
        image=name,
        python="3.13",
        glibc="2.41" if system == "linux" else "",
        installers=("pip", "uv"),
        scenarios=scenarios,
        additional_software=additional_software,
        profiles=("gate",),
    )
