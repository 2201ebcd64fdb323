from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    SITE,
    Change,
    Fields,
    evidence,
    no_changes,
    request,
)
from tests.helpers.sample_expectation import EXPECTATION, Shown, shown
from verification.models.cause import Cause
from verification.models.expectation import Expectation
from verification.models.verdict import ExpectationKind
from verification.rules import refusal

PIP = (
    "ERROR: Could not find a version that satisfies the requirement quiverdb (from versions: )\n"
    "ERROR: No matching distribution found for quiverdb\n"
)
UV = (
    "Using Python 3.14.8 environment at: /home/user/venv\n"
    "error: No solution found when resolving dependencies\n"
    "  cause: Because quiverdb==1.2.0 has no wheels with a matching Python ABI tag\n"
)
NO_CFFI = "ERROR: No matching distribution found for cffi>=2.0.0\n"
NEW = "quiverdb-1.2.0-py3-none-any.whl"
OLD = "quiverdb-0.1.0-py3-none-any.whl"
REFUSES = EXPECTATION.model_copy(
    update={"kind": ExpectationKind.REFUSES, "refusal": "unsupported-python"}
)


def refused(output: str = PIP, *files: str) -> Change:
    """Return the evidence of a refusal after the index was asked for these files."""

    def change(fields: Fields) -> None:
        fields["install"] |= {"code": 1, "stderr": output}
        fields["installed"] = no_changes()
        fields["requests"] = [request("/simple/quiverdb/")]
        fields["requests"] += [request(f"/packages/{file}", file) for file in files]
        for key in ("import", "exercise", "uninstall"):
            del fields[key]

    return change


def installed(name: str, version: str) -> Change:
    """Return the evidence of a machine on which this release was installed."""

    def change(fields: Fields) -> None:
        value = {name: {"version": version, "folder": SITE}}
        fields["exercise"]["steps"]["distributions"]["value"] = value
        fields["requests"] = [request("/simple/quiverdb/")]

    return change


def judged(*changes: Change, expectation: Expectation = REFUSES) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.install is not None
    return list(refusal.refusal_faults(observed, expectation, observed.install))


def judge(*changes: Change, expectation: Expectation = REFUSES) -> Shown:
    (cause,) = judged(*changes, expectation=expectation)
    return shown(cause)


# ---- a clean refusal ----


@pytest.mark.parametrize("output", [PIP, UV], ids=["pip", "uv"])
def test_a_refusal_that_gives_a_reason_is_clean(output: str) -> None:
    assert judged(refused(output)) == []
    run = evidence(refused(output)).install
    assert run is not None
    assert any("quiverdb" in line for line in refusal.refusal_reasons(run))


def test_the_reasons_are_the_installers_own_lines() -> None:
    run = evidence(refused(f"note\n{UV}hint: try more\n")).install
    assert run is not None
    assert refusal.refusal_reasons(run) == [
        "error: No solution found when resolving dependencies",
        "cause: Because quiverdb==1.2.0 has no wheels with a matching Python ABI tag",
        "hint: try more",
    ]


@pytest.mark.parametrize("python", ["3.12.1", "3.13.5"], ids=["python", "platform"])
def test_either_reason_is_a_proper_refusal(python: str) -> None:
    assert judged(refused(), lambda fields: fields.update(python=python)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/home/user/.cache/pip/http",
        "/home/user/venv/.lock",
        "/tmp/uv-1d87.lock",  # noqa: S108  (a path in evidence)
        f"{SITE}/__pycache__/x.pyc",
    ],
)
def test_an_installer_may_leave_its_own_files(path: str) -> None:
    assert judged(refused(), lambda fields: fields["installed"]["added"].append(path)) == []


@pytest.mark.parametrize(
    ("change", "verb"), [("added", "left"), ("removed", "removed"), ("changed", "changed")]
)
def test_a_refusal_that_touches_files_is_unclean(change: str, verb: str) -> None:
    paths = [f"{SITE}/cffi/api.py", f"{SITE}/x.lock.txt", f"{SITE}/__pycache__/a.pyc"]
    assert judge(refused(), lambda fields: fields["installed"][change].extend(paths)) == (
        "unclean-refusal",
        CELL,
        f"it refused and {verb} 2 paths, first {paths[0]}",
        {"count": 2, "path": paths[0]},
    )


