"""Steps that failed because the network of the jobs has no registry of packages.

On GitHub, such a step reaches the registry. Its failure here says nothing about the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from verification.models.pipeline import JobRun, ReplacedStep, StepRun

_INSTALLS = re.compile(
    r"\b(?:pip3?|uv|uvx|pipx|npm|npx|yarn|pnpm|cargo|rustup|go|gem|brew|choco|conda|mamba|vcpkg|"
    r"apt-get|apt|apk|dnf|yum|curl|wget|git|docker|poetry|pdm|hatch|nox|tox)\b"
)
"""The programs that fetch something from another network."""
_NO_NETWORK = re.compile(
    r"name resolution|could not resolve|couldn't resolve|failed to resolve|dns error|"
    r"EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH|network is unreachable|no route to host|"
    r"no such host|"
    r"could not find a version that satisfies|no matching distribution found|"
    r"no solution found when resolving|was not found in the package registry|"
    r"failed to establish a new connection|failed to fetch|unable to locate package",
    re.IGNORECASE,
)
"""What these programs print if they reach no server, or a server without the package."""


def network_limits(jobs: Iterable[JobRun]) -> Iterator[str]:
    """Yield a line for each step that failed because it needs another network."""
    for job in jobs:
        step = job.failed_step
        if step and (line := _failure(step)):
            yield (
                f"{job.id}: the step {step.name!r} needs another network, and the jobs have only "
                f"the index and the forge: {line}"
            )


def _failure(step: StepRun) -> str:
    """Return the line of the log with the failure, or an empty string."""
    if step.uses or not any(_INSTALLS.search(line) for line in (step.name, *step.log)):
        return ""
    lines = (line for line in step.log if _NO_NETWORK.search(line))
    return next((" ".join(line.split())[:200] for line in lines), "")


def replacement_limits(replaced: Iterable[ReplacedStep]) -> Iterator[str]:
    """Yield the line of the report about the steps that existing files replaced."""
    lines = ", ".join(f"{step.where} ({step.command})" for step in replaced)
    if lines:
        yield f"existing files replace the build of these steps, which did not run: {lines}"
