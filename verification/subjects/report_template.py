"""The texts of VERIFICATION.md: those of the subject, or generic ones."""

from __future__ import annotations

from collections.abc import Iterable

from verification.models.base import read_toml
from verification.models.machine import OperatingSystem
from verification.models.report_template import ItemTemplate, ReportTemplate
from verification.models.subject import Subject


def load(subject: Subject) -> ReportTemplate | None:
    """Return the texts in the subject's ``verification.toml``, or None if it has no such file.

    Raises:
        DataError: the file does not fit the model.
    """
    return read_toml(ReportTemplate, subject.verification) if subject.verification else None


def generic(subject: str, systems: Iterable[OperatingSystem]) -> ReportTemplate:
    """Return texts for a package without its own. ``systems`` have an item for the installation."""
    return ReportTemplate(
        title=f"Verification of {subject}",
        goal=f"pip install {subject} works on clean machines",
        items=tuple(
            ItemTemplate(
                item=f"{system}-install",
                title=f"Clean {system.capitalize()} install",
                test=f"pip install {subject} on a clean {system.capitalize()} machine",
                expected=f"{subject} installs, can be imported and works without any setup of the "
                "system",
            )
            for system in systems
        ),
    )
