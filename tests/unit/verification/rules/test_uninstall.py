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
from tests.helpers.sample_expectation import (
    EXPECTATION,
    Summary,
    only_cause,
    summary,
    with_conditions,
)
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.expectation import Conditions
from verification.rules import uninstall


def causes_of(*changes: Change) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.uninstall is not None
    return list(uninstall.removal_causes(observed, EXPECTATION, observed.uninstall))


def fault(*changes: Change) -> Summary:
    (cause,) = causes_of(*changes)
    return summary(cause)


def leftovers(observed: CellEvidence) -> list[str]:
    return uninstall.leftovers(observed, EXPECTATION)


def remaining(*paths: str, installed: tuple[str, ...] = ()) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["left"]["added"] = list(paths)
        fields["installed"]["added"] += installed

    return evidence(change)


# ---- the command ----


def test_clean_removal_has_no_cause() -> None:
    assert causes_of() == []


def overwritten(*paths: str) -> Change:
    """Return a change: the installation overwrote these files, and the removal removed them."""

    def change(fields: Fields) -> None:
        fields["installed"]["changed"] = list(paths)
        fields["exercise"]["steps"]["record"]["value"]["files"] += paths
        fields["left"]["removed"] = list(paths)

    return change


def test_overwritten_files_of_pip_are_reported_with_its_name() -> None:
    files = [f"{SITE}/pip/__init__.py", f"{SITE}/pip/_vendor/__init__.py"]
    first, second = causes_of(overwritten(*files))
    assert (first.name, first.severity) == ("dependency-overwritten", "broken")
    assert first.facts == {"distribution": "pip", "count": 2, "path": files[0]}
    assert (second.name, second.follows) == ("machine-changed", "dependency-overwritten")


def test_removal_by_an_overwritten_pip_is_a_consequence() -> None:
    command = "/home/user/venv/bin/pip"
    first, second = causes_of(
        overwritten(command), lambda fields: fields["uninstall"].update(code=1, stderr="x")
    )
    assert (first.name, first.facts["distribution"]) == ("dependency-overwritten", "pip")
    assert (second.name, second.follows) == ("uninstall-failed", "dependency-overwritten")


def test_other_changed_file_of_the_machine_is_no_consequence() -> None:
    def change(fields: Fields) -> None:
        overwritten(f"{SITE}/pip/__init__.py")(fields)
        fields["left"]["changed"] = ["/home/user/.bashrc"]

    causes = {cause.name: cause.follows for cause in causes_of(change)}
    assert causes == {"dependency-overwritten": "", "machine-changed": ""}


def test_removal_that_runs_after_its_time_limit_is_a_hang() -> None:
    changes = {"timed_out": True, "code": -9, "seconds": 120.0}
    expected = ("hang", f"{CELL}: uninstall", {"seconds": 120.0})
    change = [lambda fields: fields["uninstall"].update(changes)]
    assert fault(*change, lambda fields: fields["left"]["added"].append(CORE)) == expected


def test_hang_of_a_stalled_machine_is_a_testbed_failure() -> None:
    changes = {"timed_out": True, "stalled": 72.0}
    assert fault(lambda fields: fields["uninstall"].update(changes))[0] == "machine-lost"


def test_failed_removal_is_reported_with_its_last_error() -> None:
    changes = {"code": 2, "stderr": "ERROR: cannot uninstall, RECORD file not found\nbye\n"}
    (cause,) = causes_of(
        lambda fields: fields["uninstall"].update(changes),
        lambda fields: fields["left"]["added"].append(CORE),
    )
    assert summary(cause) == (
        "uninstall-failed",
        f"{CELL}: uninstall",
        {
            "command": "uninstall --yes quiverdb",
            "code": 2,
            "error": "ERROR: cannot uninstall, RECORD file not found",
        },
    )
    assert cause.severity == "broken"


# ---- what remains ----


@pytest.mark.parametrize(
    "path",
    [
        CORE,
        f"{SITE}/quiverdb-1.2.0.dist-info/RECORD",
        f"{PACKAGE}/__pycache__/__init__.cpython-313.pyc",
        f"{SITE}/quiverdb/left.db",
        "/home/user/.quiverdb.log",
        "/tmp/quiver-1234",  # noqa: S108  (a path in evidence)
    ],
)
def test_remaining_path_is_reported(path: str) -> None:
    (cause,) = causes_of(lambda fields: fields["left"]["added"].append(path))
    assert cause.severity == "flawed"
    assert summary(cause) == (
        "uninstall-leftover",
        f"{CELL}: uninstall",
        {"count": 1, "paths": (path,)},
    )


