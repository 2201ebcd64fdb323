"""Faults of installed files: code at start, scripts, files of pip, warnings, native code."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.faults import edits
from tests.faults.cell_runs import PIP, UV, has_facts
from tests.faults.conftest import Judge
from tests.helpers import binaries
from tests.helpers import wheel_builder as wheels

pytestmark = pytest.mark.recorded

API = "quiverdb/_libs/libquiver_c.so"
EXTRA = "quiverdb/_libs/libextra.dll"
INSTALLERS = [PIP[1], UV[1]]
DT_HASH, DT_TEXTREL = 4, 22
# A process with PR_SET_MDWE cannot make memory executable that was not (prctl(2)). systemd sets it
# for a service with MemoryDenyWriteExecute.
DENY_WRITE_EXECUTE = (
    b"    import ctypes\n"
    b"    if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): raise RuntimeError('the kernel is too old')\n"
)


def _data(wheel: Path, path: str) -> str:
    """Return the path of a file in the folder `.data` of a wheel."""
    return f"{edits.dist_info(wheel).removesuffix('.dist-info/')}.data/{path}"


@pytest.mark.parametrize("installer", INSTALLERS)
def test_code_that_each_start_of_python_runs_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    add: dict[str, bytes | str] = {
        "quiver-start.pth": "import sys; sys.quiver_started = True\n",
        "quiver-paths.pth": "/srv/quiver\n",  # runs no code
    }
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=add), installer=installer)

    assert judged.static_names == judged.names == {"startup-code"}
    for (cause,) in (judged.dynamic, [c for c in judged.static if c.name == "startup-code"]):
        assert cause.severity == "flawed"
        assert "quiver-start.pth" in cause.where
        assert has_facts(cause, code="import sys; sys.quiver_started = True")


@pytest.mark.parametrize("installer", INSTALLERS)
def test_script_with_the_interpreter_of_the_build_machine_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    add: dict[str, bytes | str] = {
        _data(good_wheel, "scripts/quiver-dump"): "#!/opt/python/cp313-cp313/bin/python\n",
        _data(good_wheel, "scripts/quiver-good"): "#!python\nprint(1)\n",
        _data(good_wheel, "scripts/quiver-shell"): "#!/bin/sh\ntrue\n",
    }
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=add), installer=installer)

    assert judged.static_names == judged.names == {"script-interpreter"}
    (cause,) = judged.dynamic
    assert cause.severity == "flawed"
    assert str(cause.facts["file"]).endswith("/venv/bin/quiver-dump")
    assert has_facts(cause, interpreter="/opt/python/cp313-cp313/bin/python")


def test_overwritten_file_of_pip_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    add: dict[str, bytes | str] = {"pip/_vendor/vendor.txt": "certifi==0\n"}
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=add))

    assert judged.static_names == {"dependency-overwritten"}
    causes = {cause.name: cause for cause in judged.dynamic}
    assert set(causes) == {"dependency-overwritten", "machine-changed"}
    assert has_facts(causes["dependency-overwritten"], distribution="pip", count=1)
    assert causes["machine-changed"].follows == "dependency-overwritten"


@pytest.mark.parametrize("installer", INSTALLERS)
def test_syntax_warning_of_an_imported_module_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(b"_pattern = '\\d'"))
    judged = judge(wheel, installer=installer)

    assert [(cause.name, cause.severity) for cause in judged.dynamic] == [
        ("syntax-warning", "flawed")
    ]
    assert has_facts(judged.dynamic[0], file="quiverdb/__init__.py", count=1)


def test_syntax_warning_of_an_unused_module_is_a_note(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    add: dict[str, bytes | str] = {"quiverdb/extra.py": "x = 1\ny = x is 1\nz = x is 2\n"}
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=add))

    assert [(cause.name, cause.severity) for cause in judged.dynamic] == [
        ("syntax-warning", "note")
    ]
    assert has_facts(judged.dynamic[0], file="quiverdb/extra.py", line=2, count=2)


def _with_text_relocations(data: bytes) -> bytes:
    """Return a library whose dynamic section has DT_TEXTREL in the place of DT_HASH.

    The loader uses DT_GNU_HASH, and handles the code as if it had text relocations.
    """
    start = data.index(struct.pack("<Q", 0x6FFFFEF5))  # DT_GNU_HASH, in the dynamic section
    position = data.index(struct.pack("<Q", DT_HASH), start)
    assert (position - start) % 16 == 0, "it is no tag of the dynamic section"
    return data[:position] + struct.pack("<QQ", DT_TEXTREL, 0) + data[position + 16 :]


@pytest.mark.parametrize("denied", [False, True], ids=["allowed", "denied"])
def test_text_relocations_are_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, *, denied: bool
) -> None:
    changes = edits.at_first_use(DENY_WRITE_EXECUTE) if denied else {"edit": {}}
    changes["edit"][API] = _with_text_relocations
    judged = judge(wheels.mutate(good_wheel, tmp_path, **changes))

    assert judged.static_names == {"text-relocations"}
    assert {cause.severity for cause in judged.static if cause.severity != "note"} == {"flawed"}
    expected = [("text-relocations", "broken")] if denied else []
    assert [(cause.name, cause.severity) for cause in judged.dynamic] == expected
    assert not denied or has_facts(judged.dynamic[0], library="libquiver_c.so")


def _manifest(assembly: str) -> str:
    return (
        '<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0"><dependency>'
        f'<dependentAssembly><assemblyIdentity type="win32" name="{assembly}" '
        'version="6.0.0.0" processorArchitecture="*"/></dependentAssembly></dependency></assembly>'
    )


@pytest.mark.parametrize(
    ("assembly", "library", "expected"),
    [
        ("Microsoft.VC90.CRT", "MSVCR90.dll", {"missing-runtime-library"}),
        ("Microsoft.Windows.Common-Controls", "COMCTL32.dll", set()),
    ],
    ids=["missing", "of-windows"],
)
def test_side_by_side_assembly_that_windows_lacks_is_reported(
    windows_judge: Judge,
    good_windows_wheel: Path,
    tmp_path: Path,
    assembly: str,
    library: str,
    expected: set[str],
) -> None:
    function = {"MSVCR90.dll": "malloc", "COMCTL32.dll": "InitCommonControlsEx"}[library]
    extra = binaries.pe(
        name="libextra.dll", imports={library: [function]}, manifest=_manifest(assembly)
    )
    load = b"    import ctypes\n    ctypes.WinDLL(str(_LIBS_DIR / 'libextra.dll'))\n"
    wheel = wheels.mutate(
        good_windows_wheel, tmp_path, add={EXTRA: extra}, **edits.at_first_use(load)
    )
    judged = windows_judge(wheel)

    assert judged.static_names == judged.names == expected
    libraries = {cause.facts.get("library") for cause in judged.static if expected}
    assert libraries >= ({assembly} if expected else set())
