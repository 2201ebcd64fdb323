from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash
from verification.commands import bundle, common, host_secrets
from verification.commands.parser import parse
from verification.models.base import parse_json
from verification.models.errors import WrongUse
from verification.models.evidence import parse_evidence
from verification.models.report import Report
from verification.report import results_json, writer
from verification.report.scrub import Scrubber
from verification.session.session import EVIDENCE


def _run(*words: str) -> int:
    return bundle.run(parse(["bundle", *words])[0])


TOKEN = "pypi-Ag0123456789abcdefgh"  # noqa: S105  (planted)
CREDENTIALS = "https://alice:hunter2@mirror.corp.example/simple"
GUARDED = ("Ag0123456789", "hunter2", "mirror.corp", "build7", "/home/alice")
SCRUBBER = Scrubber(
    hosts={"build7": "[host]", "mirror.corp.example": "[mirror]"}, paths={"/home/alice": "[home]"}
)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return the folder of a report with secrets planted wherever text can be."""
    planted = f'{TOKEN} {CREDENTIALS} build7 /home/alice/x <&" pip'
    folder = tmp_path / "report"
    cells = []
    for result in (cell(LINUX), cell(WINDOWS, crash(planted))):
        evidence = sample_run.evidence(result.id, log=planted)
        env = {"NPM_TOKEN": "abc", "HOME": "/home/user"} if result.id == LINUX else {}
        text = evidence.model_copy(update={"env": env}).to_json()
        digest = results_json.write_by_content(folder / EVIDENCE, text)
        cells.append(result.model_copy(update={"evidence": digest}))
    run = sample_run.report(*cells)
    selection = run.selection.model_copy(update={"source": "/home/alice/src"})
    writer.write(folder, run.model_copy(update={"selection": selection}))
    return folder


def _evidence(members: dict[str, bytes], ident: str) -> str:
    """Return the name of the member with the evidence of a cell."""
    run = parse_json(Report, members[results_json.NAME], results_json.NAME)
    return f"{EVIDENCE}/{common.cells_of(run, [ident])[0].evidence}.json"


def _members(report: Path, *idents: str) -> dict[str, bytes]:
    _, run = common.read_report(str(report))
    return bundle.bundle_files(report, run, common.cells_of(run, idents), SCRUBBER)


def test_the_members_are_the_report_and_what_made_it(report: Path) -> None:
    members = _members(report)
    evidence = {_evidence(members, ident) for ident in (LINUX, WINDOWS)}
    forms = {"VERIFICATION.md", "index.html", "junit.xml", "results.json", "versions.json"}
    assert len(evidence) == 2
    assert set(members) == evidence | forms


def test_what_was_planted_is_in_the_report_and_in_no_member(report: Path) -> None:
    before = {path.name: path.read_text("utf-8") for path in report.rglob("*") if path.is_file()}
    for name in ("results.json", "index.html", "junit.xml", "VERIFICATION.md"):
        assert GUARDED[0] in before[name], name
    assert all(word in before["results.json"] + before["index.html"] for word in GUARDED)
    for name, content in _members(report).items():
        text = content.decode()
        assert [word for word in (*GUARDED, 'abc"') if word in text] == [], name


def test_nothing_else_is_harmed(report: Path) -> None:
    members = _members(report)
    run = parse_json(Report, members["results.json"], "results.json")
    assert run.inputs == sample_run.report().inputs
    assert run.images == sample_run.report().images
    evidence = parse_evidence(members[_evidence(members, LINUX)], "evidence")
    log = '[removed] https://[removed]@[mirror]/simple [host] [home]/x <&" pip'
    clean = sample_run.evidence(LINUX, log=log)
    env = {"NPM_TOKEN": "[removed]", "HOME": "/home/user"}
    assert evidence == clean.model_copy(update={"env": env})
    assert b"was killed by signal 11" in members["junit.xml"]


def test_the_evidence_of_other_cells_is_left_out(report: Path) -> None:
    members = _members(report, LINUX)
    evidence = [name for name in members if name.startswith(f"{EVIDENCE}/")]
    assert evidence == [_evidence(members, LINUX)]


def test_the_same_report_makes_the_same_bytes(report: Path) -> None:
    first, second = (bundle.pack(_members(report), "top", 1) for _ in range(2))
    assert first == second
    assert bundle.pack(_members(report, LINUX), "top", 1) != first


def test_it_unpacks_to_a_report_that_can_be_gone_back_to(report: Path, tmp_path: Path) -> None:
    packed = bundle.pack(_members(report), "top", 1_700_000_000)
    raw = zstandard.ZstdDecompressor().decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        infos = tar.getmembers()
        tar.extractall(tmp_path / "out", filter="data")
    assert {(one.uid, one.uname, one.mtime, one.mode) for one in infos} == {
        (0, "", 1_700_000_000, 0o644)
    }
    _, run = common.read_report(str(tmp_path / "out" / "top"))
    assert [one.id for one in common.cells_of(run, [WINDOWS])] == [WINDOWS]


def test_the_command_writes_the_file_and_lists_it(
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(host_secrets, "scrubber", lambda: SCRUBBER)
    output = tmp_path / "x.tar.zst"
    assert _run("--from", str(report), "-o", str(output), LINUX) == 0
    assert output.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    printed = capsys.readouterr().out
    assert printed.count(f"  {EVIDENCE}/") == 1
    assert "missing" not in printed


def test_evidence_that_is_gone_is_told(
    report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = common.read_report(str(report))
    (report / EVIDENCE / f"{common.cells_of(run, [LINUX])[0].evidence}.json").unlink()
    output = tmp_path / "x.tar.zst"
    assert _run("--from", str(report), "-o", str(output)) == 0
    assert f"missing: the evidence of {LINUX}: " in capsys.readouterr().out


def test_a_cell_or_a_report_that_is_not_there_is_wrong_use(report: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such cell; there are: debian-13-pip-venv"):
        _run("--from", str(report), "nope")
    with pytest.raises(WrongUse, match=r"there is no results\.json"):
        _run("--from", str(tmp_path))