def test_a_file_left_in_pythons_own_folder_on_windows_is_unclean() -> None:
    local = "C:\\users\\user\\AppData\\Local"
    left = [f"{local}\\Programs\\Python\\quiverdb", f"{local}\\pip\\cache\\x"]

    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"] = left

    assert judge(refused(), change)[2] == f"it refused and left 1 paths, first {left[0]}"


def test_a_refusal_without_a_reason_is_unclean() -> None:
    output = "Killed: No matching distribution found for quiverdb\n"
    observed = "it ended with 1 and said nothing"
    assert judge(refused(output)) == ("unclean-refusal", CELL, observed, {"code": 1})


def test_another_cause_stands_for_itself() -> None:
    (cause,) = judged(refused("ERROR: Wheel 'x' is invalid.\n"))
    assert (cause.name, cause.where) == ("record-mismatch", f"{CELL}: install quiverdb")


# ---- a source distribution ----


def test_a_source_that_is_downloaded_is_a_fallback_to_source() -> None:
    files = ("quiverdb-0.1.0.tar.gz", "quiverdb-0.2.0.tar.gz")
    assert judge(refused(PIP, *files)) == (
        "sdist-fallback",
        CELL,
        f"quiverdb: the installer took {', '.join(files)}",
        {"sources": files},
    )


def test_a_source_that_is_built_is_a_fallback_to_source() -> None:
    output = f"{PIP}  Preparing metadata (pyproject.toml): started\n"
    observed = "quiverdb: the installer took a source and began to build it (Preparing metadata)"
    assert judge(refused(output)) == ("sdist-fallback", CELL, observed, {"sources": ()})


@pytest.mark.parametrize(
    "line",
    [
        {"file": "quiverdb-0.1.0.tar.gz", "status": 404},
        {"file": "quiverdb-0.1.0.tar.gz", "path": "/packages/quiverdb-0.1.0.tar.gz.metadata"},
        {"file": NEW},
        {"file": "cffi-2.0.0.tar.gz"},
    ],
)
def test_other_requests_download_no_source(line: Fields) -> None:
    asked = request("/packages/x") | line
    assert judged(refused(), lambda fields: fields["requests"].append(asked)) == []


# ---- an older release ----


def test_an_older_release_that_is_installed_is_a_fallback_and_not_this_ones_fault() -> None:
    (cause,) = judged(installed("quiverdb", "0.1.0"))
    assert shown(cause) == (
        "silent-fallback",
        f"{CELL}: installed",
        "no wheel fits (unsupported-python), and the installer took quiverdb 0.1.0",
        {"installed": "0.1.0"},
    )
    assert cause.severity == "flawed"
    assert "Yank" in cause.remedy


def test_an_older_release_can_be_installed_though_a_wheel_fits() -> None:
    def change(fields: Fields) -> None:
        fields["requests"].append(request(f"/packages/{NEW}", f"{NEW}.metadata"))

    observed = f"{NEW} fits and was passed over, and the installer took quiverdb 0.1.0"
    assert judge(installed("quiverdb", "0.1.0"), change)[2] == observed


def test_a_project_is_known_by_a_name_that_is_written_otherwise() -> None:
    expectation = REFUSES.model_copy(update={"project": "quiver-db"})
    name, *_ = judge(installed("Quiver_DB", "0.1.0"), expectation=expectation)
    assert name == "silent-fallback"


@pytest.mark.parametrize("version", ["1.2.0", ""])
def test_the_release_itself_must_not_be_installed(version: str) -> None:
    observed = "it was installed, and unsupported-python was to be said"
    change = installed("quiverdb" if version else "other", version)
    assert judge(change) == ("unclean-refusal", CELL, observed, {"version": version})


def test_building_what_an_older_release_needs_is_that_releases_fault() -> None:
    output = f"{PIP}  Installing build dependencies: started\n"
    (cause,) = judged(refused(output, f"{OLD}.metadata", "cffi-2.1.1.tar.gz"))
    assert shown(cause) == (
        "silent-fallback",
        f"{CELL}: refused",
        "no wheel fits (unsupported-python), and the installer tried quiverdb 0.1.0 and began to"
        " build what that one needs (Installing build dependencies)",
        {"installed": "quiverdb 0.1.0"},
    )
    assert cause.severity == "flawed"


