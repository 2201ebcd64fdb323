"""The rows of a package's VERIFICATION.md that are not items of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from verification.models.base import Model, read_toml

_FOLDER = Path(__file__).parent
_NAME = "verification.toml"


class PreviousReport(Model):
    """The verification report before the first one of this suite."""

    verified: str
    status: str
    score: str


class LinkTemplate(Model):
    """A connection that the release needs."""

    source: str
    target: str
    via: str


class RequirementTemplate(Model):
    """A requirement, with the truths and the items that cover it."""

    id: str
    plan: str
    description: str
    truths: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class ItemTemplate(Model):
    """An item of the run, with what its verdict stands for."""

    item: str
    title: str
    test: str
    expected: str


class ReportTemplate(Model):
    """The rows and words of a package's VERIFICATION.md."""

    title: str
    goal: str
    phase: str = ""
    previous: PreviousReport | None = None
    """A report whose items a person had to look at."""
    truths: Mapping[str, str] = {}
    """By their numbers."""
    artifacts: Mapping[str, str] = {}
    """What is expected of a file, by its path."""
    links: tuple[LinkTemplate, ...] = ()
    requirements: tuple[RequirementTemplate, ...] = ()
    items: tuple[ItemTemplate, ...] = ()


def load(subject: str) -> ReportTemplate:
    """Return the template of a package: its ``verification.toml``, or one that fits any package.

    Raises:
        DataError: its file has another form.
    """
    path = _FOLDER / subject / _NAME
    if path.is_file():
        return read_toml(ReportTemplate, path)
    return ReportTemplate(
        title=f"Verification of {subject}",
        goal=f"pip install {subject} works on clean machines",
        items=tuple(
            ItemTemplate(
                item=f"{system.lower()}-install",
                title=f"Clean {system} install",
                test=f"pip install {subject} on a clean {system} machine",
                expected=f"{subject} installs, is imported and works without any setup of the "
                "system",
            )
            for system in ("Windows", "Linux")
        ),
    )
