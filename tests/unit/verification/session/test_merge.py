"""Merging the reports of shards, without an engine."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from containers import engine_client
from tests.faults.recording import FOLDER as RECORDED
from tests.faults.recording import ObservedCell, Recording
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL, crash, evidence
from tests.helpers.sample_run import cell as sample_cell
from tests.helpers.sample_testbed import INPUTS, prepared_run, release, run_setup
from tests.helpers.sample_wheels import SUBJECT
from verification.commands import merge as merge_command
from verification.commands import parser
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.release import file_sha256
from verification.models.report import Report
from verification.models.results import CellResult
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.models.verdict import Outcome, Verdict
from verification.report import results_json
from verification.session import gate_run, replay_inputs
from verification.session import merge as merging
from verification.session.gate_run import SHARD, GateRequest, GateRun
from verification.session.merge import merge
from verification.session.prepare import PreparedRun, RunSetup
from verification.session.recorder import RESULT, TestPhaseReport, as_property
from verification.session.selection import Options, select
from verification.session.session import EVIDENCE, Session

Run = Callable[..., Path]
NO_ENGINE = TestbedFailure("engine-unreachable", "engine", "no answer")
RECORDINGS = {
    "debian-13-pip-venv": "test_assumptions/test_assumption_about_linux_is_reported-bytecode",
    "debian-13-uv-venv": "test_hostile_wheels/test_hostile_wheel_has_exactly_its_causes-uv-command",
    "windows-wine-pip-system": (
        "test_scenarios/test_unreadable_data_of_an_earlier_release_are_reported-windows-wine-pip"
    ),
    "windows-wine-uv-system": (
        "test_assumptions/test_assumption_about_windows_is_reported-code-page"
    ),
}
"""A recording of each cell of the profile gate on two machines: two failures, a flaw, a success."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a gate without an engine, and returns its report's folder."""
    setups: list[RunSetup | TestbedFailure] = []

    def prepare(_selection: object, _subject: object, _stack: contextlib.ExitStack) -> RunSetup:
        setup = setups.pop()
        if isinstance(setup, TestbedFailure):
            raise setup
        return setup

    monkeypatch.setattr(gate_run, "prepare", prepare)
    # Other tests of this process can have counted retries.
    monkeypatch.setattr(engine_client.PROCESS_RETRIES, "value", 0)
    monkeypatch.setattr(replay_inputs, "keep", lambda _release, _subject, _seed: INPUTS)

    def start(
        name: str,
        shard: str | None = None,
        causes: Mapping[str, Cause] | None = None,
        *,
        setup: RunSetup | TestbedFailure | None = None,
        run_cell: Callable[[GateRun, Cell], CellResult] | None = None,
        **options: object,
    ) -> Path:
        setups.append(setup or run_setup())
        folder = tmp_path / name
        values = {"release": "0.5.0", "profile": "gate", "shard": shard} | options
        selection = select(Options.model_validate(values), Path.cwd(), SUBJECT.platforms)
        gate = GateRun(GateRequest(selection, SUBJECT, folder))
        gate.begin()
        gate.set_up()
        if gate.setup:
            gate.recorder.select({cell.id: cell.id for cell in gate.request.cells})
            for cell in gate.request.cells:
                cell_causes = [causes[cell.id]] if causes and cell.id in causes else []
                result = run_cell(gate, cell) if run_cell else _result(folder, cell, cell_causes)
                phase = {RESULT: as_property(result)}
                gate.recorder.add(
                    TestPhaseReport(node=cell.id, phase="call", outcome="passed", properties=phase)
                )
        gate.write(interrupted=False)
        gate.close()
        return folder

    return start


def _result(folder: Path, cell: Cell, causes: Sequence[Cause]) -> CellResult:
    """Return a made-up result of a cell, and write its evidence."""
    digest = results_json.write_by_content(folder / EVIDENCE, evidence(cell.id).to_json())
    names = {
        "machine": cell.machine.name,
        "installer": cell.installer.name,
        "scenario": cell.scenario.name,
    }
    return sample_cell(cell.id, *causes).model_copy(update={**names, "evidence": digest})


