"""The texts of a package's VERIFICATION.md that do not come from a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import pydantic

from verification.models.base import Model


class PreviousReport(Model):
    """The verification report before the first one of this suite."""

    verified: str
    status: str
    score: str


class LinkTemplate(Model):
    """A connection between two parts of the release pipeline."""

    source: str
    target: str
    via: str


class RequirementTemplate(Model):
    """A requirement, with the numbers of its truths and the ids of its items."""

    id: str
    plan: str
    description: str
    truths: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class ItemTemplate(Model):
    """The description of an item: what is tested, and the expected result."""

    item: str
    title: str
    test: str
    expected: str


class ReportTemplate(Model):
    """The texts of a package's VERIFICATION.md."""

    title: str
    goal: str
    phase: str = ""
    previous: PreviousReport | None = None
    """An earlier report with items that a person had to check."""
    truths: Mapping[str, str] = {}
    """The statements that must be true, by number."""
    artifacts: Mapping[str, str] = {}
    """The expected content of each file, by path."""
    links: tuple[LinkTemplate, ...] = ()
    requirements: tuple[RequirementTemplate, ...] = ()
    items: tuple[ItemTemplate, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_requirements(self) -> Self:
        items = {item.item for item in self.items}
        for requirement in self.requirements:
            if unknown := {*requirement.truths} - {*self.truths} | {*requirement.items} - items:
                names = ", ".join(sorted(unknown))
                raise ValueError(f"requirement {requirement.id}: no truth or item {names}")
        return self
