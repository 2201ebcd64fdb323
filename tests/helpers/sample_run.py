"""Sample reports, cell results and evidence of a made-up run."""

from __future__ import annotations

from verification.models.cause import Cause
from verification.models.chosen_values import TableRows
from verification.models.evidence import (
    EVIDENCE_SCHEMA,
    CellEvidence,
    CellInfo,
    CommandRun,
    Exercise,
    ExerciseStep,
    ImportRun,
    NativeCallValue,
    OwnTestLeftOut,
    OwnTests,
    OwnTestsEnd,
    RoundTripValue,
    Steps,
    TestOutcome,
)
from verification.models.index_log import IndexRequest
from verification.models.inspection import ReleaseInspection, WheelInspection
from verification.models.pipeline import LivePublisherCheck
from verification.models.report import (
    NOT_COVERED,
    ArtifactClaim,
    BasisEntry,
    Claim,
    EngineRecord,
    FileCoverage,
    FileRecord,
    FileResult,
    JobRecord,
    LinkClaim,
    MachineRecord,
    OutOfScope,
    PipelinePart,
    PublisherPart,
    PublisherScope,
    ReplayInputs,
    Report,
    RunSelection,
    SigningRecord,
)
from verification.models.results import CellResult, ItemResult
from verification.models.run import PlannedCell
from verification.models.testbed import EgressProof, ImageRecord, NetworkObservation
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.report import cell_summary, stand_in_limits
from verification.rules.catalogue import catalogue
from verification.scenarios import machines
from verification.subjects import report_template, subject
from verification.verdict import combined_verdict

LINUX_WHEEL = "quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS_WHEEL = "quiverdb-0.5.0-cp313-cp313-win_amd64.whl"
WHEELS = {LINUX_WHEEL: "a" * 64, WINDOWS_WHEEL: "b" * 64}
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
STARTED = "2026-03-01T10:00:00Z"
ERROR = "ImportError: libquiver_c.so: undefined symbol: quiver_open"
"""What the user sees in a cell that fails."""
BASIS = tuple(
    BasisEntry(name=name, value=value)
    for name, value in (
        ("source", "this repository's own quiverdb 0.5.0"),
        ("compiler", "zig's clang for Linux, MinGW-w64 for Windows (cross-compiled)"),
        ("Windows", "Wine 10.0"),
        ("GitHub", "act 0.2.89 with 10 stand-in actions"),
        ("index", "pypiserver 2.4.2 behind an HTTPS server of this suite"),
        (NOT_COVERED, "a real Windows, Linux ARM64, macOS ARM64"),
    )
)
SOURCE_DISTRIBUTION = "quiverdb-0.5.0.tar.gz"
MACOS_WHEEL = "quiverdb-0.5.0-cp313-cp313-macosx_11_0_arm64.whl"
FILES = (
    FileResult(
        name=MACOS_WHEEL,
        coverage=FileCoverage.INSPECTED,
        checks=("identity", "record"),
        reason="no machine of this project runs macosx_11_0_arm64",
    ),
    *(
        FileResult(
            name=name, coverage=FileCoverage.VERIFIED, machines=(machine,), checks=("record",)
        )
        for name, machine in ((LINUX_WHEEL, "debian-13"), (WINDOWS_WHEEL, "windows-wine"))
    ),
    FileResult(
        name=SOURCE_DISTRIBUTION,
        coverage=FileCoverage.NOT_READ,
        reason="the suite verifies wheels only",
    ),
)
SUBJECT = subject.load()
TEMPLATE = report_template.load(SUBJECT)
_VERDICTS = {
    Outcome.FAILS: Verdict.FAILED,
    Outcome.UNVERIFIED: Verdict.UNVERIFIED,
    Outcome.TESTBED: Verdict.TESTBED,
}


def command(*words: str, stdout: str = "", seconds: float = 0.5) -> CommandRun:
    """Return a command that ended with exit code 0."""
    return CommandRun(
        command=words,
        code=0,
        stdout=stdout,
        stderr="",
        began=0.0,
        seconds=seconds,
        timed_out=False,
        stalled=0.0,
    )


