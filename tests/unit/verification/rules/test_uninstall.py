from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    API,
    CELL,
    CFFI,
    CORE,
    FILES,
    LIBS,
    PACKAGE,
    SITE,
    Change,
    Fields,
    evidence,
    no_changes,
)
from tests.helpers.sample_expectation import EXPECTATION, Shown, only, shown, under
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.expectation import Conditions
from verification.rules import uninstall


def faults(*changes: Change) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.uninstall is not None
    return list(uninstall.removal_faults(observed, EXPECTATION, observed.uninstall))


def fault(*changes: Change) -> Shown:
    (cause,) = faults(*changes)
    return shown(cause)


def leftovers(observed: CellEvidence) -> list[str]:
    return uninstall.leftovers(observed, EXPECTATION)


def left(*paths: str, installed: tuple[str, ...] = ()) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["left"]["added"] = list(paths)
        fields["installed"]["added"] += installed

    return evidence(change)


# ---- the command ----


def test_a_clean_removal_has_no_fault() -> None:
    assert faults() == []


def test_an_uninstall_without_end_is_a_hang() -> None:
    changes = {"timed_out": True, "code": -9, "seconds": 120.0}
    expected = ("hang", f"{CELL}: uninstall", "no end after 120 s", {"seconds": 120.0})
    change = [lambda fields: fields["uninstall"].update(changes)]
    assert fault(*change, lambda fields: fields["left"]["added"].append(CORE)) == expected


def test_a_machine_that_stood_still_is_not_the_installers_hang() -> None:
    changes = {"timed_out": True, "stalled": 72.0}
    assert fault(lambda fields: fields["uninstall"].update(changes))[0] == "machine-lost"


def test_an_uninstall_that_fails_is_reported_with_its_last_error() -> None:
    changes = {"code": 2, "stderr": "ERROR: cannot uninstall, RECORD file not found\nbye\n"}
    (cause,) = faults(
        lambda fields: fields["uninstall"].update(changes),
        lambda fields: fields["left"]["added"].append(CORE),
    )
    assert shown(cause) == (
        "uninstall-failed",
        f"{CELL}: uninstall",
        "uninstall --yes quiverdb ended with 2: ERROR: cannot uninstall, RECORD file not found",
        {"code": 2},
    )
    assert cause.severity == "broken"


# ---- what remains ----


@pytest.mark.parametrize(
    "path",
    [
        CORE,
        PACKAGE,
        f"{SITE}/quiverdb-1.2.0.dist-info",
        f"{PACKAGE}/__pycache__/__init__.cpython-313.pyc",
        f"{SITE}/quiverdb/left.db",
        "/home/user/.quiverdb.log",
        "/tmp/quiver-1234",  # noqa: S108  (a path in evidence)
    ],
)
def test_what_the_package_left_behind_is_reported(path: str) -> None:
    (cause,) = faults(lambda fields: fields["left"]["added"].append(path))
    assert cause.severity == "flawed"
    assert shown(cause) == (
        "uninstall-leftover",
        f"{CELL}: uninstall",
        f"1 paths are left, first {path}",
        {"count": 1, "paths": (path,)},
    )


def test_the_first_paths_of_many_are_named() -> None:
    paths = [f"/home/user/{number}" for number in range(5)]
    found = fault(lambda fields: fields["left"]["added"].extend(paths))
    assert found[2] == f"5 paths are left, first {', '.join(paths[:3])}"
    assert found[3] == {"count": 5, "paths": tuple(paths[:3])}


@pytest.mark.parametrize(
    "path",
    [
        CFFI,
        f"{SITE}/cffi/__pycache__/api.cpython-313.pyc",
        "/usr/lib/python3.13/__pycache__/json.cpython-313.pyc",
        "/home/user/.cache",
        "/home/user/.cache/pip",
        "/home/user/.cache/pip/http-v2/a/b",
        "/home/user/.cache/uv/wheels/a",
    ],
)
def test_dependencies_their_bytecode_and_caches_are_no_leftovers(path: str) -> None:
    assert leftovers(left(path)) == []


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_caches_on_windows_are_no_leftovers(name: str) -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["left"]["added"] = [f"C:\\users\\user\\AppData\\Local\\{name}\\cache\\a"]

    assert leftovers(evidence(change)) == []


def test_a_cache_that_holds_the_package_is_searched() -> None:
    path = f"/home/user/.cache/uv/a{PACKAGE}/x"
    kept = under(Conditions(keeps_in_cache=True))
    assert uninstall.leftovers(left(path), kept) == [path]
    assert leftovers(left(path)) == []


def test_leftovers_are_known_by_name_where_record_could_not_be_read() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"] = None
        fields["left"]["added"] += [CORE, f"{SITE}/cffi/__pycache__"]

    assert leftovers(evidence(change)) == [CORE]


def test_a_file_of_record_outside_the_package_is_a_leftover() -> None:
    script = "/home/user/venv/bin/quiver"

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["files"].append(script)

    observed = evidence(
        change,
        lambda fields: fields["installed"]["added"].append(script),
        lambda fields: fields["left"]["added"].append(script),
    )
    assert leftovers(observed) == [script]


def test_a_folder_that_still_holds_a_dependency_is_no_leftover() -> None:
    assert leftovers(left(SITE, CFFI, installed=(SITE,))) == []
    assert leftovers(left(SITE, installed=(SITE,))) == [SITE]