def shards(run: Run, total: int = 3, **options: object) -> list[Path]:
    """Return the folders of the reports of all shards of a run."""
    return [
        run(f"shard-{number}", f"{number}/{total}", **options) for number in range(1, total + 1)
    ]


def comparable(report: Report) -> dict[str, object]:
    """Return a report without its times and its command."""
    return report.model_dump(mode="json", exclude={"started", "seconds", "command", "changes"})


# ---- the merged report ----


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("is_good", [True, False], ids=["good", "failing"])
def test_merged_report_is_that_of_one_run(run: Run, total: int, *, is_good: bool) -> None:
    failing = "windows-wine-uv-system"
    causes = {} if is_good else {failing: crash(failing)}
    whole = results_json.read(run("whole", None, causes) / results_json.NAME)
    merged, parts = merge(shards(run, total, causes=causes))
    assert comparable(merged) == comparable(whole)
    assert merged.verdict is (Verdict.VERIFIED if is_good else Verdict.FAILED)
    assert sum(len(part.report.cells) for part in parts) == len(whole.cells)
    assert all(part.report.cells for part in parts)


def test_order_of_the_reports_does_not_matter(run: Run) -> None:
    folders = shards(run)
    assert comparable(merge(folders)[0]) == comparable(merge(folders[::-1])[0])


def test_sets_have_no_order(run: Run) -> None:
    # Another process writes the names of libraries in another order.
    folders = shards(run, 2)
    for folder, names in zip(folders, (["a.so", "b.so"], ["b.so", "a.so"]), strict=True):
        record = json.loads((folder / SHARD).read_text("utf-8"))
        for system in record["run"]["systems"]:
            for wheel in system["wheels"]:
                wheel["libraries"] = names
        (folder / SHARD).write_text(json.dumps(record), "utf-8")
    assert merge(folders)[0].verdict is Verdict.VERIFIED


def test_shard_whose_testbed_failed_makes_the_run_a_testbed_failure(run: Run) -> None:
    folders = [run("a", "1/2"), run("b", "2/2", setup=NO_ENGINE)]
    merged, (first, second) = merge(folders)
    assert merged.verdict is Verdict.TESTBED
    assert first.report.verdict is Verdict.VERIFIED
    done = {cell.id for cell in first.report.cells}
    others = {cell.id for cell in merged.cells if cell.verdict is not Verdict.VERIFIED}
    assert others == {cell.id for cell in merged.cells} - done
    assert others
    assert second.report.cells


def test_verdict_is_never_better_than_that_of_a_shard(run: Run) -> None:
    failing = "debian-13-pip-venv"
    folders = shards(run, causes={failing: crash(failing)})
    verdicts = [results_json.read(folder / results_json.NAME).verdict for folder in folders]
    assert sorted(verdicts) == sorted([Verdict.FAILED, Verdict.VERIFIED, Verdict.VERIFIED])
    assert merge(folders)[0].verdict is Verdict.FAILED


# ---- refused reports ----


def test_missing_shard_is_refused(run: Run) -> None:
    with pytest.raises(WrongUse, match=r"^merge: .*2/3"):
        merge([*shards(run)[:1], *shards(run)[2:]])


def test_double_shard_is_refused(run: Run) -> None:
    first, *others = shards(run)
    with pytest.raises(WrongUse, match="both shard 1/3"):
        merge([first, first, *others])


def test_shards_of_other_divisions_are_refused(run: Run) -> None:
    with pytest.raises(WrongUse, match="another run"):
        merge([run("a", "1/2"), run("b", "2/3")])


@pytest.mark.parametrize("options", [{"strict": True}, {"history": "none"}, {"profile": "full"}])
def test_shard_with_other_options_is_refused(run: Run, options: dict[str, object]) -> None:
    with pytest.raises(WrongUse, match="different options"):
        merge([run("a", "1/2"), run("b", "2/2", **options)])


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("suite_commit", "other", "suite"),
        ("wheels", {"quiverdb-0.5.0-cp313-cp313-win_amd64.whl": "0" * 64}, "wheels"),
        ("images", {}, ""),
    ],
)
def test_shard_of_another_suite_release_or_image_is_refused(
    run: Run, key: str, value: object, name: str
) -> None:
    first, second = run("a", "1/2"), run("b", "2/2")
    report = results_json.read(second / results_json.NAME)
    if key == "images":
        (image, record), *_ = report.images.items()
        value = {image: record.model_copy(update={"id": "sha256:other", "packages": ""})}
    _rewrite(second, report.model_copy(update={key: value}))
    with pytest.raises(WrongUse, match=f"different {name or 'images'}"):
        merge([first, second])


