from __future__ import annotations

import pytest

from tests.helpers.sample_run import LINUX, cell
from verification.commands import reproduce
from verification.commands.parser import parse
from verification.models.errors import WrongUse
from verification.models.report import Reproduction, ReproductionMachine

USED = ReproductionMachine(
    machine="debian-13",
    title="Debian 13",
    image="debian-13:1",
    python="3.13.5",
    libc="glibc 2.41",
    installer="pip",
    scenario="venv",
    version="1.0",
)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"python": "3.12"}, "verdict  verified: works, with another Python than 3.12"),
        ({"python": "3.13.2"}, "verdict  verified: works"),
        ({"python": "3.13t"}, "verdict  verified: works"),
        ({}, "verdict  verified: works"),
    ],
)
def test_another_python_is_told_in_the_line_of_the_verdict(
    asked: dict[str, str], line: str
) -> None:
    reproduction = Reproduction(asked=asked, used=USED, differs=())
    assert reproduce.verdict_line(cell(LINUX), reproduction, "") == line


def test_a_refusal_that_must_be_is_told_in_the_line_of_the_verdict() -> None:
    reproduction = Reproduction(asked={}, used=USED, differs=())
    line = reproduce.verdict_line(cell(LINUX), reproduction, "unsupported-python")
    assert "(it must be refused here, unsupported-python: " in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pip", "24.3", "--installer", "uv"), "exclude one another; name one"),
        (("--pip", "new"), "--pip new: not a version"),
        (("--installer", "conda"), "--installer conda: there is none"),
        (("--os", "beos"), "--os beos: unknown"),
        (("--python", "9.9"), "--python 9.9: no machine comes near it"),
        (("--os", "debian-13", "--scenario", "system"), "--scenario system: there is none"),
        (("--source", "nowhere"), "there is no such folder"),
    ],
)
def test_wrong_use_is_one_line_before_an_engine_is_needed(
    options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(WrongUse) as raised:
        reproduce.run(parse(["reproduce", *options])[0])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
