from __future__ import annotations

import argparse
import ast
import contextlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import peers
from tests.benchmarks.peers import (
    Comparison,
    Cost,
    Ended,
    Fault,
    Limits,
    Peer,
    Plan,
    Replacement,
    Result,
    Setting,
    Status,
)
from tests.helpers import sample_wheels
from verification.models.base import read_json, read_toml
from verification.models.errors import ExitCode, WrongUse
from verification.rules.catalogue import catalogue

PLAN = read_toml(Plan, peers.DATA)
GATE = next(peer for peer in PLAN.peer if peer.gate)
COST = Cost(seconds=2.0, host_seconds=1.0, container_seconds=0.5, mebibytes=50.0, load=1.0)
SCRIPT = Peer(
    name="script",
    title="a script",
    program="sh",
    step="^step: (.+)$",
    notes="for tests",
    script='echo "step: install"\nls "$DIST"\necho "step: import"\ntest ! -e "$DIST"/broken*\n',
)
RETAGGED = next(fault for fault in PLAN.fault if fault.name == "older-tag")
BROKEN = Fault(name="broken", title="a broken wheel", origin="x.py::x", wheel="linux")
UNSEEN = BROKEN.model_copy(update={"name": "unseen"})


def ended(code: int | None = 0, **changes: object) -> Ended:
    return Ended.model_validate({"code": code, "step": "import", "cost": COST} | changes)


def judged(peer: Peer, failing: Ended, *healthy: Ended) -> tuple[Status, str]:
    result = peers.judge(peer, "x", healthy or (ended(),), failing)
    return result.status, result.detail


# ---- the judgement ----


def test_failing_command_caught_the_fault_at_its_step() -> None:
    assert judged(SCRIPT, ended(1)) == (Status.CAUGHT, "import")


def test_passing_command_missed_the_fault() -> None:
    assert judged(SCRIPT, ended()) == (Status.MISSED, "")


@pytest.mark.parametrize("code", [0, 1])
def test_peer_that_fails_without_a_fault_is_not_usable(code: int) -> None:
    false_alarm = ended(1, step="smoke test")
    assert judged(SCRIPT, ended(code), ended(), false_alarm) == (Status.UNUSABLE, "smoke test")


@pytest.mark.parametrize("code", [None, 125])
def test_time_limit_and_failure_of_the_engine_catch_nothing(code: int | None) -> None:
    assert judged(SCRIPT, ended(code))[0] is Status.NO_RESULT


@pytest.mark.parametrize("code", [3, 4, 5])
def test_gate_without_a_judgement_catches_nothing(code: int) -> None:
    assert judged(GATE, ended(code, causes=("crash",)))[0] is Status.NO_RESULT


def test_gate_that_passes_names_only_what_it_does_not_name_without_a_fault() -> None:
    flaw = ended(causes=("stray-top-level", "network-used"))
    assert judged(GATE, flaw) == (Status.NAMED, "stray-top-level, network-used")
    assert judged(GATE, flaw, ended(causes=("network-used",))) == (
        Status.NAMED,
        "stray-top-level",
    )
    assert judged(GATE, flaw, flaw) == (Status.MISSED, "")


def test_repaired_wheel_is_not_missed() -> None:
    assert judged(SCRIPT, ended(is_repaired=True))[0] is Status.REPAIRED


RECORDED = [fault for fault in PLAN.fault if fault.recording]
WITHOUT_INSPECTION = {
    "older-tag": Status.MISSED,  # the glibc of the machine is new enough
    "stray-file": Status.MISSED,
    "network-at-import": Status.NAMED,
}
"""The faults that the recorded cells do not show as broken."""