# ---- the machine and other distributions ----


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_a_file_of_the_machine_that_was_touched_is_reported(kind: str) -> None:
    (cause,) = faults(lambda fields: fields["left"][kind].extend(["/usr/bin/python3", "/b"]))
    assert cause.severity == "broken"
    assert shown(cause) == (
        "machine-changed",
        f"{CELL}: uninstall",
        "2 files of the machine were changed or removed, first /usr/bin/python3",
        {"count": 2, "path": "/usr/bin/python3"},
    )


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_a_file_of_another_distribution_that_was_touched_is_reported(kind: str) -> None:
    bytecode, cache = f"{SITE}/cffi/__pycache__/api.pyc", "/home/user/.cache/pip/x"

    def change(fields: Fields) -> None:
        fields["installed"]["added"] += [bytecode, cache]
        touched = [*FILES, PACKAGE, LIBS, bytecode, cache, CFFI, "/home/user/new"]
        fields["since_installed"][kind] = touched

    (cause,) = faults(change)
    assert cause.severity == "broken"
    assert shown(cause) == (
        "dependency-damaged",
        f"{CELL}: uninstall",
        f"1 files of other distributions were changed or removed, first {CFFI}",
        {"count": 1, "path": CFFI},
    )


def test_an_environment_that_is_removed_takes_other_distributions_with_it() -> None:
    info = f"{SITE}/cffi-2.0.0.dist-info"

    def change(fields: Fields) -> None:
        fields["installed"]["added"].append(info)
        fields["since_installed"]["removed"] = [SITE, CFFI, info, *FILES, PACKAGE, LIBS]

    assert faults(change) == []


def test_the_packages_own_metadata_is_no_other_distribution() -> None:
    own = f"{SITE}/quiverdb-1.2.0.dist-info"

    def change(fields: Fields) -> None:
        fields["since_installed"]["removed"] = [own, API, CFFI]

    assert fault(change)[0] == "dependency-damaged"


# ---- Windows ----


@pytest.mark.parametrize(
    ("path", "forbidden"),
    [
        ("C:\\Windows\\x.dll", True),
        ("c:\\windows\\system32\\x.dll", True),
        ("C:\\Program Files\\x", True),
        ("C:\\Program Files (x86)\\x", True),
        ("C:\\Windows\\Temp\\x", False),
        ("D:\\Windows\\x", False),
        ("C:\\users\\user\\C:\\Windows\\x", False),
    ],
)
def test_a_path_that_only_an_administrator_may_write_is_reported(
    path: str, forbidden: bool
) -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"].append(path)
        fields["left"]["added"] = ["C:\\a", path, path]

    found = [shown(cause) for cause in faults(change) if cause.name == "permission"]
    observed = f"it wrote {path}, which an ordinary user of Windows may not do"
    expected = ("permission", f"{CELL}: uninstall", observed, {"path": path})
    assert found == ([expected] if forbidden else [])


def test_such_a_path_on_linux_is_an_ordinary_name() -> None:
    found = faults(lambda fields: fields["left"]["added"].append("C:\\Windows\\x"))
    assert [cause.name for cause in found] == ["uninstall-leftover"]


def registry(**changes: list[str]) -> CellEvidence:
    return evidence(lambda fields: fields.update(registry=no_changes() | changes))


@pytest.mark.parametrize("verb", ["added", "removed", "changed"])
def test_what_stays_changed_in_the_users_registry_is_reported(verb: str) -> None:
    keys = ["HKCU\\Environment:Path", "HKCU\\Software\\x"]
    (cause,) = uninstall.registry_changes(registry(**{verb: keys}))
    assert cause.severity == "flawed"
    assert shown(cause) == (
        "registry-changed",
        f"{CELL}: registry",
        f"2 keys or values were {verb} and stay so, first {keys[0]}",
        {"count": 2, "key": keys[0]},
    )


@pytest.mark.parametrize("verb", ["added", "removed", "changed"])
def test_what_was_changed_for_all_users_is_forbidden(verb: str) -> None:
    key = "HKLM\\Software\\Classes"
    assert only(uninstall.registry_changes(registry(**{verb: [key, f"{key}\\b"]}))) == (
        "permission",
        f"{CELL}: registry",
        f"{key} was {verb}, which an ordinary user of Windows may not do",
        {"key": key},
    )


@pytest.mark.parametrize(
    ("key", "reported"),
    [
        ("HKCU\\Software\\Policies", False),
        ("HKCU\\Software\\Policies\\Microsoft", False),
        ("hkcu\\software\\policies\\microsoft\\systemcertificates\\CA", False),
        ("HKLM\\Software\\Microsoft\\SystemCertificates\\ROOT", False),
        ("HKCU\\Software\\Microsoft\\SystemCertificates", False),
        ("HKCU\\Software\\Microsoft\\SystemCertificatesX", True),
        ("HKCU\\Software\\Policies\\Microsoft\\Edge", True),
        ("HKCU\\Software\\Policies\\Other", True),
        ("HKCU\\X\\HKCU\\Software\\Policies", True),
    ],
)
def test_windows_keeps_certificates_and_policies_itself(key: str, reported: bool) -> None:
    assert bool(list(uninstall.registry_changes(registry(added=[key])))) == reported
