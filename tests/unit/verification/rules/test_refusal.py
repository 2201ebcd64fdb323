from __future__ import annotations

from typing import Any

import pytest

from verification.models.cause import Cause
from verification.rules import refusal
from verification.rules.catalogue import catalogue

PIP = (
    "ERROR: Could not find a version that satisfies the requirement quiverdb (from versions: )\n"
    "ERROR: No matching distribution found for quiverdb\n"
)
UV = (
    "Using Python 3.14.8 environment at: /home/user/venv\n"
    "error: No solution found when resolving dependencies\n"
    "  cause: Because quiverdb==0.5.0 has no wheels with a matching Python ABI tag\n"
)
PROPER = catalogue().cause("unsupported-python", where="c", seen="refused")
PAGE = {"status": 200, "path": "/simple/quiverdb/"}
SITE = "/home/user/venv/lib/python3.14/site-packages"


def _evidence(output: str = PIP, **changes: Any) -> dict[str, Any]:
    return {
        "cell": {"id": "c"},
        "install": {"command": ["pip", "install", "quiverdb"], "code": 1,
                    "stdout": "", "stderr": output},
        "requests": [PAGE],
        **changes,
        "installed": {"added": [], "removed": [], "changed": [], **changes.get("installed", {})},
    }  # fmt: skip


def _judge(evidence: dict[str, Any], found: Cause | None = PROPER) -> list[Cause]:
    return list(refusal.judge(evidence, "unsupported-python", found, "quiverdb"))


@pytest.mark.parametrize("output", [PIP, UV], ids=["pip", "uv"])
def test_a_refusal_in_words_is_clean(output: str) -> None:
    assert _judge(_evidence(output)) == []
    assert any("quiverdb" in line for line in refusal.words(_evidence(output)))


@pytest.mark.parametrize(
    "path",
    [
        "/home/user/.cache/pip/http",
        "/home/user/venv/.lock",
        "/tmp/uv-1d87.lock",  # noqa: S108  (a path in evidence)
        f"{SITE}/__pycache__/x.pyc",
    ],
)
def test_what_the_installer_keeps_of_its_own_is_no_trace(path: str) -> None:
    assert _judge(_evidence(installed={"added": [path]})) == []


@pytest.mark.parametrize("name", ["unsupported-python", "unsupported-platform"])
def test_either_reason_is_a_proper_refusal(name: str) -> None:
    assert _judge(_evidence(), catalogue().cause(name, where="c", seen="refused")) == []


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_a_file_left_behind_removed_or_changed_is_told(change: str) -> None:
    (cause,) = _judge(_evidence(installed={change: [f"{SITE}/cffi/api.py"]}))
    assert cause.name == "unclean-refusal"
    assert "cffi/api.py" in cause.message
    assert {"added": "left"}.get(change, change) in cause.message


def test_a_file_left_in_pythons_own_folder_on_windows_is_told() -> None:
    local = "C:\\users\\user\\AppData\\Local"
    site = f"{local}\\Programs\\Python\\Python313\\Lib\\site-packages"
    left = [f"{site}\\quiverdb", f"{local}\\pip\\cache\\x"]
    (cause,) = _judge(_evidence(installed={"added": left}, os="windows"))
    assert cause.name == "unclean-refusal"
    assert "left 1 paths" in cause.message


def test_a_refusal_without_words_is_told() -> None:
    (cause,) = _judge(_evidence("Killed\n"))
    assert (cause.name, "said nothing" in cause.message) == ("unclean-refusal", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": [{"file": "quiverdb-0.1.0.tar.gz", "status": 200, "path": "/packages/x"}]},
        {"output": PIP + "  Preparing metadata (pyproject.toml): started\n"},
    ],
    ids=["fetched", "built"],
)
def test_a_source_that_is_fetched_or_built_is_told(changes: dict[str, Any]) -> None:
    (cause,) = _judge(_evidence(**changes))
    assert cause.name == "sdist-fallback"


def test_an_older_release_is_known_by_a_name_that_is_written_otherwise() -> None:
    steps = {"distributions": {"value": {"Quiver_DB": {"version": "0.1.0", "folder": SITE}}}}
    evidence = _evidence("", exercise={"steps": steps})
    (cause,) = refusal.judge(evidence, "unsupported-python", None, "quiver-db", "0.5.0")
    assert cause.name == "silent-fallback"


@pytest.mark.parametrize(
    "line",
    [
        {"file": "quiverdb-0.1.0.tar.gz", "status": 404, "path": "/packages/x"},
        {"file": "quiverdb-0.1.0.tar.gz", "status": 200, "path": "/packages/x.tar.gz.metadata"},
        {"file": "quiverdb-0.5.0-py3-none-any.whl", "status": 200, "path": "/packages/x"},
    ],
)
def test_other_requests_are_no_source(line: dict[str, Any]) -> None:
    assert _judge(_evidence(requests=[PAGE, line])) == []


