from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from tests.helpers.sample_evidence import FILES, SITE, WHEEL, Fields, evidence, request
from tests.helpers.sample_expectation import EXPECTATION
from verification.models.evidence import CellEvidence
from verification.rules import install_paths as paths


def distributions(value: Fields | None) -> CellEvidence:
    return evidence(lambda fields: fields["exercise"]["steps"]["distributions"].update(value=value))


def test_paths_are_of_the_machines_operating_system() -> None:
    windows = evidence(lambda fields: fields.update(os="windows"))
    assert paths.path_type(evidence()) is PurePosixPath
    assert paths.path_type(windows) is PureWindowsPath
    assert PurePosixPath(FILES[0]) in paths.added_paths(evidence())
    assert PureWindowsPath(FILES[0].upper()) in paths.added_paths(windows)


def test_distributions_have_normalised_names() -> None:
    value = {
        "Quiver_DB": {"version": "1.0", "folder": SITE},
        "x": {"version": None, "folder": "/"},
    }
    assert paths.distributions(distributions(value)) == {
        "quiver-db": paths.Distribution("Quiver_DB", "1.0", SITE),
        "x": paths.Distribution("x", "", "/"),
    }
    assert paths.distributions(distributions(None)) == {}
    assert paths.distributions(evidence(lambda fields: fields.pop("exercise"))) == {}


def test_top_level_name_is_the_first_part_in_a_folder_of_packages() -> None:
    for path, name in (
        (f"{SITE}/cffi/api.py", "cffi"),
        (f"{SITE}/one.py", "one.py"),
        ("/usr/lib/python3/dist-packages/cffi/api.py", "cffi"),
        ("/usr/lib/python3.13/json/decoder.py", None),
        (SITE, None),
    ):
        assert paths.top_level_name(PurePosixPath(path)) == name


def test_installed_version_uses_the_normalised_name() -> None:
    observed = distributions({"Quiver_DB": {"version": "1.0", "folder": SITE}})
    assert paths.installed_version(observed, "quiver.db") == "1.0"
    assert paths.installed_version(observed, "other") == ""


@pytest.mark.parametrize(
    ("version", "chosen"), [("1.2.0", True), ("1.2", True), ("1.1.0", False), ("", True)]
)
def test_release_is_chosen_if_it_is_installed(version: str, chosen: bool) -> None:
    value = {"quiverdb": {"version": version, "folder": SITE}} if version else {}
    assert paths.chose_release(distributions(value), EXPECTATION) == chosen


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        (request(f"/packages/{WHEEL}", WHEEL), True),
        (request(f"/packages/{WHEEL}", WHEEL, status=404), False),
        (request("/packages/other.whl", "other.whl"), False),
    ],
)
def test_release_is_chosen_if_it_was_served_before_a_crash(line: Fields, chosen: bool) -> None:
    observed = evidence(
        lambda fields: fields.pop("exercise"), lambda fields: fields.update(requests=[line])
    )
    assert paths.chose_release(observed, EXPECTATION) == chosen


def test_a_failed_or_missing_installation_chose_no_release() -> None:
    failed = evidence(lambda fields: fields["install"].update(code=1))
    assert not paths.chose_release(failed, EXPECTATION)
    assert not paths.chose_release(evidence(lambda fields: fields.pop("install")), EXPECTATION)


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ("1.2", "1.2.0", False),
        ("1.2.0", "1.2.1", True),
        ("1.0rc1", "1.0.rc1", False),
        ("strange!", "strange!", False),
        ("strange!", "1.0", True),
        ("", "1.0", True),
    ],
)
def test_versions_compare_by_value(first: str, second: str, differ: bool) -> None:
    assert paths.is_other_version(first, second) == differ


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/user/.cache", True),
        ("/home/user/.cache/pip", True),
        ("/home/user/.cache/uv/a/b", True),
        ("/home/user/.cache/other", False),
        ("/home/user/pip/.cache/x", False),
        ("/home/user/pip", False),
    ],
)
def test_only_caches_of_installers_are_caches(path: str, expected: bool) -> None:
    assert paths.is_cache(PurePosixPath(path)) == expected


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_caches_on_windows_are_in_the_local_folder(name: str) -> None:
    home = "C:\\users\\user\\AppData"
    assert paths.is_cache(PureWindowsPath(f"{home}\\Local\\{name}\\cache\\a"))
    assert not paths.is_cache(PureWindowsPath(f"{home}\\Roaming\\{name}\\cache\\a"))


def test_path_is_within_a_package_by_its_parts() -> None:
    assert paths.is_within(PurePosixPath("/x/quiverdb/a.py"), "quiverdb")
    assert not paths.is_within(PurePosixPath("/x/quiverdb-1.0/a.py"), "quiverdb")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libx.so", True),
        ("LIBX.so", True),
        ("libx.so.0.1", True),
        ("libx.sox", False),
        ("libx_y.so", False),
        ("liby.so", True),
    ],
)
def test_bundled_library_has_any_version_suffix(name: str, expected: bool) -> None:
    assert paths.is_bundled(name, ("libX.so", "liby.so")) == expected