def evidence(cell_id: str = LINUX, *, log: str = "Successfully installed") -> CellEvidence:
    """Return the evidence of a cell that works. ``log`` is the output of the installer."""
    windows = "windows" in cell_id
    machine, installer, scenario = cell_id.rsplit("-", 2)
    pip = "C:\\Python 3\\Scripts\\pip.exe" if windows else "/home/user/venv/bin/pip"
    wheel = WINDOWS_WHEEL if windows else LINUX_WHEEL
    native = NativeCallValue(version="0.5.0", source="bundled")
    rows = RoundTripValue(returned={"Plant": TableRows(columns=("id",), rows=((1,),))})
    steps = {
        "native-call": ExerciseStep[NativeCallValue](step="native-call", ok=True, value=native),
        "round-trip": ExerciseStep[RoundTripValue](step="round-trip", ok=True, value=rows),
    }
    import_command = command("python", "-c", "import quiverdb")
    exercise_command = command("python", "-c", "...")
    return CellEvidence.model_validate(
        {
            "schema": EVIDENCE_SCHEMA,
            "cell": CellInfo(id=cell_id, machine=machine, installer=installer, scenario=scenario),
            "image": ImageRecord(
                tag="quiverdb-e2e/debian-13:0123456789ab", id="sha256:1", created="x"
            ),
            "started": STARTED,
            "wall_seconds": 4.0,
            "os": "windows" if windows else "linux",
            "python": "3.13.5",
            "implementation": "cpython",
            "system": "Linux-6",
            "install": command(pip, "install", "quiverdb", stdout=log, seconds=2.0),
            "import": ImportRun(**dict(import_command), made=()),
            "exercise": Exercise(
                **dict(exercise_command), trace="", steps=Steps.model_validate(steps)
            ),
            "uninstall": command(pip, "uninstall", "--yes", "quiverdb"),
            "requests": (
                IndexRequest(time=STARTED, client="10.0.0.2", file=wheel, sha256=WHEELS[wheel]),
            ),
        }
    )


def own_tests() -> OwnTests:
    """Return the evidence of a run of the package's own tests."""
    return OwnTests(
        tool=command("pip", "install", "pytest"),
        command=("python", "-m", "pytest", "tests"),
        stdout="106 passed",
        seconds=9.0,
        trace="",
        pytest="9.2.0",
        collected=108,
        internal="",
        end=OwnTestsEnd(code=0, file="x", imported=True),
        counts=dict.fromkeys(TestOutcome, 0) | {TestOutcome.PASSED: 106, TestOutcome.SKIPPED: 2},
        begun=106,
        within="",
        failures=(),
        left_out=(
            OwnTestLeftOut(
                node="tests/test_a.py::test_fork",
                outcome=TestOutcome.SKIPPED,
                reason="Windows does not fork",
            ),
        )
        * 2,
        sha256="c" * 64,
    )


def crash(where: str = LINUX) -> Cause:
    """Return a cause that makes a cell fail."""
    return catalogue().cause("crash", f"{where}: import", "was killed by signal 11")


def cell(
    cell_id: str,
    *causes: Cause,
    outcome: Outcome | None = None,
    reason: str = "",
    seconds: float = 4.0,
) -> CellResult:
    """Return the result of a cell.

    Without ``outcome``, the cell works, or fails if there are causes. A cell with a ``reason`` did
    not run.
    """
    machine, installer, scenario = cell_id.rsplit("-", 2)
    if reason:
        outcome, seconds = Outcome.UNVERIFIED, 0.0
    outcome = outcome or (Outcome.FAILS if causes else Outcome.WORKS)
    refuses = outcome in (Outcome.REFUSED, Outcome.FALLS_BACK)
    summary = cell_summary.summarize(evidence(cell_id)) if seconds else None
    if summary and outcome is Outcome.FAILS:
        summary = summary.model_copy(update={"errors": {"import": ERROR}})
    return CellResult(
        id=cell_id,
        machine=machine,
        installer=installer,
        scenario=scenario,
        expectation=ExpectationKind.REFUSES if refuses else ExpectationKind.WORKS,
        outcome=outcome,
        verdict=_VERDICTS.get(outcome, Verdict.VERIFIED),
        causes=causes,
        seconds=seconds,
        reason=reason,
        summary=summary,
    )


def planned(cell_id: str, kind: ExpectationKind = ExpectationKind.WORKS) -> PlannedCell:
    """Return a selected cell."""
    machine, installer, scenario = cell_id.rsplit("-", 2)
    return PlannedCell(
        id=cell_id,
        machine=machine,
        installer=installer,
        scenario=scenario,
        system="windows" if "windows" in cell_id else "linux",
        expectation=kind,
    )


def item(
    item_id: str,
    *causes: Cause,
    title: str = "",
    verdict: Verdict | None = None,
    reason: str = "",
) -> ItemResult:
    """Return an item. Without a verdict, it is verified, or failed if there are causes."""
    verdict = verdict or (Verdict.FAILED if causes else Verdict.VERIFIED)
    return ItemResult(
        id=item_id, title=title or f"The {item_id}", verdict=verdict, causes=causes, reason=reason
    )


def install_item(system: str, *cells: CellResult) -> ItemResult:
    """Return the item of an operating system, with the causes of its cells."""
    matching = [result for result in cells if ("windows" in result.id) == (system == "windows")]
    return item(
        f"{system}-install",
        *(cause for result in matching for cause in result.causes),
        title=f"pip install quiverdb works on a clean {system.capitalize()} machine",
        verdict=combined_verdict(result.verdict for result in matching),
        reason="; ".join(dict.fromkeys(result.reason for result in matching if result.reason)),
    )


def machine_records() -> dict[str, MachineRecord]:
    """Return the machines of machines.toml as records of a report."""
    fields = set(MachineRecord.model_fields)
    return {
        name: MachineRecord.model_validate(spec.model_dump(include=fields))
        for name, spec in machines.load().items()
    }


