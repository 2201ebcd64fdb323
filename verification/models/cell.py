"""A cell: one machine, one installer and one scenario."""

from __future__ import annotations

from verification.models.base import Model
from verification.models.machine import MachineSpec
from verification.models.scenario import Installer, Scenario
from verification.models.verdict import ExpectationKind


class Cell(Model):
    """One machine, one installer and one scenario. One cell is one test."""

    machine: MachineSpec
    installer: Installer
    scenario: Scenario
    refusal: str
    """The name of the cause with which the installer must refuse; empty if it must install."""

    @property
    def id(self) -> str:
        """The name of the cell in options and in the report."""
        return f"{self.machine.name}-{self.installer.name}-{self.scenario.name}"

    @property
    def has_own_account(self) -> bool:
        """True if the user's commands run with another account than the probe."""
        return self.machine.runs_on == "linux" and self.scenario.user != "root"

    @property
    def runs_tests(self) -> bool:
        """True if the package's own tests run in the cell."""
        return self.scenario.runs_tests

    @property
    def expectation(self) -> ExpectationKind:
        """What the cell must show."""
        return ExpectationKind.REFUSES if self.refusal else ExpectationKind.WORKS