def test_building_the_source_of_an_older_release_is_a_fallback_to_source() -> None:
    output = f"{PIP}  Building wheel for quiverdb\n"
    name, _, observed, _ = judge(refused(output, f"{OLD}.metadata", "quiverdb-0.1.0.tar.gz"))
    assert name == "sdist-fallback"
    assert observed.endswith("took quiverdb-0.1.0.tar.gz and began to build it (Building wheel)")


def test_building_where_no_wheel_fits_is_the_releases_own_fault() -> None:
    output = f"{PIP}  Installing build dependencies: started\n"
    (cause,) = judged(refused(output, "cffi-2.1.1.tar.gz"))
    assert (cause.name, cause.severity) == ("sdist-fallback", "broken")


def page_of_cffi(fields: Fields) -> None:
    fields["requests"].append(request("/simple/cffi/"))


def test_an_older_release_that_is_tried_and_lacks_a_dependency_is_a_fallback() -> None:
    (cause,) = judged(refused(NO_CFFI, f"{OLD}.metadata"), page_of_cffi)
    assert shown(cause) == (
        "silent-fallback",
        f"{CELL}: refused",
        "no wheel fits (unsupported-python), and the installer tried quiverdb 0.1.0, which needs"
        " what has none that fits either: needs cffi>=2.0.0, and the index has cffi 2.0.0",
        {"installed": "quiverdb 0.1.0"},
    )
    assert cause.severity == "flawed"


def test_another_fault_of_an_older_release_that_is_tried_stands_for_itself() -> None:
    (cause,) = judged(refused("ERROR: Wheel 'x' is invalid.\n", f"{OLD}.metadata"), page_of_cffi)
    assert cause.name == "record-mismatch"


def test_every_older_release_that_is_tried_is_named_in_order() -> None:
    files = [f"quiverdb-{version}-py3-none-any.whl" for version in ("0.10.0", "0.9.0")]
    assert judge(refused(NO_CFFI, *files), page_of_cffi)[3] == {
        "installed": "quiverdb 0.9.0, quiverdb 0.10.0"
    }


# ---- a dependency ----


def test_a_dependency_that_the_release_lacks_is_its_own_fault() -> None:
    assert judge(refused(NO_CFFI), page_of_cffi)[0] == "missing-dependency"


def test_a_dependency_that_the_index_does_not_know_is_the_releases_own_fault() -> None:
    output = "ERROR: No matching distribution found for numpy>=2\n"
    assert judge(refused(output, f"{NEW}.metadata"))[0] == "missing-dependency"


@pytest.mark.parametrize("files", [(NEW,), (f"{OLD}.metadata", f"{NEW}.metadata")])
def test_a_wheel_that_fits_can_need_what_does_not(files: tuple[str, ...]) -> None:
    (cause,) = judged(refused(NO_CFFI, *files), page_of_cffi)
    assert shown(cause) == (
        "dependency-not-fitting",
        CELL,
        f"{NEW} fits, and needs cffi>=2.0.0, and the index has cffi 2.0.0",
        {"wheel": NEW, "requirement": "cffi>=2.0.0"},
    )
    assert cause.severity == "flawed"


@pytest.mark.parametrize("output", [PIP, NO_CFFI, "ERROR: something new\n"])
def test_a_wheel_that_fits_can_need_what_must_be_built(output: str) -> None:
    source = "cffi-2.1.1.tar.gz"
    building = f"{output}  Installing build dependencies: started\n"
    assert judge(refused(building, f"{NEW}.metadata", source), page_of_cffi) == (
        "dependency-not-fitting",
        CELL,
        f"{NEW} fits, and of what it needs the installer took the source, {source}",
        {"wheel": NEW, "source": source},
    )


def test_a_source_that_was_not_served_is_not_built() -> None:
    def change(fields: Fields) -> None:
        fields["requests"].append(
            request("/packages/cffi-2.1.1.tar.gz", "cffi-2.1.1.tar.gz", status=404)
        )

    assert judged(refused(PIP, f"{NEW}.metadata"), change) == []


def test_another_fault_of_a_wheel_that_fits_stands_for_itself() -> None:
    output = "ERROR: [Errno 13] Permission denied: '/usr'\n"
    assert judge(refused(output, f"{NEW}.metadata", "cffi-2.1.1.tar.gz"))[0] == "permission"