@pytest.mark.parametrize("fault", RECORDED, ids=[fault.name for fault in RECORDED])
def test_gate_judges_recorded_cells_and_workflows(
    monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(peers, "_inspect", lambda _: ())
    result = peers.judge_recording(GATE, fault)
    assert result.status is WITHOUT_INSPECTION.get(fault.name, Status.CAUGHT)
    assert result.detail.split(", ")[-1] == "recorded"


def test_inspection_of_the_wheel_counts_with_the_recorded_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cause = catalogue().cause("glibc-floor", "libquiver.so", "", symbol="fcntl64", version="2.28")
    monkeypatch.setattr(peers, "_inspect", lambda _: (cause,))
    result = peers.judge_recording(GATE, RETAGGED)
    assert (result.status, result.detail) == (Status.CAUGHT, "glibc-floor, recorded")


def test_gate_finds_nothing_in_the_recorded_run_of_a_healthy_workflow() -> None:
    old = "    name: Create the GitHub release\n    needs: validate\n"
    new = old.replace("needs: validate", "needs: [validate, publish]")
    healthy = Fault(
        name="healthy",
        title="the release waits for publishing",
        origin="",
        recording="test_pipeline_faults/test_release_that_waits_for_publishing_is_no_fault",
        workflow=(Replacement(file="publish.yml", old=old, new=new),),
    )
    assert peers.judge_recording(GATE, healthy).status is Status.MISSED


# ---- the planted wheels ----

WHEEL_FAULTS = [fault for fault in PLAN.fault if fault.wheel]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, Path]:
    """Return small wheels that contain what the faults of peers.toml change."""
    texts: dict[str, str] = {"quiverdb/database.py": "", "quiverdb/__init__.py": ""}
    for change in (change for fault in WHEEL_FAULTS for change in fault.replace):
        if "{info}" not in change.file and change.old not in texts.get(change.file, ""):
            texts[change.file] = texts.get(change.file, "") + change.old
    folder = tmp_path / "good"
    folder.mkdir()
    return {
        "linux": sample_wheels.linux_wheel(folder, texts, version="0.5.0"),
        "windows": sample_wheels.windows_wheel(folder, texts, version="0.5.0"),
    }


@pytest.mark.parametrize("fault", WHEEL_FAULTS, ids=[fault.name for fault in WHEEL_FAULTS])
def test_fault_changes_only_its_wheels(
    wheels: dict[str, Path], tmp_path: Path, fault: Fault
) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    peers.plant(fault, wheels, folder, b"library")
    planted = {("windows" if "win" in path.name else "linux"): path for path in folder.iterdir()}
    assert set(planted) == set(wheels)
    for system, wheel in wheels.items():
        is_same = planted[system].name == wheel.name
        is_same = is_same and contents(planted[system]) == contents(wheel)
        assert is_same != (fault.wheel in (system, "both"))


WRONG_RECORD = next(fault for fault in PLAN.fault if not fault.record)


@pytest.mark.parametrize("fault", [RETAGGED, WRONG_RECORD], ids=["tag", "record"])
def test_wheel_is_repaired_if_its_fault_is_gone(
    wheels: dict[str, Path], tmp_path: Path, fault: Fault
) -> None:
    folders = {name: tmp_path / name for name in ("planted", "repaired", "empty")}
    for folder in folders.values():
        folder.mkdir()
    peers.plant(fault, {"linux": wheels["linux"]}, folders["planted"], b"")
    (folders["repaired"] / wheels["linux"].name).write_bytes(wheels["linux"].read_bytes())
    repaired = {name: peers.is_repaired(fault, folder) for name, folder in folders.items()}
    assert repaired == {"planted": False, "repaired": True, "empty": False}


# ---- the commands ----


def test_data_has_twenty_faults_of_the_tests_of_this_project() -> None:
    assert len({fault.name for fault in PLAN.fault}) == len(PLAN.fault) == 20
    for fault in PLAN.fault:
        file, _, name = fault.origin.partition("::")
        assert name in (peers.ROOT / file).read_text("utf-8"), fault.origin


def test_faults_of_windows_and_of_the_workflow_are_no_measured_misses() -> None:
    for peer in PLAN.peer:
        expected = set() if peer.gate or not peer.faults else {"windows", "workflow"}
        assert set(peer.cannot) == expected
    assert {fault.system for fault in PLAN.fault} == {"linux", "windows", "workflow"}