def test_first_of_many_remaining_paths_are_named() -> None:
    paths = [f"/home/user/{number}" for number in range(5)]
    facts = fault(lambda fields: fields["left"]["added"].extend(paths))[2]
    assert facts == {"count": 5, "paths": tuple(paths[:3])}


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
def test_dependencies_bytecode_and_caches_are_no_leftovers(path: str) -> None:
    assert leftovers(remaining(path)) == []


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_caches_on_windows_are_no_leftovers(name: str) -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["left"]["added"] = [f"C:\\users\\user\\AppData\\Local\\{name}\\cache\\a"]

    assert leftovers(evidence(change)) == []


def test_the_package_in_a_cache_is_a_leftover_if_the_scenario_keeps_it() -> None:
    path = f"/home/user/.cache/uv/a{PACKAGE}/x"
    expectation = with_conditions(Conditions(keeps_in_cache=True))
    assert uninstall.leftovers(remaining(path), expectation) == [path]
    assert leftovers(remaining(path)) == []


def test_leftovers_without_a_record_are_identified_by_name() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"] = None
        fields["left"]["added"] += [CORE, f"{SITE}/cffi/__pycache__"]

    assert leftovers(evidence(change)) == [CORE]


def test_only_what_the_smoke_test_wrote_itself_is_no_leftover() -> None:
    own, folder, other = "/home/user/own/data", "/home/user/own", "/home/user/.quiverdb.log"

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["written-files"] = {
            "step": "written-files",
            "ok": True,
            "value": [folder, own],
        }

    assert leftovers(remaining(folder, own)) == [folder, own]
    observed = evidence(change, lambda fields: fields["left"]["added"].extend([folder, own, other]))
    assert leftovers(observed) == [other]


def test_folder_of_a_dependency_with_the_name_of_the_package_is_no_leftover() -> None:
    files = (f"{SITE}/numpy/examples/quiverdb/extending.py", f"{SITE}/numpy/examples/quiverdb")
    assert leftovers(remaining(*files, installed=files)) == []

    def change(fields: Fields) -> None:
        fields["left"]["added"], fields["installed"]["added"] = list(files), list(files)
        fields["exercise"]["steps"].pop("record")

    assert leftovers(evidence(change)) == []


@pytest.mark.parametrize("is_namespace", [True, False])
def test_folder_of_a_dependency_in_a_namespace_package_is_no_leftover(is_namespace: bool) -> None:
    folder = f"{SITE}/quiverdb"
    own, other = f"{folder}/own/a.py", f"{folder}/other/b.py"
    recorded = [own] if is_namespace else [own, f"{folder}/__init__.py"]
    paths = [folder, f"{folder}/own", own, f"{folder}/other", other]

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["files"] = recorded
        fields["installed"]["added"] = [*paths, *recorded]
        fields["left"]["added"] = [folder, f"{folder}/other", other]

    expected = [] if is_namespace else [folder, f"{folder}/other", other]
    assert leftovers(evidence(change)) == expected


def test_file_of_record_outside_the_package_is_a_leftover() -> None:
    script = "/home/user/venv/bin/quiver"

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["files"].append(script)

    observed = evidence(
        change,
        lambda fields: fields["installed"]["added"].append(script),
        lambda fields: fields["left"]["added"].append(script),
    )
    assert leftovers(observed) == [script]


def test_folder_with_a_dependency_is_no_leftover() -> None:
    assert leftovers(remaining(SITE, CFFI, installed=(SITE,))) == []
    assert leftovers(remaining(SITE, CORE, installed=(SITE,))) == [SITE, CORE]