PACKAGES = ("apt=3.0.3", "libssl3t64=3.5.1")


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (PACKAGES, ""),
        (("apt=3.0.3", "libssl3t64=3.5.4"), r"\(libssl3t64 3\.5\.1, 3\.5\.4\)"),
        (PACKAGES[:1], r"\(libssl3t64 3\.5\.1, -\)"),
        (tuple(f"package-{number}=1" for number in range(9)), "6 more"),
        ((), "sha256:other"),
    ],
    ids=["equal", "another version", "missing package", "many", "no list"],
)
def test_other_build_of_an_image_needs_the_same_packages(
    run: Run, packages: tuple[str, ...], message: str
) -> None:
    folders = [run("a", "1/2"), run("b", "2/2")]
    for folder, image_id, built in zip(
        folders, ("sha256:one", "sha256:other"), (PACKAGES, packages), strict=True
    ):
        report = results_json.read(folder / results_json.NAME)
        (name, record), *_ = report.images.items()
        image = Image(name=name, tag=record.tag, id=image_id, created="x", packages=built)
        shard = json.loads((folder / SHARD).read_text("utf-8"))
        (folder / SHARD).write_text(json.dumps(shard | {"packages": {name: built}}), "utf-8")
        images = {**report.images, name: image.record()}
        _rewrite(folder, report.model_copy(update={"images": images}))
    if message:
        with pytest.raises(WrongUse, match=rf"different images {name} .*{message}"):
            merge(folders)
    else:
        assert merge(folders)[0].verdict is Verdict.VERIFIED


def test_other_recipe_is_refused_although_the_packages_are_equal(run: Run) -> None:
    folders = [run("a", "1/2"), run("b", "2/2")]
    for folder, tag in zip(folders, ("one", "other"), strict=True):
        report = results_json.read(folder / results_json.NAME)
        (name, _), *_ = report.images.items()
        image = Image(name=name, tag=tag, id="sha256:1", created="x", packages=PACKAGES)
        images = {**report.images, name: image.record()}
        _rewrite(folder, report.model_copy(update={"images": images}))
    with pytest.raises(WrongUse, match=rf"different images {name} \(one .*, other "):
        merge(folders)


def test_shard_records_the_packages_of_its_images(run: Run) -> None:
    record = json.loads((run("a", "1/2") / SHARD).read_text("utf-8"))
    assert all(packages == ["apt=3.0.3"] for packages in record["packages"].values())
    assert record["packages"]


def _rewrite(folder: Path, report: Report) -> None:
    """Write another report of a shard, with the hash that belongs to it."""
    path = folder / results_json.NAME
    results_json.write(path, report)
    record = json.loads((folder / SHARD).read_text("utf-8"))
    record["results"] = file_sha256(path)
    (folder / SHARD).write_text(json.dumps(record), "utf-8")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_report_with_an_edited_verdict_is_refused(run: Run) -> None:
    failing = "debian-13-pip-venv"
    folders = shards(run, 1, causes={failing: crash(failing)})
    _edit(folders[0] / results_json.NAME, '"verdict": "failed"', '"verdict": "verified"')
    with pytest.raises(WrongUse, match="changed"):
        merge(folders)


def test_report_that_disagrees_with_its_results_is_refused(run: Run) -> None:
    failing = "debian-13-pip-venv"
    folders = shards(run, 1, causes={failing: crash(failing)})
    report = results_json.read(folders[0] / results_json.NAME)
    cells = tuple(
        c.model_copy(update={"causes": (), "verdict": Verdict.VERIFIED}) for c in report.cells
    )
    _rewrite(folders[0], report.model_copy(update={"verdict": Verdict.VERIFIED, "cells": cells}))
    with pytest.raises(WrongUse, match="changed"):
        merge(folders)