@pytest.mark.parametrize("peer", PLAN.peer, ids=[peer.name for peer in PLAN.peer])
def test_script_is_valid(peer: Peer, tmp_path: Path) -> None:
    if peer.program == "python":
        assert ast.parse(peer.script).body
        return
    path = tmp_path / "script"
    path.write_text(peer.script, "utf-8")
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0


def test_cost_of_a_command_includes_its_children(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    code, cost = peers.run_measured(
        ["sh", "-c", f'"{sys.executable}" -c "{burn}"; echo done; exit 3'], tmp_path, {}, 100
    )
    assert code == 3
    assert (tmp_path / "output").read_text("utf-8") == "done\n"
    assert 0.5 <= cost.host_seconds < 50
    assert cost.mebibytes > 1


def test_command_without_an_end_has_no_exit_code(tmp_path: Path) -> None:
    code, _ = peers.run_measured(["sleep", "1000"], tmp_path, {}, 0.2)
    assert code is None


def test_stopped_command_has_no_exit_code(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    code, cost = peers.run_measured(["sleep", "1000"], tmp_path, {}, 900, stop)
    assert code is None
    assert cost.seconds < 500


def setting(plan: Plan, wheels: dict[str, Path], folder: Path) -> Setting:
    return Setting(plan, wheels, {}, folder, {}, stop=threading.Event())


def plan_of(*scripts: Peer) -> Plan:
    return PLAN.model_copy(update={"peer": scripts, "fault": (BROKEN, UNSEEN)})


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fault be a file with its name in the folder of the wheels."""

    def plant(fault: Fault, _wheels: object, folder: Path, _library: bytes) -> None:
        (folder / fault.name).touch()

    monkeypatch.setattr(peers, "plant", plant)


@pytest.mark.usefixtures("planted")
def test_run_reports_a_caught_and_a_missed_fault_and_a_false_alarm(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    alarm = SCRIPT.model_copy(update={"name": "alarm", "script": "echo step: smoke\nexit 1"})
    plan = plan_of(SCRIPT, alarm)
    written: list[Comparison] = []
    empty = Comparison(facts={}, healthy={}, results=())
    compared = peers.compare(
        setting(plan, wheels, tmp_path), empty, written.append, Limits(runs=2, seconds=100, jobs=2)
    )
    statuses = {(r.peer, r.fault): (r.status, r.detail) for r in compared.results}
    assert statuses == {
        ("script", "broken"): (Status.CAUGHT, "import"),
        ("script", "unseen"): (Status.MISSED, ""),
        ("alarm", "broken"): (Status.UNUSABLE, "smoke"),
        ("alarm", "unseen"): (Status.UNUSABLE, "smoke"),
    }
    assert len(compared.healthy["script"]) == 2
    assert written[-1] == compared
    heading, script, unusable = peers.cost_rows(plan, compared)
    sums = dict(zip(heading, script, strict=True))
    assert (sums["without a fault"], sums["caught"], sums["missed"]) == ("passes", "1", "1")
    sums = dict(zip(heading, unusable, strict=True))
    assert sums["without a fault"].startswith("not usable")
    assert (sums["caught"], sums["missed"], sums["no result"]) == ("0", "0", "2")
    assert peers.exit_code(plan, compared) == ExitCode.TESTBED_FAILED


@pytest.mark.usefixtures("planted")
def test_further_run_continues(wheels: dict[str, Path], tmp_path: Path) -> None:
    plan = plan_of(SCRIPT)
    known = Result(peer="script", fault="broken", status=Status.MISSED)
    kept = Comparison(facts={"date": "x"}, healthy={"script": (ended(),)}, results=(known,))
    compared = peers.compare(
        setting(plan, wheels, tmp_path), kept, lambda _: None, Limits(runs=1, seconds=100)
    )
    assert compared.results[0] == known
    assert [result.fault for result in compared.results] == ["broken", "unseen"]
    assert compared.healthy == kept.healthy


def test_fault_after_the_time_limit_has_no_result(wheels: dict[str, Path], tmp_path: Path) -> None:
    plan = plan_of(SCRIPT)
    kept = Comparison(facts={}, healthy={"script": (ended(),)}, results=())
    compared = peers.compare(
        setting(plan, wheels, tmp_path), kept, lambda _: None, Limits(runs=1, seconds=-1)
    )
    assert compared.results == ()
    assert [row[-1] for row in peers.cost_rows(plan, compared)] == ["no result", "2"]
    assert [row[1] for row in peers.fault_rows(plan, compared)][1:] == ["no result"] * 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.CAUGHT, ExitCode.VERIFIED),
        (Status.NAMED, ExitCode.VERIFIED),
        (Status.MISSED, ExitCode.PACKAGE_FAILED),
        (Status.NO_RESULT, ExitCode.TESTBED_FAILED),
    ],
)
def test_exit_code_follows_what_the_gate_reports(status: Status, code: ExitCode) -> None:
    plan = PLAN.model_copy(update={"peer": (GATE, SCRIPT), "fault": (BROKEN,)})
    results = (
        Result(peer="gate", fault="broken", status=status),
        Result(peer="script", fault="broken", status=Status.MISSED),
    )
    healthy = {"gate": (ended(),), "script": (ended(),)}
    compared = Comparison(facts={}, healthy=healthy, results=results)
    assert peers.exit_code(plan, compared) == code


def test_page_has_each_fault_and_each_peer() -> None:
    results = (Result(peer="gate", fault=PLAN.fault[0].name, status=Status.CAUGHT, detail="x"),)
    compared = Comparison(
        facts={"date": "2026-12-01"},
        healthy={peer.name: (ended(),) for peer in PLAN.peer},
        results=results,
    )
    page = peers.page(PLAN, compared)
    assert all(f"\n| {fault.title} |" in page for fault in PLAN.fault)
    assert all(f"\n| {peer.name} | passes |" in page for peer in PLAN.peer)
    assert "caught: x" in page


# ---- the command line ----


@pytest.mark.parametrize(("option", "name"), [("peers", "docker"), ("faults", "none")])
def test_unknown_name_is_wrong_use(option: str, name: str) -> None:
    selected: dict[str, list[str]] = {"peers": [], "faults": [], option: [name]}
    with pytest.raises(WrongUse, match=f"^{name}: not in peers.toml; it has "):
        PLAN.selected(**selected)


def test_other_python_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="name a CPython"):
        peers.host_python(str(tmp_path / "python"))
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho /usr/bin/python 2 7\n", "utf-8")
    other.chmod(0o755)
    with pytest.raises(WrongUse, match="no CPython"):
        peers.host_python(str(other))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("names", [["script"], []], ids=["selected", "all"])
def test_only_a_run_of_all_writes_the_page(
    monkeypatch: pytest.MonkeyPatch, wheels: dict[str, Path], tmp_path: Path, names: list[str]
) -> None:
    plan = plan_of(SCRIPT)

    @contextlib.contextmanager
    def prepare(plan: Plan, _python: str) -> Iterator[tuple[Setting, dict[str, str]]]:
        yield setting(plan, wheels, tmp_path), {"date": "today"}

    monkeypatch.setattr(peers, "prepare", prepare)
    monkeypatch.setattr(peers, "read_toml", lambda *_: plan)
    monkeypatch.setattr(peers, "host_python", lambda name: name)
    monkeypatch.setattr(peers, "PAGE", tmp_path / "peers.md")
    output = tmp_path / "peers.json"
    options = argparse.Namespace(
        peers=names, faults=[], runs=1, minutes=5, python="x", output=output, jobs=1, recorded=False
    )
    assert peers.measure(options) == ExitCode.VERIFIED
    assert len(read_json(Comparison, output).results) == 2
    assert (tmp_path / "peers.md").is_file() != bool(names)
