"""Where the release cannot work: faults that turn a clean refusal into something else."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from containers import wheelhouse
from tests.faults import edits
from tests.faults.place import PIP, UV, WINDOWS, Place
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause
from verification.subjects.subject import load as load_subject

pytestmark = pytest.mark.recorded


def _sdist(folder: Path, version: str) -> Path:
    path = folder / f"quiverdb-{version}.tar.gz"
    about = f"Metadata-Version: 2.1\nName: quiverdb\nVersion: {version}\n".encode()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (
            ("PKG-INFO", about),
            ("pyproject.toml", b"[build-system]\nrequires=[]\n"),
        ):
            info = tarfile.TarInfo(f"quiverdb-{version}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("place", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_a_source_beside_the_wheels_is_built_where_none_fits(place: Place, tmp_path: Path) -> None:
    wheel = place.good
    source = _sdist(tmp_path, wheel.name.split("-")[1])
    seen = place.names(wheel, [place.plain, "no-binary"], beside=[source])
    clean = place.names(wheel, ["no-binary"])

    assert seen == {place.plain: set(), "no-binary": {"sdist-fallback"}}
    assert clean == {"no-binary": set()}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_wheel_for_a_python_that_was_promised_none(
    place: Place, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    there = place.at("debian-forky-python-3.14", installer)
    more = wheelhouse.dependencies_for(load_subject().dependencies, "3.14")
    later = edits.retagged(good_wheel, tmp_path, "cp313-cp313", "cp314-cp314")
    (tmp_path / "planted").mkdir()
    # What Python 3.14 has no more.
    planted = wheels.mutate(later, tmp_path / "planted", **edits.added(b"from ast import Num"))

    def judged(*also: Path) -> dict[str, set[str]]:
        return there.names(good_wheel, ["venv"], also=also, beside=more)

    assert judged(later) == {"venv": {"unexpected-support"}}
    assert judged(planted) == {"venv": {"unexpected-support", "standard-library-mismatch"}}
    assert judged() == {"venv": set()}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_wheel_that_says_it_is_for_every_python(
    place: Place, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    there = place.at("debian-forky-python-3.14", installer)

    def judged(case: str, code: bytes) -> dict[str, set[str]]:
        folder = tmp_path / case
        folder.mkdir()
        lax = wheels.mutate(
            good_wheel,
            folder,
            **edits.added(code),
            rename=f"{name}-{version}-py3-none-any.whl",
        )
        return there.names(
            lax, ["venv"], beside=wheelhouse.dependencies_for(load_subject().dependencies, "3.14")
        )

    assert judged("good", b"") == {"venv": {"unexpected-support"}}
    assert judged("planted", b"from ast import Num") == {
        "venv": {"unexpected-support", "standard-library-mismatch"}
    }


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize(
    ("machine", "tags", "cause"),
    [
        ("debian-12-python-3.13t", "cp313-cp313t-manylinux_2_28_x86_64", "missing-dependency"),
        ("debian-13-musl", "cp313-cp313-musllinux_1_2_x86_64", "missing-dependency"),
    ],
)
def test_a_wheel_tagged_for_what_it_was_not_built_for(
    place: Place,
    good_wheel: Path,
    tmp_path: Path,
    machine: str,
    tags: str,
    cause: str,
    installer: str,
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    about = f"{name}-{version}.dist-info/METADATA"
    # Without the dependency, of which there is no wheel for such a machine either.
    edit = {about: lambda data: re.sub(rb"Requires-Dist: cffi.*\n", b"", data)}
    lax = wheels.mutate(good_wheel, tmp_path, edit=edit, rename=f"{name}-{version}-{tags}.whl")
    seen = place.at(machine, installer).names(lax, ["pinned"])
    clean = place.at(machine, installer).names(good_wheel, ["pinned"])

    assert seen == {"pinned": {"unexpected-support", cause}}
    assert clean == {"pinned": set()}


@pytest.mark.parametrize(
    ("machine", "installer"),
    [
        ("debian-13-glibc-2.17", "pip"),
        ("debian-forky-python-3.14", "pip"),
        ("debian-13-glibc-2.17", "uv"),
        ("debian-forky-python-3.14", "uv"),
    ],
)
def test_an_older_release_that_every_machine_takes(
    place: Place, good_wheel: Path, tmp_path: Path, machine: str, installer: str
) -> None:
    there = place.at(machine, installer)
    more = wheelhouse.dependencies_for(load_subject().dependencies, "3.14")

    def judged(old: Path) -> dict[str, dict[str, str]]:
        ways = there.causes(good_wheel, ["venv", "pinned"], earlier=[old], beside=more)
        return {way: {cause.name: cause.severity for cause in ways[way]} for way in ways}

    usable, unusable = (
        judged(change(good_wheel, tmp_path / change.__name__))
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
def test_a_candidate_that_the_ordinary_way_passes_over(
    place: Place, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    # Who does not name it gets the last release that is final; what is wrong with it, here that its
    # libraries are of another version, shows itself to those alone who name it.
    old = edits.universal(good_wheel, tmp_path)
    candidate = wheels.set_version(good_wheel, tmp_path, "0.5.1rc1")
    lax = edits.retagged(candidate, tmp_path, "manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
    there = place.at("debian-13-glibc-2.17", installer)
    seen, clean = (
        there.names(wheel, ["venv", "pinned"], earlier=[old]) for wheel in (lax, candidate)
    )

    assert seen == {
        "venv": {"silent-fallback"},
        "pinned": {"unexpected-support", "version-mismatch"},
    }
    assert clean == {"venv": {"silent-fallback"}, "pinned": set()}


@pytest.mark.parametrize("place", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_a_release_that_a_machine_cannot_take_where_it_must_work(
    place: Place, tmp_path: Path
) -> None:
    # Built on a newer system than the users', and on a runner with another processor.
    change = {
        "debian-13": ("manylinux_2_28_x86_64", "manylinux_2_43_x86_64"),
        "windows-wine": ("win_amd64", "win_arm64"),
    }
    old = edits.earlier(place.good, tmp_path)
    other = edits.retagged(place.good, tmp_path, *change[place.machine])

    def judged(wheel: Path, *earlier: Path) -> tuple[Cause, ...]:
        return place.causes(wheel, [place.plain], earlier=earlier)[place.plain]

    (taken,) = judged(other, old)
    (refused,) = judged(other)

    assert (taken.name, taken.severity) == ("silent-fallback", "broken")
    assert "0.4.9 was installed, published was 0.5.0" in taken.message
    assert refused.name == "unsupported-platform"
    assert ("Windows on AMD64" if place.plain == "system" else "glibc") in refused.message
    assert judged(place.good, old) == ()
