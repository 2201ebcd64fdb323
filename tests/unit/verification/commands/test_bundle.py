from __future__ import annotations

import io
import shutil
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
SECRETS = ("Ag0123456789", "hunter2", "mirror.corp", "build7", "/home/alice")
SCRUBBER = Scrubber(
    hosts={"build7": "[host]", "mirror.corp.example": "[mirror]"}, paths={"/home/alice": "[home]"}
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report with secrets in all of its texts."""
    planted = f'{TOKEN} {CREDENTIALS} build7 /home/alice/x <&" pip'
    folder = tmp_path_factory.mktemp("report")
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


def _evidence_file(files: dict[str, bytes], cell_id: str) -> str:
    """Return the name of the file with the evidence of a cell."""
    run = parse_json(Report, files[results_json.NAME], results_json.NAME)
    return f"{EVIDENCE}/{common.cells_of(run, [cell_id])[0].evidence}.json"


def _files(report: Path, *ids: str) -> dict[str, bytes]:
    _, run = common.read_report(str(report))
    return bundle.bundle_files(report, run, common.cells_of(run, ids), SCRUBBER)


@pytest.fixture(scope="module")
def files(report: Path) -> dict[str, bytes]:
    """Return the content of each file in the bundle with all cells, by path in the bundle."""
    return _files(report)


@pytest.fixture(scope="module")
def linux_files(report: Path) -> dict[str, bytes]:
    """Return the content of each file in the bundle with the Linux cell, by path."""
    return _files(report, LINUX)


@pytest.mark.parametrize("field", sorted(bundle._PATH_OPTIONS))
def test_path_of_an_option_is_not_in_the_bundle(tmp_path: Path, field: str) -> None:
    path = tmp_path / "acme" / ".." / "acme"
    (tmp_path / "acme").mkdir()
    where = f"{tmp_path / 'acme'}/x.whl"
    run = sample_run.report(cell(LINUX, crash(where)))
    selection = run.selection.model_copy(update={field: str(path)})
    command = f"./e2e gate --{field}={path} --report ../clients/acme"
    run = run.model_copy(update={"selection": selection, "command": command})
    scrubber = Scrubber(paths=bundle.user_paths(run))
    for name, content in bundle.bundle_files(tmp_path, run, run.cells, scrubber).items():
        assert b"acme" not in content, name


def test_path_in_the_checkout_stays_below_it() -> None:
    selection = sample_run.report().selection.model_copy(update={"source": str(bundle._ROOT / "x")})
    run = sample_run.report().model_copy(update={"selection": selection})
    assert bundle.user_paths(run) == {}


def test_bundle_has_the_evidence_and_all_formats_of_the_report(files: dict[str, bytes]) -> None:
    evidence = {_evidence_file(files, cell_id) for cell_id in (LINUX, WINDOWS)}
    forms = {"VERIFICATION.md", "index.html", "junit.xml", "results.json", "versions.json"}
    assert len(evidence) == 2
    assert set(files) == evidence | forms


def test_secrets_of_the_report_are_not_in_the_bundle(report: Path, files: dict[str, bytes]) -> None:
    texts = {path.name: path.read_text("utf-8") for path in report.rglob("*") if path.is_file()}
    for name in ("results.json", "index.html", "junit.xml", "VERIFICATION.md"):
        assert SECRETS[0] in texts[name], name
    assert all(word in texts["results.json"] + texts["index.html"] for word in SECRETS)
    for name, content in files.items():
        text = content.decode()
        assert [word for word in (*SECRETS, 'abc"') if word in text] == [], name


def test_other_values_of_the_report_stay(files: dict[str, bytes]) -> None:
    run = parse_json(Report, files["results.json"], "results.json")
    assert run.inputs == sample_run.report().inputs
    assert run.images == sample_run.report().images
    evidence = parse_evidence(files[_evidence_file(files, LINUX)], "evidence")
    log = '[removed] https://[removed]@[mirror]/simple [host] [home]/x <&" pip'
    clean = sample_run.evidence(LINUX, log=log)
    env = {"NPM_TOKEN": "[removed]", "HOME": "/home/user"}
    assert evidence == clean.model_copy(update={"env": env})
    assert b"signal 11" in files["junit.xml"]


def test_evidence_of_other_cells_is_not_in_the_bundle(linux_files: dict[str, bytes]) -> None:
    evidence = [name for name in linux_files if name.startswith(f"{EVIDENCE}/")]
    assert evidence == [_evidence_file(linux_files, LINUX)]


def test_bundle_of_the_same_report_has_the_same_bytes(
    report: Path, files: dict[str, bytes], linux_files: dict[str, bytes]
) -> None:
    packed = bundle.pack(files, "name", 1)
    assert bundle.pack(_files(report), "name", 1) == packed
    assert bundle.pack(linux_files, "name", 1) != packed


def test_unpacked_bundle_is_a_readable_report(files: dict[str, bytes], tmp_path: Path) -> None:
    packed = bundle.pack(files, "name", 1_700_000_000)
    raw = zstandard.ZstdDecompressor().decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        infos = tar.getmembers()
        tar.extractall(tmp_path / "out", filter="data")
    assert {(info.uid, info.uname, info.mtime, info.mode) for info in infos} == {
        (0, "", 1_700_000_000, 0o644)
    }
    _, run = common.read_report(str(tmp_path / "out" / "name"))
    assert [result.id for result in common.cells_of(run, [WINDOWS])] == [WINDOWS]


def test_command_writes_the_bundle_and_lists_its_files(
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(host_secrets, "scrubber", lambda **_: SCRUBBER)
    output = tmp_path / "x.tar.zst"
    assert _run("--from", str(report), "-o", str(output), LINUX) == 0
    assert output.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(f"  {EVIDENCE}/")]) == 1
    assert not any(LINUX in line for line in lines)


def test_missing_evidence_is_reported(
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(host_secrets, "scrubber", lambda **_: SCRUBBER)
    folder = tmp_path / "report"
    shutil.copytree(report, folder)
    _, run = common.read_report(str(folder))
    (folder / EVIDENCE / f"{common.cells_of(run, [LINUX])[0].evidence}.json").unlink()
    output = tmp_path / "x.tar.zst"
    assert _run("--from", str(folder), "-o", str(output)) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if LINUX in line]
    assert WINDOWS not in line


def test_unknown_cell_and_missing_report_are_wrong_use(report: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"^nope: .*debian-13-pip-venv"):
        _run("--from", str(report), "nope")
    with pytest.raises(WrongUse, match=r"results\.json"):
        _run("--from", str(tmp_path))
