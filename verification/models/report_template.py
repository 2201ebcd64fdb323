"""The texts of a package's VERIFICATION.md that do not come from a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import pydantic

from verification.models.base import Model


class PreviousReport(Model):
    """The verification report before the first one of this suite."""

    verified: str
    """When it was written, in UTC."""
    status: str
    """Its status."""
    score: str
    """The number of its verified statements."""


class LinkTemplate(Model):
    """A connection between two parts of the release pipeline."""

    source: str
    """The beginning of the connection."""
    target: str
    """The end of the connection."""
    via: str
    """What connects the two."""


class RequirementTemplate(Model):
    """A requirement, with the numbers of its truths and the ids of its items."""

    id: str
    """The id of the requirement."""
    plan: str
    """The plan that has the requirement."""
    description: str
    """The requirement in words."""
    truths: tuple[str, ...] = ()
    """The numbers of the truths that it needs."""
    items: tuple[str, ...] = ()
    """The ids of the items that it needs."""


class ItemTemplate(Model):
    """The description of an item: what is tested, and the expected result."""

    item: str
    """The id of the item, such as linux-install."""
    title: str
    """The heading of the item."""
    test: str
    """What is tested."""
    expected: str
    """The expected result."""


class ReportTemplate(Model):
    """The texts of a package's VERIFICATION.md."""

    title: str
    """The heading of the report."""
    goal: str
    """What the release must reach."""
    phase: str = ""
    """The name of the phase; empty if there is none."""
    previous: PreviousReport | None = None
    """An earlier report with items that a person had to check."""
    truths: Mapping[str, str] = {}
    """The statements that must be true, by number."""
    artifacts: Mapping[str, str] = {}
    """The expected content of each file, by path."""
    links: tuple[LinkTemplate, ...] = ()
    """The connections that the release needs."""
    requirements: tuple[RequirementTemplate, ...] = ()
    """The requirements that truths and items meet."""
    items: tuple[ItemTemplate, ...] = ()
    """The items of the run that have a separate section."""

    @pydantic.model_validator(mode="after")
    def _check_requirements(self) -> Self:
        items = {item.item for item in self.items}
        for requirement in self.requirements:
            if unknown := {*requirement.truths} - {*self.truths} | {*requirement.items} - items:
                names = ", ".join(sorted(unknown))
                raise ValueError(f"requirement {requirement.id}: no truth or item {names}")
        return self
