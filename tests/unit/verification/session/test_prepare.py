"""What a gate makes of the words of twine, and of the wheel that a machine was given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from containers.engine import Engine, Run
from containers.network import NetworkHandle
from containers.testbed import Testbed
from tests.helpers.sample_wheels import SUBJECT
from tests.helpers.wheel_builder import LINUX_TAG
from verification.models.release import Release, ReleaseFile
from verification.models.testbed import IndexHosts
from verification.session import prepare as gate

MUSL = "cp313-cp313-musllinux_1_2_x86_64"

INDEX = """\
Uploading distributions to https://index.invalid/legacy/
\x1b[34mINFO    \x1b[0m /dist/quiverdb-0.5.0-cp313-cp313-win_amd64.whl (404.2 KB)
Uploading quiverdb-0.5.0-cp313-cp313-win_amd64.whl
\x1b[34mINFO    \x1b[0m Response from https://index.invalid/legacy/:
         400 'Klingon' is not a valid classifier. See the core metadata specification.
\x1b[31mERROR   \x1b[0m HTTPError: 400 Bad Request from https://index.invalid/legacy/
         'Klingon' is not a valid classifier. See the core metadata
         specification.

"""
TWINE = """\
Uploading distributions to https://index.invalid/legacy/
ERROR    InvalidDistribution: Invalid distribution metadata: 'Proprietary Thing'
         is invalid for 'license-expression'
"""
OTHER = """\
Traceback (most recent call last):
  File "/usr/bin/twine", line 8, in <module>

requests.exceptions.ConnectionError: nobody answers
"""


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            INDEX,
            "the index refused the upload (HTTPError: 400 Bad Request from "
            "https://index.invalid/legacy/ 'Klingon' is not a valid classifier. See the core "
            "metadata specification.)",
        ),
        (
            TWINE,
            "twine refused the file before it was uploaded (InvalidDistribution: Invalid "
            "distribution metadata: 'Proprietary Thing' is invalid for 'license-expression')",
        ),
        (
            OTHER,
            "the index refused the upload (Traceback (most recent call last): File "
            '"/usr/bin/twine", line 8, in <module> requests.exceptions.ConnectionError: nobody '
            "answers)",
        ),
        ("\n", "the index refused the upload (it said nothing)"),
    ],
    ids=["index", "twine", "neither", "silent"],
)
def test_who_refused_an_upload_is_told_with_the_reason(output: str, told: str) -> None:
    assert gate.who_refused(output) == told


def _prepared(folder: Path) -> gate.Prepared:
    names = (f"x-1.0-{tag}.whl" for tag in (LINUX_TAG, MUSL, "cp314-cp314-manylinux_2_28_x86_64"))
    wheels = tuple(ReleaseFile(path=folder / name, sha256="0" * 64) for name in names)
    house = Release(origin="wheels", location="x", version="1.0", wheels=wheels)
    network = NetworkHandle(
        engine=Engine(url="", origin="", version="", os="linux"),
        run=Run(id="1", owner="1"),
        name="",
        ca_certificate="",
    )
    hosts = IndexHosts(index="", files="", upload="")
    bed = Testbed(network=network, index="", hosts=hosts)
    return gate.Prepared(bed, house, {}, {}, ())


def _asked(file: str, *, status: int = 200, end: str = "") -> dict[str, Any]:
    return {"file": file, "status": status, "path": f"/packages/{file}{end}"}


def test_a_machine_was_given_the_wheel_that_it_had_whole(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path)
    linux, musl, later = (path.name for path in prepared.wheelhouse.wheels)
    asked = [
        {"path": "/simple/x/", "status": 200},
        _asked(linux, end=".metadata"),
        _asked(musl, status=404),
        _asked("other-1.0-py3-none-any.whl"),
        _asked(later),
    ]
    assert prepared.given({"requests": asked}) == later
    assert prepared.given({"requests": asked[:-1]}) == ""
    assert prepared.given({}) == ""


@pytest.mark.parametrize(("version", "known"), [("1.0", True), ("0.9", False)])
def test_without_an_index_the_tags_of_what_is_installed_tell(
    tmp_path: Path, version: str, known: bool
) -> None:
    prepared = _prepared(tmp_path)
    steps = {
        "record": {"value": {"tags": [MUSL, "broken"]}},
        "distributions": {"value": {"x": {"version": version, "folder": "/"}}},
    }
    told = {"requests": [], "exercise": {"steps": steps}}
    assert prepared.given(told) == (prepared.wheelhouse.wheels[1].name if known else "")


def test_the_libraries_are_those_of_the_wheel_that_a_machine_was_given(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path)
    linux = SUBJECT.platforms[0].model_copy(
        update={"libraries": ("_x.cpython-313-x86_64-linux-gnu.so",)}
    )
    subject = SUBJECT.model_copy(update={"platforms": (linux,)})
    found = [
        prepared.expected(subject, "linux", {"requests": [_asked(path.name)]}).libraries
        for path in prepared.wheelhouse.wheels
    ]
    assert found == [
        ("_x.cpython-313-x86_64-linux-gnu.so",),
        ("_x.cpython-313-x86_64-linux-musl.so",),
        ("_x.cpython-314-x86_64-linux-gnu.so",),
    ]
    assert prepared.expected(subject, "linux").libraries == linux.libraries


def test_what_cannot_be_had_counts_for_its_own_system(tmp_path: Path) -> None:
    names = (
        "x-1.0-cp314-cp314-win_amd64.whl",
        f"x-1.0-{MUSL}.whl",
        "x-1.0-pp311-none-win_amd64.whl",
    )
    every = dict.fromkeys((*names, "its other wheels"), "404")
    prepared = _prepared(tmp_path)
    house = prepared.wheelhouse.model_copy(update={"not_fetched": every})
    prepared = dataclasses.replace(prepared, wheelhouse=house)
    found = {system: gate.lost(prepared, SUBJECT, system) for system in ("linux", "windows")}
    assert found == {
        "linux": [f"{names[1]}: 404", "its other wheels: 404"],
        "windows": [f"{names[0]}: 404", "its other wheels: 404"],
    }
