from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import engine as engines
from containers import upstream_releases, wheelhouse
from tests.helpers.sample_wheels import linux_wheel
from verification.commands import reproduce, standard_input
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.models.errors import WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release, ReleaseFile
from verification.models.report import AnswerKind, Conclusion, Report, Reproduction
from verification.models.subject import Subject
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import results_json
from verification.session import replay_inputs
from verification.session.selection import Selection
from verification.wheel.release_inspection import inspect_release


def test_answer_line_has_the_verdict_its_basis_the_reason_and_the_differences() -> None:
    reproduction = Reproduction(
        asked={}, differs=("one", "two"), kind=AnswerKind.FILES, answer="the reason"
    )
    line = reproduce.answer_line(reproduction, Verdict.UNVERIFIED)
    label, verdict, basis, _ = line.split(maxsplit=3)
    assert (label, verdict, basis) == ("answer", "unverified", "(files):")
    assert all(text in line for text in ("the reason", "one", "two"))


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if an engine is used. Make the release from the folder of `--wheels`."""

    def prepare_files(
        selection: Selection, subject: Subject, _stack: object
    ) -> tuple[Release, ReleaseInspection]:
        assert selection.wheels
        paths = sorted(selection.wheels.glob("*.whl"))
        files = tuple(map(ReleaseFile.read, paths))
        release = Release(origin="wheels", location="x", version="0.5.0", wheels=files)
        return release, inspect_release(paths, subject)

    monkeypatch.setattr(engines, "ensure", lambda **_: pytest.fail("no engine is needed"))
    monkeypatch.setattr(reproduce, "prepare_files", prepare_files)
    monkeypatch.setattr(upstream_releases, "listing", lambda _project: ())
    monkeypatch.setattr(replay_inputs, "keep", lambda *_: None)


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets the text of standard input."""

    def paste(text: str) -> None:
        monkeypatch.setattr(standard_input, "pasted_text", lambda: text)

    paste("")
    return paste


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--os", "Ubuntu 20.04", "--python", "3.8"), 1),
        (("--os", "windows-11", "--python", "3.8"), 1),
        (("--os", "alpine", "--python", "3.8"), 1),
        (("--python", "9.9"), 1),
        (("--python", "3.13", "--arch", "arm64"), 1),
        (("--os", "macos", "--python", "3.13"), 1),
        (("--python", "3.13", "--arch", "arm64", "--also", "manylinux_2_28_aarch64"), 5),
        (("--os", "macos", "--python", "3.13", "--also", "macosx_11_0_arm64"), 5),
    ],
)
def test_request_that_no_machine_can_run_is_answered_from_the_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
) -> None:
    wheel = linux_wheel(tmp_path)
    if "--also" in options:
        shutil.copy(
            wheel, wheel.with_name(wheel.name.replace("manylinux_2_28_x86_64", options[-1]))
        )
        options = options[:-2]
    words = ["reproduce", *options, f"--wheels={wheel.parent}", f"--report={tmp_path / 'report'}"]
    assert reproduce.run(parse(words)[0]) == code
    report = results_json.read(tmp_path / "report" / results_json.NAME)
    assert EXIT_CODES[report.verdict] == code
    assert report.reproduction
    assert (report.reproduction.kind, report.reproduction.used) == (AnswerKind.FILES, None)
    assert report.cells == ()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split()[:2] == ["answer", str(report.verdict)]


def _reproduction(
    tmp_path: Path, *options: str, capsys: pytest.CaptureFixture[str]
) -> tuple[Report, list[str]]:
    """Run the command for a wheel for Linux; return its report and the printed lines."""
    wheel = linux_wheel(tmp_path)
    words = ["reproduce", *options, f"--wheels={wheel.parent}", f"--report={tmp_path / 'report'}"]
    reproduce.run(parse(words)[0])
    report = results_json.read(tmp_path / "report" / results_json.NAME)
    return report, capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("no_engine")
def test_a_pasted_report_is_shown_and_answered_from_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pasted: Callable[[str], None]
) -> None:
    pasted("OS: macOS 14.5\nPython: 3.12.1\nERROR: No matching distribution found for quiverdb")
    report, lines = _reproduction(tmp_path, capsys=capsys)
    reproduction = report.reproduction
    assert reproduction
    facts = {fact.name: (fact.value, fact.line) for fact in reproduction.reported}
    assert facts["os"] == ("macOS 14.5", 1)
    assert facts["python"] == ("3.12.1", 2)
    assert facts["error"][1] == 3
    assert reproduction.asked == {"os": "macOS 14.5", "python": "3.12.1"}
    assert (reproduction.conclusion, reproduction.kind) == (
        Conclusion.ANSWERED_FROM_FILES,
        AnswerKind.FILES,
    )
    understood = [line.split(maxsplit=1)[1] for line in lines if line.startswith("understood ")]
    assert [text.split()[0] for text in understood] == [fact.name for fact in reproduction.reported]
    assert lines[-1].split(maxsplit=1) == ["conclusion", Conclusion.ANSWERED_FROM_FILES]
    reply = (tmp_path / "report" / "reply.md").read_text("utf-8")
    assert reply.strip() in "\n".join(lines)
    assert all(text in reply for text in reproduction.workarounds)
    assert reproduction.workarounds