SELECTION = RunSelection(
    subject="quiverdb",
    source="/src/bindings/python",
    wheels=None,
    release=None,
    machines=(),
    narrowed=(),
    strict=False,
    pipeline=False,
    actions_from=None,
    profile="gate",
    history="all",
    tests=None,
)


def report(*cells: CellResult, items: tuple[ItemResult, ...] | None = None) -> Report:
    """Return the report of a run with these cells. Its verdict follows from its items."""
    cells = cells or (cell(LINUX), cell(WINDOWS))
    if items is None:
        items = (
            item("source-build", title="The source of quiverdb builds into wheels"),
            *(install_item(system, *cells) for system in ("linux", "windows")),
        )
    return Report(
        verdict=combined_verdict(result.verdict for result in items),
        items=items,
        cells=cells,
        started=STARTED,
        seconds=61.2,
        selection=SELECTION.model_copy(
            update={"machines": tuple(sorted({result.machine for result in cells}))}
        ),
        out_of_scope=(
            OutOfScope(id="windows-servercore", reason="only the profile full selects it"),
        ),
        version="0.5.0",
        command="./e2e gate",
        basis=BASIS,
        files=FILES,
        wheels=WHEELS,
        locked={"cffi": "2.1.1", "pip": "26.3"},
        engine=EngineRecord(version="20.10.24", os="linux"),
        inputs=ReplayInputs(
            subject="quiverdb",
            origin="source",
            wheels=tuple(
                FileRecord(name=name, sha256=sha256, size=1_000_000)
                for name, sha256 in WHEELS.items()
            ),
            dependencies=(FileRecord(name="cffi-2.1.1-py3-none-any.whl", sha256="c" * 64, size=1),),
            earlier=(),
            tools=(),
            yanked={},
            suite="0123456789abcdef",
        ),
        static=ReleaseInspection(
            wheels=tuple(inspection(name, sha256) for name, sha256 in WHEELS.items())
        ),
        egress=EgressProof(
            open=NetworkObservation(
                reached=True, resolver="not asked", addresses=("192.0.2.1",), gateway="192.0.2.1"
            ),
            machines=NetworkObservation(reached=False, resolver="closed", gateway="198.51.100.1"),
        ),
        images={
            name: ImageRecord(tag=f"quiverdb-e2e/{name}:0123456789ab", id="sha256:1", created="x")
            for name in ("index", "debian-13-user", "windows-wine")
        },
        machines=machine_records(),
        template=TEMPLATE,
        stand_ins=stand_in_limits.load(),
    )


_VERIFIED = Claim(verdict=Verdict.VERIFIED, evidence="observed")
PIPELINE = PipelinePart(
    truths={str(number): _VERIFIED for number in range(1, 7)},
    artifacts=tuple(
        ArtifactClaim(artifact=path, verdict=Verdict.VERIFIED, evidence="observed")
        for path in (".github/workflows/publish.yml", "bindings/python/pyproject.toml")
    ),
    links=tuple(
        LinkClaim(source=source, target=target, verdict=Verdict.VERIFIED, evidence="observed")
        for source, target in (
            ("publish.yml validate job", "bindings/python/pyproject.toml"),
            ("publish.yml publish job", "PyPI"),
            ("publish.yml release job", "GitHub Releases"),
        )
    ),
    proved=("five jobs ran in their order",),
    not_provable=("that GitHub's runners have free minutes",),
    signing=SigningRecord(rehearsed=True, signed=("quiverdb-1.0.whl",)),
    jobs=(
        JobRecord(id="build", start=0.0, end=40.5, result="success"),
        JobRecord(id="publish", needs=("build",), start=40.5, end=42.0, result="success"),
    ),
)


PUBLISHER = PublisherPart(
    registered="verification/subjects/quiverdb/publishers.toml",
    scope=PublisherScope.REGISTRATION_FILE,
    fields={
        "project": "quiverdb",
        "owner": "octo-org",
        "repository": "quiver2",
        "workflow": "publish.yml",
        "environment": "pypi",
    },
    proved=("the exchange was granted",),
    live=LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason="the index did not answer"),
    not_provable=("the dashboard",),
)


def complete(*cells: CellResult) -> Report:
    """Return a report that also has verified items for the pipeline and the publisher."""
    base = report(*cells)
    items = (*base.items, item("pipeline"), item("publisher"))
    return base.model_copy(
        update={
            "items": items,
            "pipeline": PIPELINE,
            "publisher": PUBLISHER,
        }
    )


def inspection(name: str, sha256: str) -> WheelInspection:
    """Return the inspection of a wheel without a fault."""
    version, tag = name.removesuffix(".whl").split("-", 2)[1:]
    return WheelInspection(
        file=name,
        sha256=sha256,
        size=1_000_000,
        name="quiverdb",
        version=version,
        tags=(tag,),
        platform=tag.rpartition("-")[2],
    )
