"""Published wheels of others: the suite says what is true of each, and nothing else.

``public_wheels.toml`` has the wheels by hash, and what is true of them. The tests fetch the wheels
from the configured package index. If it does not have one, the test fails.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from _pytest.mark.structures import ParameterSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from containers import images, wheelhouse
from containers.state import state_folder
from tests.faults.commands import gate, read_report
from tests.faults.recording import (
    SOURCES,
    EvidenceSource,
    Observations,
    ObservedCell,
)
from verification.models.base import Model, load_toml, validate
from verification.models.cause import Cause, Severity
from verification.models.evidence import read_evidence
from verification.models.subject import Subject
from verification.models.testbed import IndexHosts
from verification.models.verdict import Outcome
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.session import dependencies, lock
from verification.session.prepare import expectation
from verification.subjects.generate import generate
from verification.subjects.subject import load as load_subject
from verification.wheel.archive import open_wheel
from verification.wheel.modules import Distribution
from verification.wheel.release_inspection import inspect_release

TABLE = Path(__file__).with_name("public_wheels.toml")


class PublicCell(Model):
    """A run on a machine, and what it must show."""

    machine: str
    installer: str
    scenario: str
    outcome: Outcome
    causes: tuple[str, ...]
    """The names of the causes, without notes."""
    recorded: bool = True
    """False if only the machines can judge it, because its evidence is not recorded."""

    @property
    def id(self) -> str:
        """Machine, installer and scenario."""
        return f"{self.machine}-{self.installer}-{self.scenario}"


class PublicCase(Model):
    """Wheels of one release, and what is true of them; see the first lines of the table."""

    name: str
    truth: str
    version: str
    wheels: Mapping[str, str]
    large: bool = False
    inspection: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    provides: Mapping[str, tuple[str, ...]] = {}
    cell: tuple[PublicCell, ...] = ()

    @property
    def project(self) -> str:
        """The name of the project."""
        return parse_wheel_filename(next(iter(self.wheels)))[0]


class _Table(Model):
    case: tuple[PublicCase, ...]


class Described(NamedTuple):
    """The files of a case, and the description that is made from them."""

    wheels: Sequence[Path]
    description: Path
    subject: Subject


CASES = {case.name: case for case in validate(_Table, load_toml(TABLE), TABLE.name).case}


def _inspected() -> Iterator[ParameterSet]:
    """Yield the cases with native code. The large ones are marked `long`."""
    for case in CASES.values():
        if case.inspection is not None:
            marks = (pytest.mark.long,) if case.large else ()
            yield pytest.param(case, id=case.name, marks=marks)


def _cells() -> Iterator[ParameterSet]:
    """Yield each cell with the recorded evidence, and with the machines (marked `long`)."""
    recorded, on_machines = SOURCES
    for case in CASES.values():
        for cell in case.cell:
            name = f"{case.name}-{cell.id}"
            if cell.recorded:
                yield pytest.param(case, cell, recorded, id=f"{recorded}-{name}")
            yield pytest.param(
                case, cell, on_machines, id=f"{on_machines}-{name}", marks=pytest.mark.long
            )


def describe(case: PublicCase, folder: Path) -> Described:
    """Fetch the wheels of a case by hash, and describe them. Fail if the index lacks one."""
    (folder / "wheels").mkdir()
    wheels = [_fetch(case, name, digest, folder) for name, digest in case.wheels.items()]
    generated = generate(map(open_wheel, wheels), platforms=case.platforms)
    modules = f"\nfor _names in PACKAGES.values():\n    _names += {list(case.modules)!r}\n"
    generated = generated.model_copy(update={"smoke_test": generated.smoke_test + modules})
    description = generated.write(folder / "subject")
    return Described(wheels, description, load_subject(description))


def _fetch(case: PublicCase, name: str, digest: str, folder: Path) -> Path:
    requirement = folder / f"{case.name}.txt"
    requirement.write_text(f"{case.project}=={case.version} --hash=sha256:{digest}\n", "utf-8")
    tags = sorted(tag.platform for tag in parse_wheel_filename(name)[3])
    target = state_folder() / "downloads" / "public-wheels" / case.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetched = images.download_wheels(requirement, target, python="3.13", platforms=tags)
    except Exception as error:  # noqa: BLE001  (after any error the case did not run)
        pytest.fail(f"not run: {name} cannot be fetched from the package index: {error}")
    return Path(shutil.copy2(fetched / name, folder / "wheels" / name))


# ---- the inspection ----


@pytest.mark.parametrize("case", [*_inspected()])
def test_inspection_finds_what_is_true_of_the_wheels(case: PublicCase, tmp_path: Path) -> None:
    described = describe(case, tmp_path)
    distributions = {
        canonicalize_name(name): Distribution(frozenset(modules))
        for name, modules in case.provides.items()
    }
    causes = list(inspect_release(described.wheels, described.subject, distributions).all_causes)
    assert _names(causes) == set(case.inspection or ()), causes
    assert set(case.notes) <= {cause.name for cause in causes}


def _names(causes: Sequence[Cause]) -> set[str]:
    """Return the names of the causes that count, without those that only follow from another."""
    return {
        cause.name for cause in causes if cause.severity is not Severity.NOTE and not cause.follows
    }


# ---- the machines ----


@pytest.mark.parametrize(
    ("case", "cell", "evidence_source"), [*_cells()], indirect=["evidence_source"]
)
def test_machine_shows_what_is_true_of_the_wheel(
    case: PublicCase, cell: PublicCell, evidence_source: EvidenceSource, tmp_path: Path
) -> None:
    def run_cells() -> Observations:
        described = describe(case, tmp_path)
        release = wheelhouse.from_files(described.wheels, location="public")
        lock.write_next_to(described.description, release)
        subject = load_subject(described.description)
        options = [
            f"--subject={described.description}",
            f"--wheels={tmp_path / 'wheels'}",
            "--history=none",
        ]
        options += ["--profile=full", f"--machine={cell.machine}", "-k", cell.id]
        finished = gate(tmp_path / "report", *options)
        results = {result.id: result for result in read_report(tmp_path / "report").cells}
        assert cell.id in results, finished.output
        result = results[cell.id]
        evidence = read_evidence(tmp_path / "report" / "evidence" / f"{result.evidence}.json")
        planned = plan.cell(machines.load()[cell.machine], subject, cell.installer, cell.scenario)
        served = release.with_dependencies(*dependencies.files(subject, [planned.machine]))
        expected = expectation(subject, planned, served, result.wheel)
        cells = {cell.id: ObservedCell(evidence, expected)}
        return Observations(cells, _default_hosts())

    diagnosis = diagnose(*evidence_source.observe([cell.id], run_cells)[cell.id])
    assert (diagnosis.outcome, _names(diagnosis.causes)) == (cell.outcome, set(cell.causes))


def _default_hosts() -> IndexHosts:
    """Return the host names in the defaults of pip and twine. A recording does not have them."""
    pip = importlib.import_module("pip._internal.models.index").PyPI
    upload = importlib.import_module("twine.utils").DEFAULT_REPOSITORY
    hosts = [urlsplit(url).hostname or "" for url in (pip.url, upload)]
    return IndexHosts(index=hosts[0], files=pip.file_storage_domain, upload=hosts[1])


# ---- the table ----


def test_every_case_says_where_its_truth_comes_from() -> None:
    assert [case.name for case in CASES.values() if not case.truth] == []
    digests = [digest for case in CASES.values() for digest in case.wheels.values()]
    assert all(len(digest) == 64 for digest in digests)
