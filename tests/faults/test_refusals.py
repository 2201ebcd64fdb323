"""Machines that no wheel fits, and faults that cause another result than a refusal."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from tests.faults import edits
from tests.faults.cell_runs import PIP, UV, WINDOWS, ScenarioRunner, has_facts
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause

pytestmark = pytest.mark.recorded


def _sdist(folder: Path, version: str) -> Path:
    path = folder / f"quiverdb-{version}.tar.gz"
    metadata = f"Metadata-Version: 2.1\nName: quiverdb\nVersion: {version}\n".encode()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (
            ("PKG-INFO", metadata),
            ("pyproject.toml", b"[build-system]\nrequires=[]\n"),
        ):
            info = tarfile.TarInfo(f"quiverdb-{version}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("scenario_runner", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_source_distribution_that_is_built_is_reported(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    wheel = scenario_runner.good_wheel
    source = _sdist(tmp_path, wheel.name.split("-")[1])
    with_source = scenario_runner.cause_names(
        wheel, [scenario_runner.ordinary_scenario, "no-binary"], index_files=[source]
    )
    without_source = scenario_runner.cause_names(wheel, ["no-binary"])

    assert with_source == {
        scenario_runner.ordinary_scenario: set(),
        "no-binary": {"sdist-fallback"},
    }
    assert without_source == {"no-binary": set()}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_additional_wheel_for_another_python_must_work(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    runner = scenario_runner.on("debian-forky-python-3.14", installer)
    later = edits.retagged(good_wheel, tmp_path, "cp313-cp313", "cp314-cp314")
    (tmp_path / "planted").mkdir()
    # Python 3.14 does not have this name.
    planted = wheels.mutate(later, tmp_path / "planted", **edits.added(b"from ast import Num"))

    def cause_names(*additional: Path) -> dict[str, set[str]]:
        return runner.cause_names(good_wheel, ["venv"], additional=additional)

    assert cause_names(later) == {"venv": {"unexpected-support"}}
    assert cause_names(planted) == {"venv": {"unexpected-support", "standard-library-mismatch"}}
    assert cause_names() == {"venv": set()}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_wheel_tagged_for_every_python_must_work(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    runner = scenario_runner.on("debian-forky-python-3.14", installer)

    def cause_names(case: str, code: bytes) -> dict[str, set[str]]:
        folder = tmp_path / case
        folder.mkdir()
        wheel = wheels.mutate(
            good_wheel,
            folder,
            **edits.added(code),
            rename=f"{name}-{version}-py3-none-any.whl",
        )
        return runner.cause_names(
            wheel,
            ["venv"],
        )

    assert cause_names("good", b"") == {"venv": {"unexpected-support"}}
    assert cause_names("planted", b"from ast import Num") == {
        "venv": {"unexpected-support", "standard-library-mismatch"}
    }


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize(
    ("machine", "tags"),
    [
        ("debian-12-python-3.13t", "cp313-cp313t-manylinux_2_28_x86_64"),
        ("debian-13-musl", "cp313-cp313-musllinux_1_2_x86_64"),
    ],
    ids=["free-threaded", "musl"],
)
def test_wheel_with_tags_of_another_build_is_reported(
    scenario_runner: ScenarioRunner,
    good_wheel: Path,
    tmp_path: Path,
    machine: str,
    tags: str,
    installer: str,
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    metadata = f"{name}-{version}.dist-info/METADATA"
    # The dependency has no wheel for such a machine.
    edit = {metadata: lambda data: re.sub(rb"Requires-Dist: cffi.*\n", b"", data)}
    mistagged = wheels.mutate(
        good_wheel, tmp_path, edit=edit, rename=f"{name}-{version}-{tags}.whl"
    )
    runner = scenario_runner.on(machine, installer)
    expected = {"unexpected-support", "missing-dependency"}

    assert runner.cause_names(mistagged, ["pinned"]) == {"pinned": expected}
    assert runner.cause_names(good_wheel, ["pinned"]) == {"pinned": set()}


@pytest.mark.parametrize(
    ("machine", "installer"),
    [
        ("debian-13-glibc-2.17", "pip"),
        ("debian-forky-python-3.14", "pip"),
        ("debian-13-glibc-2.17", "uv"),
        ("debian-forky-python-3.14", "uv"),
    ],
)
def test_fallback_to_an_earlier_release_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path, machine: str, installer: str
) -> None:
    runner = scenario_runner.on(machine, installer)

    def severities(old: Path) -> dict[str, dict[str, str]]:
        scenarios = runner.causes(good_wheel, ["venv", "pinned"], earlier=[old])
        return {
            name: {cause.name: cause.severity for cause in causes}
            for name, causes in scenarios.items()
        }

    usable, unusable = (
        severities(change(good_wheel, tmp_path / change.__name__))
        for change in (edits.universal, edits.pure)
    )

    assert usable == {"venv": {"silent-fallback": "flawed"}, "pinned": {}}
    assert unusable == {
        "venv": {
            "silent-fallback": "flawed",
            "unusable-fallback": "broken",
            "missing-bundled-library": "broken",
        },
        "pinned": {},
    }


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_pre_release_is_installed_only_when_it_is_pinned(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    # Without a version, the installer chooses the last final release. The fault of the pre-release
    # (its libraries have another version) affects only users who name its version.
    old = edits.universal(good_wheel, tmp_path)
    candidate = wheels.set_version(good_wheel, tmp_path, "0.5.1rc1")
    fitting = edits.retagged(candidate, tmp_path, "manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
    runner = scenario_runner.on("debian-13-glibc-2.17", installer)

    assert runner.cause_names(fitting, ["venv", "pinned"], earlier=[old]) == {
        "venv": {"silent-fallback"},
        "pinned": {"unexpected-support", "version-mismatch"},
    }
    assert runner.cause_names(candidate, ["venv", "pinned"], earlier=[old]) == {
        "venv": {"silent-fallback"},
        "pinned": set(),
    }


@pytest.mark.parametrize("scenario_runner", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_wheel_for_another_platform_fails_where_it_must_work(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    # Built on a newer system than the users have, or for another processor.
    change = {
        "debian-13": ("manylinux_2_28_x86_64", "manylinux_2_43_x86_64"),
        "windows-wine": ("win_amd64", "win_arm64"),
    }
    old = edits.earlier(scenario_runner.good_wheel, tmp_path)
    other = edits.retagged(scenario_runner.good_wheel, tmp_path, *change[scenario_runner.machine])

    def causes(wheel: Path, *earlier: Path) -> tuple[Cause, ...]:
        return scenario_runner.causes(wheel, [scenario_runner.ordinary_scenario], earlier=earlier)[
            scenario_runner.ordinary_scenario
        ]

    (fallback,) = causes(other, old)
    (refusal,) = causes(other)

    assert (fallback.name, fallback.severity) == ("silent-fallback", "broken")
    assert has_facts(fallback, installed="0.4.9", published="0.5.0")
    assert refusal.name == "unsupported-platform"
    assert refusal.facts["wheels"] == change[scenario_runner.machine][1]
    assert causes(scenario_runner.good_wheel, old) == ()