def test_empty_folder_of_the_installation_is_no_leftover() -> None:
    header = "/home/user/venv/include/site/python3.13/quiverdb/quiver.h"
    folders = [header.rpartition("/")[0], header.rpartition("/")[0].rpartition("/")[0]]

    def install(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["files"].append(header)
        fields["installed"]["added"] += [header, *folders]

    def left(*paths: str) -> list[str]:
        return leftovers(evidence(install, lambda fields: fields["left"]["added"].extend(paths)))

    assert left(*folders, PACKAGE, f"{PACKAGE}/__pycache__") == []
    assert left(*folders, header) == [*folders, header]
    new_file = f"{folders[0]}/made-in-use"
    assert left(*folders, new_file) == [*folders, new_file]


def test_folder_that_the_package_made_is_a_leftover() -> None:
    assert leftovers(remaining("/home/user/.quiverdb")) == ["/home/user/.quiverdb"]


# ---- the machine and other distributions ----


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_changed_file_of_the_machine_is_reported(kind: str) -> None:
    (cause,) = causes_of(lambda fields: fields["left"][kind].extend(["/usr/bin/python3", "/b"]))
    assert cause.severity == "broken"
    assert summary(cause) == (
        "machine-changed",
        f"{CELL}: uninstall",
        {"count": 2, "path": "/usr/bin/python3"},
    )


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_changed_file_of_another_distribution_is_reported(kind: str) -> None:
    bytecode, cache = f"{SITE}/cffi/__pycache__/api.pyc", "/home/user/.cache/pip/x"
    lock = "/home/user/venv/.lock"  # an older uv writes it again for the removal

    def change(fields: Fields) -> None:
        fields["installed"]["added"] += [bytecode, cache, lock]
        paths = [*FILES, PACKAGE, LIBS, bytecode, cache, lock, CFFI, "/home/user/new"]
        fields["since_installed"][kind] = paths

    (cause,) = causes_of(change)
    assert cause.severity == "broken"
    assert summary(cause) == (
        "dependency-damaged",
        f"{CELL}: uninstall",
        {"count": 1, "path": CFFI},
    )


def test_removed_environment_is_no_damage() -> None:
    info = f"{SITE}/cffi-2.0.0.dist-info"

    def change(fields: Fields) -> None:
        fields["installed"]["added"].append(info)
        fields["since_installed"]["removed"] = [SITE, CFFI, info, *FILES, PACKAGE, LIBS]

    assert causes_of(change) == []


def test_metadata_of_the_package_is_no_other_distribution() -> None:
    metadata = f"{SITE}/quiverdb-1.2.0.dist-info"

    def change(fields: Fields) -> None:
        fields["since_installed"]["removed"] = [metadata, API, CFFI]

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
def test_path_that_needs_an_administrator_is_reported(path: str, forbidden: bool) -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"].append(path)
        fields["left"]["added"] = ["C:\\a", path, path]

    causes = [summary(cause) for cause in causes_of(change) if cause.name == "permission"]
    expected = ("permission", f"{CELL}: uninstall", {"path": path})
    assert causes == ([expected] if forbidden else [])


def test_windows_path_on_linux_is_an_ordinary_name() -> None:
    causes = causes_of(lambda fields: fields["left"]["added"].append("C:\\Windows\\x"))
    assert [cause.name for cause in causes] == ["uninstall-leftover"]


def registry(**changes: list[str]) -> CellEvidence:
    return evidence(lambda fields: fields.update(registry=no_changes() | changes))


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_change_of_the_users_registry_is_reported(change: str) -> None:
    keys = ["HKCU\\Environment:Path", "HKCU\\Software\\x"]
    (cause,) = uninstall.registry_changes(registry(**{change: keys}))
    assert cause.severity == "flawed"
    assert summary(cause) == (
        "registry-changed",
        f"{CELL}: registry",
        {"change": change, "count": 2, "key": keys[0]},
    )


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_change_of_the_machines_registry_is_forbidden(change: str) -> None:
    key = "HKLM\\Software\\Classes"
    assert only_cause(uninstall.registry_changes(registry(**{change: [key, f"{key}\\b"]}))) == (
        "permission",
        f"{CELL}: registry",
        {"change": change, "key": key},
    )


KEYS = [
    ("HKCU\\Software\\Policies", False),
    ("HKCU\\Software\\Policies\\Microsoft", False),
    ("hkcu\\software\\policies\\microsoft\\systemcertificates\\CA", False),
    ("HKLM\\Software\\Microsoft\\SystemCertificates\\ROOT", False),
    ("HKCU\\Software\\Microsoft\\SystemCertificates", False),
    ("HKCU\\Software\\Microsoft\\SystemCertificatesX", True),
    ("HKCU\\Software\\Policies\\Microsoft\\Edge", True),
    ("HKCU\\Software\\Policies\\Other", True),
    ("HKCU\\X\\HKCU\\Software\\Policies", True),
]
"""Keys of the registry. True: the rule reports that the key was added."""


def test_keys_of_windows_are_ignored() -> None:
    observed = [
        (key, bool(list(uninstall.registry_changes(registry(added=[key]))))) for key, _ in KEYS
    ]
    assert observed == KEYS
