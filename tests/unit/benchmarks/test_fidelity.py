"""The fidelity table: the classification of a wheel from the result of its native call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import fidelity
from tests.benchmarks.fidelity import Outcome, Wheel, judge
from verification.models.errors import WrongUse

GOOD = Wheel("x", "1", "0", written="C", does="counts", call="print(6)", prints="6")
NEEDY = Wheel(
    "x", "1", "0", written="C", does="counts", call="print(6)", prints="6", lacks=("MSVCP140.dll",)
)
STUBBED = Wheel("x", "1", "0", written="C", does="counts", call="", prints="6", stub="a.dll.f")
ANSWER = Outcome(0, "6\nloaded: 2\n")
NOT_FOUND = Outcome(
    1,
    '0024:err:module:import_dll Library MSVCP140.dll (which is needed by L"C:\\\\p\\\\x.dll") '
    "not found\nFileNotFoundError: x.dll\n",
)
STUB = Outcome(9, "wine: Call from 1234 to unimplemented function a.dll.f, aborting\n")


@pytest.mark.parametrize(
    ("wheel", "outcome", "clean", "as_on_windows", "told"),
    [
        (GOOD, ANSWER, True, True, "works; 2 loaded"),
        (GOOD, Outcome(0, "7\nloaded: 2\n"), True, False, "**fails**"),
        (GOOD, Outcome(1, "6\nloaded: 2\nsome crash\n"), True, False, "**fails**: some crash"),
        (GOOD, Outcome(139, ""), True, False, "**fails**: code 139"),
        (GOOD, Outcome(0, "6\nloaded: 0\n"), True, False, "without any native library"),
        (GOOD, NOT_FOUND, True, False, "**fails**: no `MSVCP140.dll` (for `x.dll`)"),
        (NEEDY, NOT_FOUND, True, True, "fails, as on Windows: no `MSVCP140.dll`"),
        (NEEDY, ANSWER, True, False, "does not fail"),
        (NEEDY, NOT_FOUND, False, False, "**fails**"),
        (NEEDY, ANSWER, False, True, "works"),
        (GOOD, STUB, True, False, "Wine's fault**: `a.dll.f`"),
    ],
)
def test_a_wheel_is_judged(
    wheel: Wheel, outcome: Outcome, clean: bool, as_on_windows: bool, told: str
) -> None:
    seen = judge(wheel, outcome, clean=clean)
    assert (seen.as_on_windows, seen.known) == (as_on_windows, False)
    assert told in seen.told


def test_only_the_stub_that_is_listed_is_a_known_fault_of_wines() -> None:
    assert judge(STUBBED, STUB, clean=True).known
    other = Outcome(9, STUB.output.replace("a.dll.f", "a.dll.g"))
    assert not judge(STUBBED, other, clean=True).known


def test_the_wheels_of_the_repository_are_ten_and_more_in_several_languages() -> None:
    wheels, support = fidelity.load()
    assert len({wheel.name for wheel in wheels}) == len(wheels) >= 10
    told = " ".join(wheel.written for wheel in wheels)
    assert [word for word in ("C++", "Rust", "Fortran", "Cython") if word not in told] == []
    assert all(len(one.sha256) == 64 for one in (*wheels, *support))
    assert [wheel.name for wheel in wheels if wheel.lacks] != [], "none that must fail somewhere"


def test_the_written_table_is_of_these_wheels() -> None:
    text = fidelity.TABLE.read_text("utf-8")
    wheels, _ = fidelity.load()
    assert [one.name for one in wheels if f"| {one.name} {one.version} |" not in text] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[wheel]]\nname = 'x'\n", "missing"),
        ("[[wheels]]\nname = 'x'\n", "unknown table 'wheels'"),
        ("[[support]]\ncolour = 'red'\n", "colour"),
        ("no toml", "fidelity.toml"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "fidelity.toml"
    path.write_text(text)
    with pytest.raises(WrongUse, match=told):
        fidelity.load(path)
