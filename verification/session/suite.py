"""One process's view of a run: what was asked for, and what was prepared for it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.expression import Expression

from verification import verdict
from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.subject import Subject
from verification.pipeline.result import Piped
from verification.report import folder as folders
from verification.report import results
from verification.scenarios.cells import cells
from verification.session import prepare as gate
from verification.session import selection as selections
from verification.session.user_files import user_path
from verification.subjects.subject import load as load_subject
from verification.verdict import CellResult, Verdict

KEY = "quiverdb_e2e"
"""Under what name the controlling process hands something to its workers."""


class Suite:
    """One process's view of a run. ``prepared`` is None until the testbed stands."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.subject: Subject = _subject(config.getoption("subject"))
        self.report = _folder(config.getoption("report")) or config.rootpath / "report"
        self.selection = selections.select(
            root=config.rootpath,
            source=_folder(config.getoption("source")),
            wheels=_folder(config.getoption("wheels")),
            release=config.getoption("release"),
            profile=config.getoption("profile"),
            history=config.getoption("history"),
            tests=_folder(config.getoption("tests")),
            names=config.getoption("machine"),
            keyword=config.getoption("keyword"),
            left_out=config.getoption("deselect") or (),
            strict=config.getoption("strict_verdict"),
            provision=not config.getoption("no_provision"),
            pipeline=not config.getoption("no_pipeline"),
            actions_from=_folder(config.getoption("actions_from")),
            subject=self.subject.name if config.getoption("subject") else "",
        )
        if config.getoption("tests") and not any(cell.runs_tests for cell in self.cells):
            told = "no cell of this profile and these machines runs the package's own tests"
            raise WrongUse(f"--tests: {told}; leave it out or choose others")
        _check_keyword(config.getoption("keyword"))
        folders.check(self.report)
        self.prepared: gate.Prepared | None = None
        self._static: ReleaseInspection | None = None

    @property
    def cells(self) -> list[Cell]:
        """The cells of the selected machines."""
        found = cells(self.selection.machines, self.selection.profile)
        return [cell for cell in found if self.selection.tests or not cell.runs_tests]

    @property
    def left_out(self) -> list[Cell]:
        """The cells that would run the package's own tests, where there are none to run."""
        found = cells(self.selection.machines, self.selection.profile)
        return [cell for cell in found if cell.runs_tests and not self.selection.tests]

    def missing(self, cell: Cell) -> str:
        """Return why this cell cannot run in this run; empty if it can."""
        prepared = self.prepared
        if prepared is None:
            return ""
        if reason := prepared.unavailable.get(cell.machine.name):
            return reason
        if self.selection.subject and cell.scenario.package_specific:
            return "the scenario uses the package in a way of quiverdb's own"
        if prepared.no_history and cell.machine.refuses and not cell.scenario.pinned:
            return f"what it falls back to was not seen: {prepared.no_history}"
        if not cell.scenario.needs_previous or prepared.wheelhouse.previous:
            return ""
        why = prepared.no_history or f"--history {self.selection.history}"
        return f"there is no earlier release on the index ({why})"

    @property
    def piped(self) -> Piped | None:
        """What the release workflow showed, if it ran to an end."""
        told = self.prepared.pipeline if self.prepared else None
        return gate.piped(told) if told and "evidence" in told else None

    @property
    def no_pipeline(self) -> str:
        """Return why there is nothing of the release workflow to judge."""
        if not self.selection.pipeline:
            return f"out of scope: {self.selection.no_pipeline}"
        told = self.prepared.pipeline if self.prepared else None
        failed = (told or {}).get("testbed", {"name": "the release workflow was not run"})
        return f"unverified: {failed['name']}"

    @property
    def static(self) -> ReleaseInspection:
        """What the static layer says of the wheels for the selected machines."""
        assert self.prepared is not None
        if self._static is None:
            self._static = gate.static(self.prepared, self.subject, self.selection.systems)
        return self._static

    def keep(self, cell: Cell, evidence: dict[str, Any], causes: tuple[Cause, ...]) -> CellResult:
        """Write down the evidence and the verdict of a cell that ran; return the verdict."""
        assert self.prepared is not None
        judged = verdict.judge(causes, strict=self.selection.strict)
        result = CellResult(
            cell.id,
            cell.machine.name,
            cell.installer.name,
            cell.scenario.name,
            judged,
            causes,
            evidence["wall_seconds"],
            wheel=self.prepared.given(evidence),
        )
        results.write_json(self.report / "evidence" / f"{cell.id}.json", evidence)
        results.write_json(self.report / "cells" / f"{cell.id}.json", cell_to_dict(result))
        return result


def cell_to_dict(cell: CellResult) -> dict[str, Any]:
    """Return the result of a cell as JSON-able data."""
    causes = [cause.model_dump(mode="json") for cause in cell.causes]
    return vars(cell) | {"verdict": str(cell.verdict), "causes": causes}


def cell_from_dict(values: dict[str, Any]) -> CellResult:
    """Return the cell that ``cell_to_dict`` wrote."""
    causes = tuple(Cause.model_validate(cause) for cause in values["causes"])
    return CellResult(**values | {"verdict": Verdict(values["verdict"]), "causes": causes})


def required(report: Path) -> set[str]:
    """Return the cells that the processes of a run were asked for; none before they know."""
    found: set[str] = set()
    for path in (report / "required").glob("*.json"):
        found |= set(json.loads(path.read_text("utf-8")))
    return found


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one cell showed: its evidence, the causes in it and the verdict on it."""

    evidence: dict[str, Any]
    causes: tuple[Cause, ...]
    result: CellResult


def _folder(option: str | None) -> Path | None:
    """Return the folder of an option; a relative one counts from where the user typed it."""
    if option is None:
        return None
    if not option:
        raise WrongUse("an option for a folder is empty; name the folder or leave the option out")
    return user_path(option)


def _subject(option: str | None) -> Subject:
    """Return the package under test.

    Raises:
        WrongUse: its description cannot be used.
    """
    path = _folder(option)
    try:
        return load_subject(path) if path else load_subject()
    except DataError as error:
        raise WrongUse(f"--subject: {error}") from None


def _check_keyword(told: str) -> None:
    """Find out now whether -k can be read: the workers would find out after all set-up.

    Raises:
        WrongUse: it cannot.
    """
    try:
        Expression.compile(told) if told else None
    except SyntaxError as error:
        raise WrongUse(f"-k {told}: {error.msg}") from None