def test_another_cause_stands_for_itself() -> None:
    other = catalogue().cause("missing-dependency", where="c", seen="needs cffi")
    assert _judge(_evidence(), other) == [other]


def test_an_older_release_that_was_taken_is_named_and_is_not_this_ones_fault() -> None:
    steps = {"distributions": {"value": {"quiverdb": {"version": "0.1.0"}}}}
    (cause,) = _judge(_evidence("", exercise={"steps": steps}), None)
    assert (cause.name, cause.severity) == ("silent-fallback", "flawed")
    assert "took quiverdb 0.1.0" in cause.message
    assert "Yank" in cause.remedy


def test_the_release_itself_installed_where_it_cannot_work_is_told() -> None:
    steps = {"distributions": {"value": {"quiverdb": {"version": "0.5.0"}}}}
    evidence = _evidence("", exercise={"steps": steps})
    (cause,) = refusal.judge(evidence, "unsupported-python", None, "quiverdb", "0.5.0")
    assert cause.name == "unclean-refusal"


def _needing(*versions: str, known: bool = False) -> list[Cause]:
    """Judge a refusal for want of a dependency, after a look into these releases.

    It is ``known`` to the index, or is nowhere.
    """
    missing = catalogue().cause("missing-dependency", where="c", seen="needs cffi>=2.0.0")
    files = [f"quiverdb-{version}-py3-none-any.whl.metadata" for version in versions]
    requests = [{"file": file, "status": 200, "path": f"/packages/{file}"} for file in files]
    if known:
        requests.append({"status": 200, "path": "/simple/cffi/"})
    evidence = _evidence(requests=requests)
    return list(refusal.judge(evidence, "unsupported-python", missing, "quiverdb", "0.13.5"))


def test_an_older_release_that_was_tried_and_cannot_be_had_is_a_fallback_all_the_same() -> None:
    (cause,) = _needing("0.1.0")
    assert (cause.name, cause.severity) == ("silent-fallback", "flawed")
    assert "tried quiverdb 0.1.0" in cause.message
    assert "needs cffi>=2.0.0" in cause.message


def test_a_dependency_that_the_release_lacks_is_its_own_fault() -> None:
    assert [cause.name for cause in _needing()] == ["missing-dependency"]


def test_a_dependency_that_the_index_does_not_know_is_the_releases_own_fault() -> None:
    assert [cause.name for cause in _needing("0.13.5")] == ["missing-dependency"]


@pytest.mark.parametrize("versions", [("0.13.5",), ("0.1.0", "0.13.5")])
def test_a_wheel_that_fits_is_kept_out_by_what_it_needs(versions: tuple[str, ...]) -> None:
    (cause,) = _needing(*versions, known=True)
    assert (cause.name, cause.severity) == ("dependency-not-fitting", "flawed")
    assert "quiverdb-0.13.5-py3-none-any.whl fits, and needs cffi>=2.0.0" in cause.message


BUILDING = "Collecting cffi>=2.0.0\n  Installing build dependencies: started\n"


def _building(*versions: str) -> list[Cause]:
    """Judge an installer that builds a source, after a look into these releases."""
    files = [f"quiverdb-{version}-py3-none-any.whl.metadata" for version in versions]
    requests = [{"file": file, "status": 200, "path": f"/packages/{file}"} for file in files]
    requests.append({"file": "cffi-2.1.1.tar.gz", "status": 200, "path": "/packages/cffi.tar.gz"})
    evidence = _evidence(BUILDING, requests=requests)
    return list(refusal.judge(evidence, "unsupported-python", PROPER, "quiverdb", "0.13.5"))


def test_building_what_an_older_release_needs_is_that_releases_fault() -> None:
    (cause,) = _building("0.1.0")
    assert (cause.name, cause.severity) == ("silent-fallback", "flawed")
    assert "tried quiverdb 0.1.0 and began to build what that one needs" in cause.message


def test_building_where_no_wheel_fits_is_the_releases_own_fault() -> None:
    (cause,) = _building()
    assert (cause.name, cause.severity) == ("sdist-fallback", "broken")


def test_building_what_a_wheel_needs_that_fits_is_told_with_its_name() -> None:
    (cause,) = _building("0.13.5")
    assert (cause.name, cause.severity) == ("dependency-not-fitting", "flawed")
    assert "of what it needs the installer took the source, cffi-2.1.1.tar.gz" in cause.message
