from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import DLL, PACKAGE, WINDOWS_SITE, Change, Fields, evidence
from tests.helpers.sample_expectation import EXPECTATION, WINDOWS, names
from verification.models.cause import Cause, Severity
from verification.models.expectation import Expectation
from verification.rules.pure_python import pure_python_fallback
from verification.rules.use import use_causes

NATIVE = "_speed.cpython-313-x86_64-linux-gnu.so"
PYD = f"{WINDOWS_SITE}\\quiverdb\\_speed.cp313-win_amd64.pyd"


def on_linux(fields: Fields) -> None:
    """Install an extension module on Linux. The process does not map it."""
    fields["installed"]["added"].append(f"{PACKAGE}/{NATIVE}")


def mapped(path: str) -> Change:
    return lambda fields: fields["exercise"]["steps"]["mapped"]["value"].append(path)


def on_windows(fields: Fields) -> None:
    """Install an extension module on Windows, whose library the machine does not have."""
    fields["os"] = "windows"
    fields["installed"]["added"] = [DLL, PYD]
    path = PYD.replace("\\", "\\\\")
    line = f'err:module:import_dll Library MSVCP140.dll (which is needed by L"{path}") not found'
    fields["loader"].append(line)


def declaring(*libraries: str) -> Expectation:
    return EXPECTATION.model_copy(update={"libraries": libraries})


def causes(expectation: Expectation, *changes: Change) -> list[Cause]:
    return list(pure_python_fallback(evidence(*changes), expectation))


def test_extension_module_that_the_loader_refused_is_a_fallback() -> None:
    (cause,) = causes(WINDOWS, on_windows)
    assert (cause.name, cause.severity) == ("pure-python-fallback", Severity.FLAWED)
    needed_by = PYD.rpartition("\\")[2]
    assert cause.facts == {"library": "MSVCP140.dll", "needed_by": needed_by, "count": 1}


def test_declared_extension_module_that_is_not_mapped_is_a_fallback() -> None:
    (cause,) = causes(declaring(NATIVE), on_linux)
    assert cause.facts == {"modules": (NATIVE,), "count": 1}


def test_fallback_replaces_the_library_that_is_not_loaded() -> None:
    observed = evidence(on_linux)
    assert observed.import_run
    assert observed.exercise
    found = use_causes(observed, declaring(NATIVE), observed.import_run, observed.exercise)
    assert names(found) == ["pure-python-fallback"]


def imported(**modules: bool) -> Change:
    """Record extension modules that Python began to load at the import. The smoke test maps all."""

    def change(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        folder = PACKAGE if fields["os"] == "linux" else f"{WINDOWS_SITE}\\quiverdb"
        suffix = (
            NATIVE.removeprefix("_speed") if fields["os"] == "linux" else ".cp313-win_amd64.pyd"
        )
        separator = "/" if fields["os"] == "linux" else "\\"
        files = {f"{folder}{separator}{name}{suffix}": done for name, done in modules.items()}
        steps["import"]["value"]["extension_modules"] = files
        fields["installed"]["added"] += [path for path in files if path != PYD]
        steps["mapped"]["value"] += [path for path, done in files.items() if done]

    return change


def test_modules_that_the_loader_refused_at_the_import_are_a_fallback() -> None:
    (cause,) = causes(EXPECTATION, imported(_speed=False, _more=False))
    assert (cause.name, cause.severity) == ("pure-python-fallback", Severity.FLAWED)
    needed_by = NATIVE.replace("_speed", "_more")
    assert cause.facts == {"refused": 2, "count": 2, "needed_by": needed_by}


def test_module_without_a_library_is_a_fallback_although_another_module_is_loaded() -> None:
    (cause,) = causes(WINDOWS, on_windows, imported(_speed=False, _features=True))
    assert (cause.name, cause.severity) == ("pure-python-fallback", Severity.FLAWED)
    needed_by = PYD.rpartition("\\")[2]
    facts = {"refused": 1, "count": 2, "needed_by": needed_by, "library": "MSVCP140.dll"}
    assert cause.facts == facts


def no_native_call(fields: Fields) -> None:
    fields["exercise"]["steps"]["native-call"].update(ok=False, value=None)


@pytest.mark.parametrize(
    ("expectation", "changes"),
    [
        (EXPECTATION, [on_linux]),  # it may be loaded at a later call
        (declaring(NATIVE), [on_linux, mapped(f"{PACKAGE}/{NATIVE}")]),
        (WINDOWS, [on_windows, mapped(PYD)]),
        (declaring(NATIVE), [on_linux, no_native_call]),
        (declaring(NATIVE), []),  # the package has no extension module
        (EXPECTATION, []),
        (EXPECTATION, [imported(_speed=True)]),
        (EXPECTATION, [imported(_v3=False, _v2=True)]),  # for another processor
        (EXPECTATION, [on_linux, imported(_speed=False), mapped(f"{PACKAGE}/{NATIVE}")]),
        (EXPECTATION, [imported(_speed=False), no_native_call]),
        (EXPECTATION, [on_linux, imported()]),  # it loads its module at a later call
    ],
)
def test_healthy_or_failed_package_is_no_fallback(
    expectation: Expectation, changes: list[Change]
) -> None:
    assert causes(expectation, *changes) == []
