"""Merging the reports of shards, without an engine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from containers import engine_client
from tests.helpers.sample_run import cell as sample_cell
from tests.helpers.sample_run import crash, evidence
from tests.helpers.sample_testbed import INPUTS, run_setup
from tests.helpers.sample_wheels import SUBJECT
from verification.commands import merge as merge_command
from verification.commands import parser
from verification.models.cause import Cause
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.release import file_sha256
from verification.models.report import Report
from verification.models.testbed import Image
from verification.models.verdict import Verdict
from verification.report import results_json
from verification.session import gate_run, replay_inputs
from verification.session.gate_run import SHARD, GateRequest, GateRun
from verification.session.merge import merge
from verification.session.prepare import RunSetup
from verification.session.recorder import RESULT, TestPhaseReport, as_property
from verification.session.selection import Options, select
from verification.session.session import EVIDENCE

Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a gate without an engine, and returns its report's folder."""
    failure: list[TestbedFailure] = []

    def prepare(_selection: object, _subject: object, _stack: contextlib.ExitStack) -> RunSetup:
        if failure:
            raise failure.pop()
        return run_setup()

    monkeypatch.setattr(gate_run, "prepare", prepare)
    # Other tests of this process can have counted retries.
    monkeypatch.setattr(engine_client.PROCESS_RETRIES, "value", 0)
    monkeypatch.setattr(replay_inputs, "keep", lambda _release, _subject, _seed: INPUTS)

    def start(
        name: str,
        shard: str | None = None,
        causes: Mapping[str, Cause] | None = None,
        *,
        fails: bool = False,
        **options: object,
    ) -> Path:
        if fails:
            failure.append(TestbedFailure("engine-unreachable", "engine", "no answer"))
        folder = tmp_path / name
        values = {"release": "0.5.0", "profile": "gate", "shard": shard} | options
        selection = select(Options.model_validate(values), Path.cwd(), SUBJECT.platforms)
        gate = GateRun(GateRequest(selection, SUBJECT, folder))
        gate.begin()
        gate.set_up()
        if gate.setup:
            _run_cells(gate, folder, causes or {})
        gate.write(interrupted=False)
        gate.close()
        return folder

    return start


def _run_cells(gate: GateRun, folder: Path, causes: Mapping[str, Cause]) -> None:
    gate.recorder.select({cell.id: cell.id for cell in gate.request.cells})
    for cell in gate.request.cells:
        failed = [causes[cell.id]] if cell.id in causes else []
        digest = results_json.write_by_content(folder / EVIDENCE, evidence(cell.id).to_json())
        names = {
            "machine": cell.machine.name,
            "installer": cell.installer.name,
            "scenario": cell.scenario.name,
        }
        result = sample_cell(cell.id, *failed).model_copy(update={**names, "evidence": digest})
        phase = {RESULT: as_property(result)}
        gate.recorder.add(
            TestPhaseReport(node=cell.id, phase="call", outcome="passed", properties=phase)
        )


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
    folders = [run("a", "1/2"), run("b", "2/2", fails=True)]
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
