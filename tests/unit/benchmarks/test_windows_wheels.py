"""The table of Windows wheels: the judgement about a wheel from the result of its native call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import windows_wheels
from tests.benchmarks.windows_wheels import CallResult, KnownWheel, judge
from verification.models.errors import WrongUse

GOOD = KnownWheel(
    "x", "1", "0", languages="C", description="counts", call="print(6)", expected_line="6"
)
LACKING = KnownWheel(
    "x",
    "1",
    "0",
    languages="C",
    description="counts",
    call="print(6)",
    expected_line="6",
    missing_libraries=("MSVCP140.dll",),
)
STUBBED = KnownWheel(
    "x", "1", "0", languages="C", description="counts", call="", expected_line="6", stub="a.dll.f"
)
ANSWER = CallResult(0, "6\nloaded: 2\n")
NOT_FOUND = CallResult(
    1,
    '0024:err:module:import_dll Library MSVCP140.dll (which is needed by L"C:\\\\p\\\\x.dll") '
    "not found\nFileNotFoundError: x.dll\n",
)
STUB = CallResult(9, "wine: Call from 1234 to unimplemented function a.dll.f, aborting\n")


@pytest.mark.parametrize(
    ("wheel", "result", "clean", "as_on_windows", "fact"),
    [
        (GOOD, ANSWER, True, True, "2"),
        (GOOD, CallResult(0, "7\nloaded: 2\n"), True, False, ""),
        (GOOD, CallResult(1, "6\nloaded: 2\nsome crash\n"), True, False, "some crash"),
        (GOOD, CallResult(139, ""), True, False, "139"),
        (GOOD, CallResult(0, "6\nloaded: 0\n"), True, False, ""),
        (GOOD, NOT_FOUND, True, False, "`MSVCP140.dll` (for `x.dll`)"),
        (LACKING, NOT_FOUND, True, True, "`MSVCP140.dll` (for `x.dll`)"),
        (LACKING, ANSWER, True, False, ""),
        (LACKING, NOT_FOUND, False, False, "`MSVCP140.dll` (for `x.dll`)"),
        (LACKING, ANSWER, False, True, "2"),
        (GOOD, STUB, True, False, "`a.dll.f`"),
    ],
)
def test_the_result_of_a_call_is_compared_with_windows(
    wheel: KnownWheel, result: CallResult, clean: bool, as_on_windows: bool, fact: str
) -> None:
    judgement = judge(wheel, result, clean=clean)
    assert (judgement.as_on_windows, judgement.known) == (as_on_windows, False)
    assert fact in judgement.text
    assert as_on_windows == ("**" not in judgement.text), "only a difference is bold"


def test_only_a_listed_stub_is_a_known_fault_of_wine() -> None:
    assert judge(STUBBED, STUB, clean=True).known
    other = CallResult(9, STUB.output.replace("a.dll.f", "a.dll.g"))
    assert not judge(STUBBED, other, clean=True).known


def test_the_listed_wheels_are_different_and_of_several_languages() -> None:
    wheels, support = windows_wheels.load()
    assert len({wheel.name for wheel in wheels}) == len(wheels) >= 10
    languages = " ".join(wheel.languages for wheel in wheels)
    assert all(word in languages for word in ("C++", "Rust", "Fortran", "Cython"))
    assert all(len(file.sha256) == 64 for file in (*wheels, *support))
    assert [wheel.name for wheel in wheels if wheel.missing_libraries] != [], (
        "one must fail on a clean machine"
    )


def test_the_page_has_the_listed_wheels() -> None:
    text = windows_wheels.TABLE.read_text("utf-8")
    wheels, _ = windows_wheels.load()
    missing = [wheel.name for wheel in wheels if f"| {wheel.name} {wheel.version} |" not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("[[wheel]]\nname = 'x'\n", "version"),
        ("[[wheels]]\nname = 'x'\n", "wheels"),
        ("[[support]]\ncolour = 'red'\n", "colour"),
        ("no toml", ""),
    ],
)
def test_a_wrong_key_is_wrong_use(tmp_path: Path, text: str, fact: str) -> None:
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(WrongUse, match=rf"^list\.toml: .*{fact}"):
        windows_wheels.load(path)
