from __future__ import annotations

import pytest
from packaging.tags import Tag, parse_tag

from tests.helpers.sample_machines import sample_machine
from verification.models.inspection import WheelInspection
from verification.models.machine import MachineSpec
from verification.scenarios import machines
from verification.scenarios.expectation import (
    declared_refusal,
    declared_tags,
    fits_release,
    refusal,
    supported_tags,
)
from verification.subjects.subject import load

DECLARED = declared_tags(load())


def _machine(**changes: str) -> MachineSpec:
    return sample_machine().model_copy(update=changes)


def _refusal(tags: str, machine: MachineSpec, requires_python: str = "") -> str | None:
    wheel_tags = [tag for text in tags.split() for tag in parse_tag(text)]
    return refusal(wheel_tags, requires_python, machine)


REFUSING = {
    **{
        name: "unsupported-python"
        for name, spec in machines.load().items()
        if spec.python != "3.13"
    },
    "debian-13-musl": "unsupported-platform",
    "debian-13-glibc-2.17": "unsupported-platform",
    "alpine": "unsupported-platform",
}
"""The machines that must refuse a release of the default subject, and the cause."""


def test_only_machines_without_a_declared_wheel_refuse_the_default_subject() -> None:
    known = machines.load().values()
    declared = {spec.name: declared_refusal(load(), spec) for spec in known}
    from_tags = {spec.name: refusal(DECLARED, ">=3.13", spec) for spec in known}
    assert {name: cause for name, cause in declared.items() if cause} == REFUSING
    assert declared == from_tags


def test_a_release_declares_the_tags_of_its_required_platforms() -> None:
    assert Tag("cp313", "cp313", "manylinux_2_28_x86_64") in DECLARED
    assert Tag("cp313", "cp313", "win_amd64") in DECLARED
    assert {tag.platform.rpartition("_")[2] for tag in DECLARED} == {"64", "amd64"}


@pytest.mark.parametrize(
    ("tags", "changes", "expected"),
    [
        ("cp313-cp313-manylinux_2_28_x86_64", {}, None),
        ("cp313-cp313-manylinux_2_41_x86_64", {}, None),
        ("cp313-cp313-manylinux_2_42_x86_64", {}, "unsupported-platform"),
        ("cp313-cp313-manylinux2014_x86_64", {"glibc": "2.17"}, None),
        ("cp313-cp313-manylinux2014_x86_64", {"glibc": "2.16"}, "unsupported-platform"),
        ("cp313-cp313-manylinux_2_28_aarch64", {}, "unsupported-platform"),
        ("cp313-cp313-linux_x86_64", {}, None),
        ("cp313-cp313-musllinux_1_2_x86_64", {}, "unsupported-platform"),
        ("cp313-cp313-musllinux_1_2_x86_64", {"glibc": "", "musl": "1.2"}, None),
        ("cp313-cp313-musllinux_1_3_x86_64", {"glibc": "", "musl": "1.2"}, "unsupported-platform"),
        ("cp313-cp313-manylinux_2_28_x86_64", {"python": "3.14"}, "unsupported-python"),
        ("cp314-cp314-manylinux_2_28_x86_64", {"python": "3.14"}, None),
        ("cp313-cp313t-manylinux_2_28_x86_64", {}, "unsupported-python"),
        ("cp313-cp313t-manylinux_2_28_x86_64", {"python": "3.13t"}, None),
        ("cp313-abi3-manylinux_2_28_x86_64", {"python": "3.14"}, None),
        ("cp313-abi3-manylinux_2_28_x86_64", {"python": "3.13t"}, "unsupported-python"),
        ("py3-none-any", {"python": "3.15"}, None),
        ("py3-none-manylinux_2_28_x86_64", {"python": "3.11"}, None),
        ("cp313-cp313-win_amd64", {}, "unsupported-platform"),
        ("cp313-cp313-win_amd64 cp312-cp312-manylinux_2_5_x86_64", {}, "unsupported-python"),
        ("cp313-cp313-win_amd64 cp313-cp313-manylinux_2_5_x86_64", {}, None),
        ("", {}, "unsupported-platform"),
    ],
)
def test_tags_decide_whether_a_machine_refuses(
    tags: str, changes: dict[str, str], expected: str | None
) -> None:
    assert _refusal(tags, _machine(**changes)) == expected


@pytest.mark.parametrize(
    ("requires_python", "expected"),
    [
        ("", None),
        (">=3.13", None),
        (">=3.13.2", None),
        ("==3.13.*", None),
        (">=3.14", "unsupported-python"),
        ("<3.13", "unsupported-python"),
        ("!=3.13.*", "unsupported-python"),
    ],
)
def test_requires_python_decides_before_the_tags(
    requires_python: str, expected: str | None
) -> None:
    assert _refusal("py3-none-any", _machine(), requires_python) == expected


def _machines_of_release(wheels: dict[str, str | None]) -> set[str]:
    """Return the Pythons of the machines that these wheels (tag to Requires-Python) fit."""
    inspected = [
        WheelInspection(
            file=f"a-1-{tag}.whl",
            sha256="0" * 64,
            size=1,
            name="a",
            version="1",
            tags=tuple(map(str, parse_tag(tag))),
            platform=None,
            requires_python=requires_python,
        )
        for tag, requires_python in wheels.items()
    ]
    known = machines.load().values()
    return {spec.python for spec in known if spec.os == "linux" and fits_release(inspected, spec)}


ORDINARY = {"3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"}
PLATFORM = "manylinux_2_17_x86_64"


@pytest.mark.parametrize(
    ("wheels", "pythons"),
    [
        ({f"cp39-abi3-{PLATFORM}": None}, ORDINARY),
        ({f"cp312-abi3-{PLATFORM}": None}, {"3.12", "3.13", "3.14", "3.15"}),
        ({f"cp39-abi3-{PLATFORM}": ">=3.10"}, ORDINARY - {"3.9"}),
        ({f"cp39-abi3-{PLATFORM}": ">=3.10", "py3-none-any": "<3.10"}, ORDINARY),
        ({"py3-none-any": None}, ORDINARY | {"3.13t", "3.14t"}),
        (
            {f"cp3{n}-cp3{n}-{PLATFORM}": None for n in (9, 11, 13)},
            {"3.9", "3.11", "3.13"},
        ),
        ({f"cp314-cp314t-{PLATFORM}": None, f"cp314-cp314-{PLATFORM}": None}, {"3.14", "3.14t"}),
        ({"cp311-abi3-win_amd64": None}, set()),
    ],
)
def test_tags_of_the_wheels_decide_on_which_pythons_a_release_works(
    wheels: dict[str, str | None], pythons: set[str]
) -> None:
    assert _machines_of_release(wheels) == pythons


def test_windows_accepts_only_wheels_for_windows() -> None:
    machine = sample_machine("wine", system="windows")
    assert _refusal("cp313-cp313-win_amd64", machine) is None
    assert _refusal("cp313-cp313-win32", machine) == "unsupported-platform"
    assert Tag("cp313", "cp313", "linux_x86_64") not in supported_tags(machine)
