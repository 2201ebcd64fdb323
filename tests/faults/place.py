"""Where the fault of a way of installing is judged: a machine and an installer."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from containers import images, wheelhouse
from containers.engine import Engine
from containers.index import IndexFault
from containers.testbed import Testbed
from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.session import cell as cells
from verification.session import prepare as gate
from verification.session.cell import Planted
from verification.subjects.subject import load as load_subject

System = str
"""linux or windows."""

# Machine and installer.
PIP = ("debian-13", "pip")
UV = ("debian-13", "uv")
WINDOWS = ("windows-wine", "uv")
WINDOWS_PIP = ("windows-wine", "pip")


class Start(Protocol):
    """Starts a testbed with these wheels and these faults of the index."""

    def __call__(
        self,
        wheels: Sequence[Path],
        faults: Sequence[IndexFault] = (),
        *,
        dependencies: Sequence[Path] = (),
        internal: bool = True,
        prove: bool = False,
    ) -> contextlib.AbstractContextManager[Testbed]:
        """Return the testbed as a context manager."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A machine and an installer, to which wheels are given in this way and that."""

    found: Engine
    start: Start
    built: Callable[[System], Path]
    """Gives the good wheel for a system."""
    machine: str = "debian-13"
    installer: str = "pip"

    def at(self, machine: str = "", installer: str = "") -> Place:
        """Return another place; what is left out is as here."""
        return dataclasses.replace(
            self, machine=machine or self.machine, installer=installer or self.installer
        )

    @property
    def system(self) -> System:
        """What the machine's programs are for."""
        return machines.load()[self.machine].os

    @property
    def plain(self) -> str:
        """The ordinary way there."""
        return "system" if self.system == "windows" else "venv"

    @property
    def good(self) -> Path:
        """The good wheel for the machine; none is built that is not asked for."""
        return self.built(self.system)

    def causes(
        self,
        wheel: Path,
        names: Sequence[str],
        *,
        also: Sequence[Path] = (),
        earlier: Sequence[Path] = (),
        beside: Sequence[Path] = (),
        planted: Planted | None = None,
    ) -> dict[str, tuple[Cause, ...]]:
        """Publish the wheel and return the causes in each of the scenarios.

        The release has ``also`` other wheels. ``earlier`` releases are on the index as well, and so
        is what is ``beside`` it.
        """
        spec = machines.load()[self.machine]
        subject = narrowed(spec.os)
        house = wheelhouse.from_files([wheel, *also], load_subject().locks, location="planted")
        house = dataclasses.replace(house, earlier=tuple(earlier))
        seen = {}
        known = {path.name for path in wheelhouse.dependencies(load_subject().locks)}
        more = [path for path in (*earlier, *beside) if path.name not in known]
        with self.start(house.wheel_paths, dependencies=more) as bed:
            for name in names:
                cell = plan.cell(spec, self.installer, name)
                image = images.ensure(self.found, spec.image)
                evidence = cells.run(bed, cell, image, house=house, planted=planted)
                prepared = gate.Prepared(bed, house, {}, {}, ())
                seen[name] = diagnose(evidence, prepared.expected(subject, spec.os, evidence))
        return seen

    def names(self, *given: Any, **options: Any) -> dict[str, set[str]]:
        """Publish the wheel and return the names of the causes in each of the scenarios."""
        seen = self.causes(*given, **options)
        return {name: {cause.name for cause in causes} for name, causes in seen.items()}


def narrowed(system: System) -> Subject:
    """Return the package under test, narrowed to its platform for this operating system."""
    found = load_subject()
    return found.model_copy(update={"platforms": (gate.platform_of(found, system),)})
