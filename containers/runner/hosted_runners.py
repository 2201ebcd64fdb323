"""The GitHub-hosted runners, by their labels.

The labels are from GitHub's documentation ("GitHub-hosted runners reference"), as of 2026. Every
runner is the same container here; its label decides for which system and processor it builds.
"""

from __future__ import annotations

import re
from typing import Literal

from packaging.utils import parse_wheel_filename

from verification.models.base import Model
from verification.models.subject import PlatformTarget

RunnerSystem = Literal["linux", "windows", "macos"]

_LABEL = re.compile(
    r"(?P<system>ubuntu|windows|macos)-"
    r"(?P<version>latest|slim|\d\d(?:\.04)?|20\d\d)"
    r"(?P<kind>-arm|-large|-xlarge|-intel)?"
)
_SYSTEMS: dict[str, RunnerSystem] = {"ubuntu": "linux", "windows": "windows", "macos": "macos"}
_LAST_INTEL_MACOS = 13
"""The last version of macOS whose plain label is a machine with an Intel processor."""


class HostedRunner(Model):
    """A GitHub-hosted runner."""

    label: str
    system: RunnerSystem
    cpu: Literal["x86_64", "aarch64"]

    @property
    def is_native(self) -> bool:
        """True if the builder of the suite can build wheels for it."""
        return self.system != "macos" and self.cpu == "x86_64"


def hosted_runner(label: str) -> HostedRunner | None:
    """Return the runner of a label, or None if GitHub hosts no runner with this label."""
    match = _LABEL.fullmatch(label.lower())
    if match is None:
        return None
    system, version, kind = _SYSTEMS[match["system"]], match["version"], match["kind"] or ""
    is_arm = kind in ("-arm", "-xlarge")
    if system == "macos" and not kind:
        is_arm = not version.isdigit() or int(version) > _LAST_INTEL_MACOS
    return HostedRunner(label=label, system=system, cpu="aarch64" if is_arm else "x86_64")


def builds_on(wheel: str, runner: HostedRunner, others: tuple[HostedRunner, ...]) -> bool:
    """Return True if a runner builds a wheel. ``others`` are all runners of the workflow.

    A wheel belongs to the runners with its system and processor. If the workflow has none with the
    processor, it belongs to all runners with the system, which compile for another processor. A
    wheel for every platform belongs to each runner.
    """
    targets = [PlatformTarget.of(tag.platform) for tag in parse_wheel_filename(wheel)[3]]
    systems = {"linux" if target.system == "musl" else target.system for target in targets}
    if "any" in systems:
        return True
    if runner.system not in systems:
        return False
    cpus = {target.machine for target in targets}
    if "universal2" in cpus:
        cpus |= {"x86_64", "aarch64"}
    has_native = any(other.system == runner.system and other.cpu in cpus for other in others)
    return runner.cpu in cpus or not has_native