@pytest.mark.usefixtures("no_engine")
def test_an_option_replaces_a_value_of_the_pasted_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pasted: Callable[[str], None]
) -> None:
    pasted("OS: Debian 12\nglibc 2.36\npip 24.0 from /x (python 3.12)\nquiverdb==0.1.0")
    options = ("--os", "macOS 14", "--uv", "0.5.0")
    report, _ = _reproduction(tmp_path, *options, capsys=capsys)
    assert report.reproduction
    assert report.reproduction.asked == {"os": "macOS 14", "python": "3.12", "uv": "0.5.0"}


@pytest.mark.parametrize("text", ["it does not work", "quiverdb 0.13.5 fails\n", "\x00" * 99])
def test_a_text_without_a_machine_is_wrong_use_that_says_what_to_add(
    pasted: Callable[[str], None], text: str
) -> None:
    pasted(text)
    with pytest.raises(WrongUse) as raised:
        reproduce.run(parse(["reproduce"])[0])
    line = str(raised.value)
    assert line.startswith("standard input")
    assert "--os" in line
    assert "--python" in line
    assert "\n" not in line


@pytest.mark.usefixtures("no_engine")
def test_a_text_without_a_machine_leaves_the_options_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pasted: Callable[[str], None]
) -> None:
    pasted("the log of a job")
    report, lines = _reproduction(tmp_path, "--arch", "arm64", capsys=capsys)
    assert report.reproduction
    assert report.reproduction.asked == {"arch": "arm64"}
    assert report.reproduction.conclusion is None
    assert lines[-1].startswith("answer")


@pytest.mark.usefixtures("no_engine")
def test_the_release_of_a_pasted_report_is_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pasted: Callable[[str], None]
) -> None:
    selections: list[Selection] = []
    wheel = linux_wheel(tmp_path)

    def prepare_files(
        selection: Selection, subject: Subject, _stack: object
    ) -> tuple[Release, ReleaseInspection]:
        selections.append(selection)
        files = (ReleaseFile.read(wheel),)
        release = Release(origin="release", location="x", version="0.13.5", wheels=files)
        return release, inspect_release([wheel], subject)

    monkeypatch.setattr(reproduce, "prepare_files", prepare_files)
    pasted("macOS 14.5, Python 3.13, quiverdb 0.13.5 does not load")
    reproduce.run(parse(["reproduce", f"--report={tmp_path / 'report'}"])[0])
    (selection,) = selections
    assert (selection.release, selection.source) == ("0.13.5", None)


@pytest.mark.usefixtures("no_engine")
def test_conda_is_answered_with_what_to_do_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--installer", "conda", "--python", "3.13")
    report, lines = _reproduction(tmp_path, *options, capsys=capsys)
    assert report.reproduction
    assert report.verdict is Verdict.UNVERIFIED
    assert report.reproduction.kind is AnswerKind.FILES
    assert "conda" in report.reproduction.answer
    assert any("pip install quiverdb" in text for text in report.reproduction.workarounds)
    assert lines[-1].startswith("answer")
    with pytest.raises(Unverified, match="pip install quiverdb`"):
        reproduce.run(parse(["reproduce", "--installer=conda", f"--report={tmp_path / 'x'}"])[0])


def test_a_version_that_only_the_text_names_can_be_missing_on_the_index(
    monkeypatch: pytest.MonkeyPatch, pasted: Callable[[str], None]
) -> None:
    def refuse(program: str, version: str) -> tuple[Path, ...]:
        raise WrongUse(f"no {program} {version}")

    monkeypatch.setattr(wheelhouse, "installer_wheels", refuse)
    pasted("OS: Debian 12\npip 19.0 from /x (python 3.13)")
    bug_report, files, differences = reproduce._installer_files(
        reproduce._request(parse(["reproduce"])[0])
    )
    assert (bug_report.installer, files, len(differences)) == ("pip", [], 1)
    request = reproduce._request(parse(["reproduce", "--pip", "19.0"])[0])
    with pytest.raises(WrongUse):
        reproduce._installer_files(request)


def test_source_cannot_be_built_for_another_system(tmp_path: Path) -> None:
    words = ["reproduce", "--os", "macos", "--report", str(tmp_path / "report")]
    with pytest.raises(Unverified):
        reproduce.run(parse(words)[0])


@pytest.mark.parametrize(
    "options",
    [
        ("--pip", "24.3", "--installer", "uv"),
        ("--pip", "new"),
        ("--installer", "npm"),
        ("--uv", "new"),
        ("--pip", "24.3", "--uv", "0.5"),
        ("--scenario", "store-python", "--os", "debian"),
        ("--os", "beos"),
        ("--arch", "mips"),
        ("--os", "macos", "--scenario", "x"),
        ("--os", "debian-13", "--scenario", "system"),
        ("--source", "nowhere"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_before_an_engine_is_needed(options: tuple[str, ...]) -> None:
    with pytest.raises(WrongUse) as raised:
        reproduce.run(parse(["reproduce", *options])[0])
    line = str(raised.value)
    assert options[-2] in line
    assert options[-1] in line
    assert "\n" not in line
