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
from tests.helpers.sample_expectation import EXPECTATION, Summary, summary
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
    """Return a change after which the installer has requested these files and refused."""

    def change(fields: Fields) -> None:
        fields["install"] |= {"code": 1, "stderr": output}
        fields["installed"] = no_changes()
        fields["requests"] = [request("/simple/quiverdb/")]
        fields["requests"] += [request(f"/packages/{file}", file) for file in files]
        for key in ("import", "exercise", "uninstall"):
            del fields[key]

    return change


def installed(name: str, version: str) -> Change:
    """Return a change after which only this version of this distribution is installed."""

    def change(fields: Fields) -> None:
        value = {name: {"version": version, "folder": SITE}}
        fields["exercise"]["steps"]["distributions"]["value"] = value
        fields["requests"] = [request("/simple/quiverdb/")]

    return change


def causes(*changes: Change, expectation: Expectation = REFUSES) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.install is not None
    return list(refusal.refusal_causes(observed, expectation, observed.install))


def fault(*changes: Change, expectation: Expectation = REFUSES) -> Summary:
    (cause,) = causes(*changes, expectation=expectation)
    return summary(cause)


# ---- a clean refusal ----


@pytest.mark.parametrize("output", [PIP, UV], ids=["pip", "uv"])
def test_refusal_with_a_reason_is_clean(output: str) -> None:
    assert causes(refused(output)) == []
    run = evidence(refused(output)).install
    assert run is not None
    assert any("quiverdb" in line for line in refusal.refusal_reasons(run))


def test_reasons_are_lines_of_the_installer() -> None:
    run = evidence(refused(f"note\n{UV}hint: try more\n")).install
    assert run is not None
    assert refusal.refusal_reasons(run) == [
        "error: No solution found when resolving dependencies",
        "cause: Because quiverdb==1.2.0 has no wheels with a matching Python ABI tag",
        "hint: try more",
    ]


@pytest.mark.parametrize("python", ["3.12.1", "3.13.5"], ids=["python", "platform"])
def test_python_and_platform_are_both_proper_reasons(python: str) -> None:
    assert causes(refused(), lambda fields: fields.update(python=python)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/home/user/.cache/pip/http",
        "/home/user/venv/.lock",
        "/tmp/uv-1d87.lock",  # noqa: S108  (a path in evidence)
        f"{SITE}/__pycache__/x.pyc",
    ],
)
def test_installer_files_may_remain(path: str) -> None:
    assert causes(refused(), lambda fields: fields["installed"]["added"].append(path)) == []


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_refusal_that_changes_files_is_unclean(change: str) -> None:
    paths = [f"{SITE}/cffi/api.py", f"{SITE}/x.lock.txt", f"{SITE}/__pycache__/a.pyc"]
    assert fault(refused(), lambda fields: fields["installed"][change].extend(paths)) == (
        "unclean-refusal",
        CELL,
        {"change": change, "count": 2, "path": paths[0]},
    )


def test_file_in_the_folder_of_python_on_windows_is_unclean() -> None:
    local = "C:\\users\\user\\AppData\\Local"
    paths = [f"{local}\\Programs\\Python\\quiverdb", f"{local}\\pip\\cache\\x"]

    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"] = paths

    facts = {"change": "added", "count": 1, "path": paths[0]}
    assert fault(refused(), change) == ("unclean-refusal", CELL, facts)


def test_refusal_without_a_reason_is_unclean() -> None:
    output = "Killed: No matching distribution found for quiverdb\n"
    assert fault(refused(output)) == ("unclean-refusal", CELL, {"code": 1})


def test_other_error_keeps_its_cause() -> None:
    (cause,) = causes(refused("ERROR: Wheel 'x' is invalid.\n"))
    assert (cause.name, cause.where) == ("record-mismatch", f"{CELL}: install quiverdb")


# ---- a source distribution ----


def test_downloaded_source_is_an_sdist_fallback() -> None:
    files = ("quiverdb-0.1.0.tar.gz", "quiverdb-0.2.0.tar.gz")
    assert fault(refused(PIP, *files)) == ("sdist-fallback", CELL, {"sources": files})


def test_build_of_a_source_is_an_sdist_fallback() -> None:
    output = f"{PIP}  Preparing metadata (pyproject.toml): started\n"
    facts = {"sources": (), "step": "Preparing metadata"}
    assert fault(refused(output)) == ("sdist-fallback", CELL, facts)


@pytest.mark.parametrize(
    "line",
    [
        {"file": "quiverdb-0.1.0.tar.gz", "status": 404},
        {"file": "quiverdb-0.1.0.tar.gz", "path": "/packages/quiverdb-0.1.0.tar.gz.metadata"},
        {"file": NEW},
        {"file": "cffi-2.0.0.tar.gz"},
    ],
)
def test_other_requests_are_no_sdist_fallback(line: Fields) -> None:
    other = request("/packages/x") | line
    assert causes(refused(), lambda fields: fields["requests"].append(other)) == []


# ---- an older release ----


def test_installed_older_release_is_a_fallback_with_the_lesser_severity() -> None:
    (cause,) = causes(installed("quiverdb", "0.1.0"))
    assert summary(cause) == (
        "silent-fallback",
        f"{CELL}: installed",
        {"installed": "0.1.0", "project": "quiverdb", "refusal": "unsupported-python"},
    )
    assert cause.severity == "flawed"


