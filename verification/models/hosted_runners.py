"""The GitHub-hosted runners, by their labels.

The labels are from GitHub's documentation ("GitHub-hosted runners reference"), as of 2026. Every
runner is the same container here. Its label decides for which system and processor it builds, and
the values of `runner.os` and `runner.arch`.
"""

from __future__ import annotations

import re
from typing import Literal

from packaging.utils import parse_wheel_filename

from verification.models.base import Model
from verification.models.subject import PlatformTarget

RunnerSystem = Literal["linux", "windows", "macos"]

_SYSTEMS: dict[str, RunnerSystem] = {"ubuntu": "linux", "windows": "windows", "macos": "macos"}
_ARM_KINDS = ("-arm", "-xlarge")
_INTEL_KINDS = ("-large", "-intel")
_INTEL_MACOS = ("macos-11", "macos-12", "macos-13")
"""The versions of macOS whose plain label is a machine with an Intel processor."""
_LABEL = re.compile(
    rf"(?P<system>{'|'.join(_SYSTEMS)})-"
    r"(?:latest|slim|\d\d(?:\.04)?|20\d\d)"
    rf"(?P<kind>{'|'.join((*_ARM_KINDS, *_INTEL_KINDS))})?"
)
_OS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}
_ARCH = {"x86_64": "X64", "aarch64": "ARM64"}


class HostedRunner(Model):
    """A GitHub-hosted runner."""

    label: str
    system: RunnerSystem
    cpu: Literal["x86_64", "aarch64"]

    @property
    def is_native(self) -> bool:
        """True if the builder of the suite can build wheels for it."""
        return self.system != "macos" and self.cpu == "x86_64"

    @property
    def context(self) -> dict[str, str]:
        """The values of `runner.os` and `runner.arch`, by `os` and `arch`."""
        return {"os": _OS[self.system], "arch": _ARCH[self.cpu]}


def hosted_runner(label: str) -> HostedRunner | None:
    """Return the runner of a label, or None if GitHub hosts no runner with this label."""
    plain = label.lower()
    match = _LABEL.fullmatch(plain)
    if match is None:
        return None
    system, kind = _SYSTEMS[match["system"]], match["kind"]
    is_arm = kind in _ARM_KINDS or (system == "macos" and not kind and plain not in _INTEL_MACOS)
    return HostedRunner(label=label, system=system, cpu="aarch64" if is_arm else "x86_64")


def context_expressions(label: str) -> dict[str, str]:
    """Return the expressions of `runner.os` and `runner.arch` for a label of a hosted runner.

    ``label`` is an expression too, written without `${{ }}`. Its value is the label or a list with
    only the label. The results are in parentheses.
    """
    text = f"join({label})"
    windows, macos = (f"startsWith({text}, '{name}')" for name in ("windows", "macos"))
    arm = " || ".join(f"endsWith({text}, '{kind}')" for kind in _ARM_KINDS)
    intel = " || ".join(
        (
            *(f"endsWith({text}, '{kind}')" for kind in _INTEL_KINDS),
            *(f"{text} == '{name}'" for name in _INTEL_MACOS),
        )
    )
    return {
        "os": f"({windows} && 'Windows' || {macos} && 'macOS' || 'Linux')",
        "arch": f"(({arm} || {macos} && !({intel})) && 'ARM64' || 'X64')",
    }


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