@pytest.mark.parametrize("change", ["edited", "missing"])
def test_changed_evidence_is_refused(run: Run, change: str) -> None:
    folders = shards(run, 1)
    path = sorted((folders[0] / EVIDENCE).glob("*.json"))[0]
    if change == "edited":
        path.write_text(path.read_text("utf-8") + " ", "utf-8")
    else:
        path.unlink()
    with pytest.raises(WrongUse, match="evidence"):
        merge(folders)


def test_cell_in_two_shards_is_refused(run: Run) -> None:
    folders = shards(run, 2)
    records = [json.loads((folder / SHARD).read_text("utf-8")) for folder in folders]
    whole = run("whole")
    report = results_json.read(whole / results_json.NAME)
    shared = records[0]["run"]["planned"][0]
    records[1]["run"]["planned"].append(shared)
    records[1]["run"]["cells"].append(records[0]["run"]["cells"][0])
    (folders[1] / SHARD).write_text(json.dumps(records[1]), "utf-8")
    cells = [cell for cell in report.cells if cell.id == shared["id"]]
    second = results_json.read(folders[1] / results_json.NAME)
    _rewrite(folders[1], second.model_copy(update={"cells": (*second.cells, *cells)}))
    with pytest.raises(WrongUse, match=r"changed|both ran the cell"):
        merge(folders)


@pytest.mark.parametrize("content", ["none", "not a shard", "unfinished"])
def test_other_folder_is_refused(run: Run, tmp_path: Path, content: str) -> None:
    folder = tmp_path / "other"
    if content == "not a shard":
        folder = run("whole")
    if content == "unfinished":
        folder = run("a", "1/1")
        report = results_json.read(folder / results_json.NAME)
        results_json.write(
            folder / results_json.NAME, report.model_copy(update={"finished": False})
        )
    with pytest.raises(WrongUse, match=r"^merge: "):
        merge([folder])


# ---- recorded evidence ----


class RecordedRun(PreparedRun):
    """A prepared run whose cells have the expectation of their recording."""

    def expectation(self, _subject: Subject, cell: Cell, _evidence: CellEvidence) -> Expectation:
        """Return the expectation of the recording."""
        return _recorded(cell.id).expectation


@functools.cache
def _recorded(cell_id: str) -> ObservedCell:
    recording = Recording(RECORDED / f"{RECORDINGS[cell_id]}.json.gz")
    return next(cell for cell in recording.cells() if cell.evidence.cell.id == cell_id)


@pytest.fixture
def recorded_run(run: Run) -> Run:
    """Return a function that runs a gate whose cells have recorded evidence."""

    def judge_recording(gate: GateRun, cell: Cell) -> CellResult:
        assert gate.setup
        prepared = RecordedRun.model_validate(dict(gate.setup.prepared))
        session = Session(prepared, SUBJECT, gate.request.report)
        return session.judge(cell, _recorded(cell.id).evidence)

    def start(name: str, shard: str | None = None, **options: object) -> Path:
        machines = ("debian-13", "windows-wine")
        return run(name, shard, run_cell=judge_recording, machines=machines, **options)

    return start


def test_merge_of_recorded_evidence_is_the_report_of_one_run(recorded_run: Run) -> None:
    whole = results_json.read(recorded_run("whole") / results_json.NAME)
    merged, _ = merge(shards(recorded_run, 2))
    assert comparable(merged) == comparable(whole)
    assert {cell.id for cell in merged.cells} == set(RECORDINGS)
    outcomes = sorted(cell.outcome for cell in merged.cells)
    assert outcomes == [Outcome.FAILS, Outcome.FAILS, Outcome.WORKS, Outcome.WORKS_FLAWED]
    assert merged.verdict is Verdict.FAILED


def _edit_evidence(folder: Path) -> None:
    path = min((folder / EVIDENCE).glob("*.json"))
    _edit(path, '"code":0', '"code":1')


def _edit_verdict(folder: Path) -> None:
    _edit(folder / results_json.NAME, '"verdict": "failed"', '"verdict": "verified"')