def test_installed_older_release_names_the_wheel_that_fits() -> None:
    def change(fields: Fields) -> None:
        fields["requests"].append(request(f"/packages/{NEW}", f"{NEW}.metadata"))

    facts = {"installed": "0.1.0", "project": "quiverdb", "wheel": NEW}
    observed = fault(installed("quiverdb", "0.1.0"), change)
    assert observed == ("silent-fallback", f"{CELL}: installed", facts)


def test_project_names_are_normalised() -> None:
    expectation = REFUSES.model_copy(update={"project": "quiver-db"})
    name, *_ = fault(installed("Quiver_DB", "0.1.0"), expectation=expectation)
    assert name == "silent-fallback"


@pytest.mark.parametrize("version", ["1.2.0", ""])
def test_installed_release_is_unclean(version: str) -> None:
    change = installed("quiverdb" if version else "other", version)
    facts = {"version": version, "refusal": "unsupported-python"}
    assert fault(change) == ("unclean-refusal", CELL, facts)


def test_build_for_an_older_release_is_a_fallback() -> None:
    output = f"{PIP}  Installing build dependencies: started\n"
    (cause,) = causes(refused(output, f"{OLD}.metadata", "cffi-2.1.1.tar.gz"))
    assert summary(cause) == (
        "silent-fallback",
        f"{CELL}: refused",
        {
            "installed": "quiverdb 0.1.0",
            "refusal": "unsupported-python",
            "step": "Installing build dependencies",
        },
    )
    assert cause.severity == "flawed"


def test_build_of_an_older_release_is_an_sdist_fallback() -> None:
    output = f"{PIP}  Building wheel for quiverdb\n"
    facts = {"sources": ("quiverdb-0.1.0.tar.gz",), "step": "Building wheel"}
    observed = fault(refused(output, f"{OLD}.metadata", "quiverdb-0.1.0.tar.gz"))
    assert observed == ("sdist-fallback", CELL, facts)


def test_build_without_an_older_release_is_broken() -> None:
    output = f"{PIP}  Installing build dependencies: started\n"
    (cause,) = causes(refused(output, "cffi-2.1.1.tar.gz"))
    assert (cause.name, cause.severity) == ("sdist-fallback", "broken")


def page_of_cffi(fields: Fields) -> None:
    fields["requests"].append(request("/simple/cffi/"))


def test_older_release_without_its_dependency_is_a_fallback() -> None:
    (cause,) = causes(refused(NO_CFFI, f"{OLD}.metadata"), page_of_cffi)
    assert (cause.name, cause.where) == ("silent-fallback", f"{CELL}: refused")
    assert cause.facts["installed"] == "quiverdb 0.1.0"
    assert "cffi>=2.0.0" in str(cause.facts["error"])
    assert cause.severity == "flawed"


def test_other_error_of_an_older_release_keeps_its_cause() -> None:
    (cause,) = causes(refused("ERROR: Wheel 'x' is invalid.\n", f"{OLD}.metadata"), page_of_cffi)
    assert cause.name == "record-mismatch"


def test_all_tried_releases_are_named_in_order() -> None:
    files = [f"quiverdb-{version}-py3-none-any.whl" for version in ("0.10.0", "0.9.0")]
    facts = fault(refused(NO_CFFI, *files), page_of_cffi)[2]
    assert facts["installed"] == "quiverdb 0.9.0, quiverdb 0.10.0"


# ---- a dependency ----


def test_missing_dependency_without_a_fitting_wheel_is_broken() -> None:
    assert fault(refused(NO_CFFI), page_of_cffi)[0] == "missing-dependency"


def test_dependency_without_a_page_is_missing() -> None:
    output = "ERROR: No matching distribution found for numpy>=2\n"
    assert fault(refused(output, f"{NEW}.metadata"))[0] == "missing-dependency"


@pytest.mark.parametrize("files", [(NEW,), (f"{OLD}.metadata", f"{NEW}.metadata")])
def test_fitting_wheel_with_an_unfit_dependency_is_flawed(files: tuple[str, ...]) -> None:
    (cause,) = causes(refused(NO_CFFI, *files), page_of_cffi)
    assert (cause.name, cause.where) == ("dependency-not-fitting", CELL)
    assert cause.facts.items() >= {"wheel": NEW, "requirement": "cffi>=2.0.0"}.items()
    assert "cffi>=2.0.0" in str(cause.facts["error"])
    assert cause.severity == "flawed"


@pytest.mark.parametrize("output", [PIP, NO_CFFI, "ERROR: something new\n"])
def test_fitting_wheel_with_a_dependency_to_build_is_reported(output: str) -> None:
    source = "cffi-2.1.1.tar.gz"
    building = f"{output}  Installing build dependencies: started\n"
    assert fault(refused(building, f"{NEW}.metadata", source), page_of_cffi) == (
        "dependency-not-fitting",
        CELL,
        {"wheel": NEW, "source": source},
    )


def test_source_that_was_not_served_is_no_fault() -> None:
    def change(fields: Fields) -> None:
        fields["requests"].append(
            request("/packages/cffi-2.1.1.tar.gz", "cffi-2.1.1.tar.gz", status=404)
        )

    assert causes(refused(PIP, f"{NEW}.metadata"), change) == []


def test_other_error_of_a_fitting_wheel_keeps_its_cause() -> None:
    output = "ERROR: [Errno 13] Permission denied: '/usr'\n"
    assert fault(refused(output, f"{NEW}.metadata", "cffi-2.1.1.tar.gz"))[0] == "permission"
