"""What a verdict is based on: the origin, the stand-ins, and what is not covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from verification.models import lock_file
from verification.models.release import Release
from verification.models.report import (
    NOT_COVERED,
    BasisEntry,
    MachineRecord,
    NotRehearsed,
    PipelinePart,
    PublishedPart,
    Report,
)
from verification.models.results import Coverage, PlatformResult, UseEvidence
from verification.models.subject import PlatformTarget
from verification.report import signs
from verification.session.origin import ROOT
from verification.session.selection import DEFAULT_SOURCE

_MISSED_SIGNING = (NotRehearsed.MISSING_PERMISSION, NotRehearsed.NO_UPLOAD)
"""The reasons for which a release that has attestations is not signed in a run."""
_LIMITS = ("memory", "swap", "processes", "cpus", "disk")
_INDEX_LOCK = ROOT / "containers" / "images" / "index" / "requirements.txt"


def basis(report: Report, release: Release | None) -> tuple[BasisEntry, ...]:
    """Return the parts that a verdict is based on, from the other data of the report.

    `release` is None if the set-up failed.
    """
    cell_machines = dict.fromkeys(cell.machine for cell in report.cells)
    machines = [report.machines[name] for name in cell_machines if name in report.machines]
    values = {
        "source" if report.selection.source else "origin": _origin(report),
        "compiler": ", ".join(release.compilers) if release else "",
        "Windows": _windows(report, machines),
        "GitHub": _github(report.pipeline) if report.pipeline else "",
        "linters": _linters(report.pipeline) if report.pipeline else "",
        "published files": _published(report.published) if report.published else "",
        "index": _index() if report.images else "",
        "network": signs.reachable_sentence(report),
        "limits": _limits(report),
        "use": _use(report),
        "probe with the account of the package": _shared_accounts(report),
        "processor": ", ".join(sorted({machine.processor for machine in machines} - {""})),
        NOT_COVERED: ", ".join(dict.fromkeys(_not_covered(report, machines))),
    }
    return tuple(BasisEntry(name=name, value=value) for name, value in values.items() if value)


def _origin(report: Report) -> str:
    selection = report.selection
    release = f"{selection.subject} {report.version}".strip()
    if selection.release:
        return f"the published release {selection.subject} {report.version or selection.release}"
    if selection.wheels:
        wheels = f"the wheels of {release} in {selection.wheels}"
        is_replaced = selection.repository is not None
        return f"{wheels}, in place of the build of {selection.workflow}" if is_replaced else wheels
    if selection.source and Path(selection.source).resolve() == (ROOT / DEFAULT_SOURCE).resolve():
        return f"this repository's own {release}"
    return f"{release} built from {selection.source}"


def _windows(report: Report, machines: list[MachineRecord]) -> str:
    systems = {machine.runs_on for machine in machines if machine.os == "windows"}
    versions = sorted({cell.summary.wine for cell in report.cells if cell.summary} - {""})
    wine = " ".join(["Wine", *versions[:1]]) if "wine" in systems else ""
    real = "a real Windows" if "windows" in systems else ""
    return " and ".join(filter(None, (wine, real)))


def _github(pipeline: PipelinePart) -> str:
    act = pipeline.act.replace(" version", "")
    kinds = {use.uses.partition("@")[0]: use.kind for use in pipeline.actions}
    counts = Counter(kinds.values())
    actions = " and ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    plural = "" if counts.total() == 1 else "s"
    return f"{act or 'act'} with {actions or 'no'} action{plural}"


def _linters(pipeline: PipelinePart) -> str:
    """Return the linters of the workflow with their versions and the ignored findings."""
    return ", ".join(
        f"{linter.name} {linter.version or 'not run'}"
        + (f" (ignored by the repository: {linter.ignored})" if linter.ignored else "")
        for linter in pipeline.linters
    )


def _published(part: PublishedPart) -> str:
    """Return what the published release is compared with, and what is known of its provenance."""
    compared = f"{len(part.files)} files on the index, compared with the report {part.report}"
    if part.live is None:
        return f"{compared}; provenance not checked: no publisher is registered for the package"
    reason = f" ({part.live.reason})" if part.live.reason else ""
    return f"{compared}; provenance {part.live.verdict}{reason}"


def _limits(report: Report) -> str:
    """Return which limits of the machines were in force, and what limits their disk."""
    limits = [limits for limits in report.limits if limits.kind == "machine"]
    if not limits:
        return ""
    missing = sorted({name for of_machine in limits for name in of_machine.missing})
    enforced = [name for name in _LIMITS if name not in missing]
    disk = " and ".join(sorted({of_machine.disk_by for of_machine in limits}))
    text = f"{', '.join(enforced)} (disk by the {disk})"
    return f"{text}; not in force: {', '.join(missing)}" if missing else text


def _index() -> str:
    versions = {release.name: release.version for release in lock_file.read(_INDEX_LOCK)}
    version = versions["pypiserver"]
    return f"pypiserver {version} behind an HTTPS server of this suite"


def _use(report: Report) -> str:
    """Return in how many cells the host judged the use of the package."""
    uses = [cell.summary.use for cell in report.cells if cell.summary and cell.summary.use]
    judged = uses.count(UseEvidence.OUTSIDE)
    if not uses:
        return ""
    if judged in (0, len(uses)):
        return "judged from outside" if judged else "not judged from outside"
    return f"judged from outside in {judged} of {len(uses)} cells"


def _shared_accounts(report: Report) -> str:
    """Return the machines on which the package's processes can change the evidence."""
    names = (
        f"{cell.machine} (root)" if cell.summary.isolation.because == "root" else cell.machine
        for cell in report.cells
        if cell.summary and cell.summary.isolation and not cell.summary.isolation.separate
    )
    return ", ".join(dict.fromkeys(names))


def _not_covered(report: Report, machines: list[MachineRecord]) -> Iterator[str]:
    """Yield each part and each platform of the release that the run does not cover, in words."""
    if report.pipeline and report.pipeline.signing.reason in _MISSED_SIGNING:
        yield "signing (not rehearsed)"
    windows = {machine.runs_on for machine in machines if machine.os == "windows"}
    if windows and "windows" not in windows:
        yield "a real Windows"
    installed = {cell.wheel for cell in report.cells}
    for platform in report.platforms:
        if platform.coverage is not Coverage.MACHINES or _is_musl_only(platform, installed):
            yield signs.platform_title(platform.tag)


def _is_musl_only(platform: PlatformResult, installed: set[str]) -> bool:
    """Return whether no machine installed a wheel for musl. Machines with glibc cannot run it."""
    is_musl = PlatformTarget.of(platform.tag).system == "musl"
    return is_musl and not installed.intersection(platform.wheels)