def _edit_record(folder: Path) -> None:
    _edit(folder / SHARD, '"outcome": "fails"', '"outcome": "works"')


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_edit_evidence, "the evidence of .* changed"),
        (_edit_verdict, "its report was changed"),
        (_edit_record, "its report was changed"),
    ],
)
def test_edited_shard_with_recorded_evidence_is_refused(
    recorded_run: Run, change: Callable[[Path], None], reason: str
) -> None:
    folders = shards(recorded_run, 2)
    assert merge(folders)[0].verdict is Verdict.FAILED
    change(folders[1])
    with pytest.raises(WrongUse, match=rf"^merge: {re.escape(str(folders[1]))}: {reason}"):
        merge(folders)


def test_other_set_of_shards_with_recorded_evidence_is_refused(recorded_run: Run) -> None:
    first, second = shards(recorded_run, 2)
    wheels = release(LINUX_WHEEL, WINDOWS_WHEEL)
    changed = wheels.wheels[0].model_copy(update={"sha256": "c" * 64})
    other = wheels.model_copy(update={"wheels": (changed, *wheels.wheels[1:])})
    foreign = recorded_run("foreign", "2/2", setup=run_setup(prepared_run(other)))
    for folders, reason in (
        ([first], "2/2 is missing"),
        ([first, second, second], "both shard 2/2"),
        ([first, foreign], "different wheels"),
    ):
        with pytest.raises(WrongUse, match=f"^merge: .*{reason}"):
            merge(folders)


# ---- the command ----


def test_command_writes_all_formats_and_returns_the_code_of_the_verdict(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = "debian-13-pip-venv"
    folders = shards(run, causes={failing: crash(failing)})
    target = tmp_path / "merged"
    words = ["merge", *map(str, folders), f"--report={target}"]
    options, _ = parser.parse(words)
    assert merge_command.run(options) == ExitCode.PACKAGE_FAILED
    report = results_json.read(target / results_json.NAME)
    assert report.verdict is Verdict.FAILED
    assert (target / "index.html").is_file()
    for cell in report.cells:
        assert (target / EVIDENCE / f"{cell.evidence}.json").is_file()
    assert capsys.readouterr().out.splitlines()[-1] == "✘ failed"


def test_report_of_the_merge_does_not_replace_that_of_a_shard(run: Run) -> None:
    (folder,) = shards(run, 1)
    before = (folder / results_json.NAME).read_bytes()
    options, _ = parser.parse(["merge", str(folder), f"--report={folder}"])
    with pytest.raises(WrongUse, match=r"^--report "):
        merge_command.run(options)
    assert (folder / results_json.NAME).read_bytes() == before


def test_merge_removes_what_an_older_report_left(run: Run) -> None:
    folders = shards(run, 2)
    target = run("older")
    (target / EVIDENCE / f"{'0' * 64}.json").write_text("{}")
    (target / "notes.txt").touch()
    for name in ("pipeline.json", SHARD, "kept/machine.json"):
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text("{}")
    options, _ = parser.parse(["merge", *map(str, folders), f"--report={target}"])
    assert merge_command.run(options) == ExitCode.VERIFIED
    report = results_json.read(target / results_json.NAME)
    evidence_files = {path.stem for path in (target / EVIDENCE).iterdir()}
    assert evidence_files == {cell.evidence for cell in report.cells}
    left = {path.name for path in target.iterdir()}
    assert "notes.txt" in left
    assert not left & {"pipeline.json", SHARD, "kept"}


def test_folder_without_a_report_is_not_emptied(run: Run, tmp_path: Path) -> None:
    folders = shards(run, 2)
    (tmp_path / "other" / EVIDENCE).mkdir(parents=True)
    mine = tmp_path / "other" / EVIDENCE / "mine.txt"
    mine.write_text("mine")
    options, _ = parser.parse(["merge", *map(str, folders), f"--report={tmp_path / 'other'}"])
    with pytest.raises(WrongUse, match=r"^--report "):
        merge_command.run(options)
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == [mine]


def test_killed_merge_leaves_no_verdict(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = shards(run, 2)
    target = run("older")
    monkeypatch.setattr(merging, "copy_evidence", lambda *_: (_ for _ in ()).throw(SystemExit))
    options, _ = parser.parse(["merge", *map(str, folders), f"--report={target}"])
    with pytest.raises(SystemExit):
        merge_command.run(options)
    report = results_json.read(target / results_json.NAME)
    assert (report.finished, report.verdict) == (False, Verdict.UNVERIFIED)
