from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from containers import engine as engines
from containers import upstream_releases
from tests.helpers.sample_wheels import linux_wheel
from verification.commands import reproduce
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.models.errors import WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release, ReleaseFile
from verification.models.report import AnswerKind, Reproduction
from verification.models.subject import Subject
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import results_json
from verification.session import replay_inputs
from verification.session.selection import Selection
from verification.wheel.release_inspection import inspect_release


def test_last_line_has_the_verdict_its_basis_the_reason_and_the_differences() -> None:
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


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--os", "Ubuntu 24.04", "--python", "3.12"), 1),
        (("--os", "windows-11", "--python", "3.12"), 1),
        (("--os", "alpine", "--python", "3.12"), 1),
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


def test_source_cannot_be_built_for_another_system(tmp_path: Path) -> None:
    words = ["reproduce", "--os", "macos", "--report", str(tmp_path / "report")]
    with pytest.raises(Unverified):
        reproduce.run(parse(words)[0])


@pytest.mark.parametrize(
    "options",
    [
        ("--pip", "24.3", "--installer", "uv"),
        ("--pip", "new"),
        ("--installer", "conda"),
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
