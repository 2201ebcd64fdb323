from __future__ import annotations

import pytest

from tests.support.causes import catalogue
from tests.support.expect import reached

NOTE = catalogue().cause("works-with-more", where="cell", seen="it is there")
FAILED = catalogue().cause("crash", where="cell: import", seen="killed by SIGSEGV")
EVIDENCE = {"uninstall": {"code": 0}, "exercise": {"steps": {"native-call": {"value": None}}}}


def test_what_is_there_is_returned_whatever_it_is() -> None:
    assert reached(EVIDENCE, [FAILED], "uninstall", "code") == 0


@pytest.mark.parametrize(
    "path",
    [("import",), ("uninstall", "code", "more"), ("exercise", "steps", "native-call", "value")],
)
def test_what_is_not_there_fails_in_one_line_by_the_first_cause(path: tuple[str, ...]) -> None:
    with pytest.raises(pytest.fail.Exception) as failure:
        reached(EVIDENCE, [NOTE, FAILED], *path)
    told = str(failure.value)
    assert told.startswith(f"there is no {' '.join(path)}: ")
    assert "killed by SIGSEGV" in told
    assert "\n" not in told


def test_where_no_cause_explains_it_that_is_said() -> None:
    with pytest.raises(pytest.fail.Exception, match="there is no import: no cause"):
        reached({}, [NOTE], "import")
