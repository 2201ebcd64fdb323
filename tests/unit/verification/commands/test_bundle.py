from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, told
from verification.commands import bundle
from verification.commands import common as session
from verification.models.errors import WrongUse
from verification.report import html as page
from verification.report import results, scrub
from verification.report import verification_md as verification
from verification.report.scrub import Scrubber

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
    run = told(cell(LINUX), cell(WINDOWS, crash(planted)))
    run["selection"]["source"] = "/home/alice/src"
    evidence = {one: sample_run.evidence(one, log=planted) for one in (LINUX, WINDOWS)}
    evidence[LINUX]["env"] = {"NPM_TOKEN": "abc", "HOME": "/home/user"}
    folder = tmp_path / "report"
    for ident, content in evidence.items():
        results.write_json(folder / "evidence" / f"{ident}.json", content)
    results.write_json(folder / "results.json", run)
    page.write(folder / "index.html", run)
    (folder / "VERIFICATION.md").write_text(verification.render(run), "utf-8")
    (folder / "junit.xml").write_text(
        '<testsuites><testsuite hostname="build7"><testcase name="build7 x">'
        f"<failure message='a build7'>{CREDENTIALS} and text</failure></testcase></testsuite>"
        "</testsuites>",
        "utf-8",
    )
    return folder


def _members(report: Path, *idents: str) -> dict[str, bytes]:
    _, run = session.load(str(report))
    return bundle.make(report, run, idents or (LINUX, WINDOWS), SCRUBBER)


def test_the_members_are_the_report_and_what_made_it(report: Path) -> None:
    assert sorted(_members(report)) == [
        "VERIFICATION.md",
        f"evidence/{LINUX}.json",
        f"evidence/{WINDOWS}.json",
        "index.html",
        "junit.xml",
        "results.json",
        "versions.json",
    ]


def test_what_was_planted_is_in_the_report_and_in_no_member(report: Path) -> None:
    before = {path.name: path.read_text("utf-8") for path in report.rglob("*") if path.is_file()}
    assert all(word in before["results.json"] + before["index.html"] for word in GUARDED)
    for name, content in _members(report).items():
        text = content.decode()
        assert [word for word in (*GUARDED, 'abc"') if word in text] == [], name


def test_nothing_else_is_harmed(report: Path) -> None:
    members = _members(report)
    run = json.loads(members["results.json"])
    assert run["inputs"] == told()["inputs"]
    assert run["images"] == told()["images"]
    evidence = json.loads(members[f"evidence/{LINUX}.json"])
    clean = sample_run.evidence(LINUX)
    log = '[removed] https://[removed]@[mirror]/simple [host] [home]/x <&" pip'
    clean["install"]["stdout"] = log
    clean["env"] = {"NPM_TOKEN": "[removed]", "HOME": "/home/user"}
    assert evidence == clean
    assert b"and text" in members["junit.xml"]


def test_the_evidence_of_other_cells_is_left_out(report: Path) -> None:
    members = _members(report, LINUX)
    assert [name for name in members if name.startswith("evidence/")] == [f"evidence/{LINUX}.json"]


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
    _, run = session.load(str(tmp_path / "out" / "top"))
    assert [one["id"] for one in session.chosen(run, [WINDOWS])] == [WINDOWS]


def test_the_command_writes_the_file_and_lists_it(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(scrub, "of_host", lambda: SCRUBBER)
    output = tmp_path / "x.tar.zst"
    assert bundle.run(["--from", str(report), "-o", str(output), LINUX]) == 0
    assert output.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    told = capsys.readouterr().out
    assert f"evidence/{LINUX}.json" in told
    assert "missing" not in told


def test_evidence_that_is_gone_is_told(report: Path, tmp_path: Path, capsys: Any) -> None:
    (report / "evidence" / f"{LINUX}.json").unlink()
    output = tmp_path / "x.tar.zst"
    assert bundle.run(["--from", str(report), "-o", str(output)]) == 0
    assert f"missing: the evidence of {LINUX}: " in capsys.readouterr().out


def test_a_cell_or_a_report_that_is_not_there_is_wrong_use(report: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such cell; there are: debian-13-pip-venv"):
        bundle.run(["--from", str(report), "nope"])
    with pytest.raises(WrongUse, match=r"there is no results\.json"):
        bundle.run(["--from", str(tmp_path)])
