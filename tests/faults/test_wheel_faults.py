"""Faults planted in the Linux wheel. The inspection and the machine report each by name."""

from __future__ import annotations

import re
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.faults import edits
from tests.faults.cell_runs import has_facts
from tests.faults.conftest import Judge, assert_missing_library
from tests.helpers import wheel_builder as wheels
from verification.session.run_cell import PlantedFault
from verification.subjects.subject import load as load_subject
from verification.wheel.release_inspection import inspect_release

pytestmark = pytest.mark.recorded

CORE, API = LIBRARIES = ("quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so")


def test_built_wheel_has_no_fault(judge: Judge, good_wheel: Path) -> None:
    judged = judge(good_wheel)

    assert judged.static_names == set()
    assert judged.names == set()
    assert judged.evidence.steps.round_trip
    assert judged.evidence.steps.round_trip.ok


@pytest.mark.parametrize("library", LIBRARIES, ids=["core", "c-api"])
def test_missing_library_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, library: str
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, remove=[library]))
    assert_missing_library(judged, library)


LOAD_PATHS = edits.wrong_load_paths(CORE)


@pytest.mark.parametrize("name", LOAD_PATHS)
def test_wrong_load_path_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, name: str
) -> None:
    change, path = LOAD_PATHS[name]
    judged = judge(wheels.mutate(good_wheel, tmp_path, **change))

    # The inspection does not read paths in Python code.
    assert judged.static_names == (set() if "edit" in change else {"wrong-load-path"})
    assert judged.names == {"wrong-load-path"}
    facts = judged.dynamic[0].facts
    assert str(facts["path"]).endswith(f"/{path}")
    assert str(facts["sought"]).endswith("libquiver.so")
    assert facts["sought"] != facts["path"]


@pytest.mark.parametrize("library", LIBRARIES, ids=["core", "c-api"])
def test_truncated_library_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, library: str
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit={library: edits.truncated}))

    assert judged.static_names == {"damaged-library"}
    assert judged.names == {"damaged-library"}


def test_empty_library_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit={CORE: lambda _: b""}))

    assert judged.static_names == {"damaged-library"}
    assert judged.names == {"damaged-library"}


def _without_section_headers(data: bytes) -> bytes:
    """Return a library without section headers and with data after its end."""
    header = bytearray(data[:64])
    header[40:48], header[58:64] = bytes(8), bytes(6)  # e_shoff; e_shentsize, e_shnum, e_shstrndx
    return bytes(header) + data[64:] + b"another file" * 500


def test_library_without_section_headers_is_no_fault(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit={API: _without_section_headers}))

    assert judged.static_names == set()
    assert judged.names == set()


def test_libraries_from_ld_library_path_are_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(good_wheel) as archive:
        decoys = {f"/opt/decoy/{Path(name).name}": archive.read(name) for name in LIBRARIES}
    judged = judge(
        wheels.mutate(good_wheel, tmp_path, remove=LIBRARIES),
        PlantedFault(environment={"LD_LIBRARY_PATH": "/opt/decoy"}, files=decoys),
    )

    assert judged.static_names == {"missing-bundled-library"}
    assert judged.names == {"wrong-library-loaded"}
    paths = {cause.facts["library"]: cause.facts["paths"] for cause in judged.dynamic}
    assert paths["libquiver.so"] == ("/opt/decoy/libquiver.so",)
    assert judged.evidence.import_run
    assert judged.evidence.import_run.code == 0
    assert judged.evidence.steps.native_call
    assert judged.evidence.steps.native_call.ok, "the wrong libraries work"


def test_wrong_native_version_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    judged = judge(wheels.set_version(good_wheel, tmp_path, "0.5.1"))

    assert judged.names == {"version-mismatch"}
    assert has_facts(judged.dynamic[0], version="0.5.0", release="0.5.1")


def test_wrong_hash_in_record_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    record = f"{edits.dist_info(good_wheel)}RECORD"

    def with_other_hash(data: bytes) -> bytes:
        match = re.search(rb"quiverdb/database\.py,sha256=(.)", data)
        assert match
        other = b"A" if match[1] != b"A" else b"B"
        return data[: match.start(1)] + other + data[match.end(1) :]

    judged = judge(
        wheels.mutate(good_wheel, tmp_path, edit={record: with_other_hash}, fix_record=False)
    )

    assert judged.static_names == {"record-mismatch"}
    assert judged.names == {"record-mismatch"}
    assert "quiverdb/database.py" in judged.dynamic[0].where


def test_stray_top_level_folder_is_flawed(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, add={"lib64/libleft.a": b"!<arch>\n"}))

    assert judged.static_names == {"stray-top-level"}
    assert {cause.severity for cause in judged.static if cause.severity != "note"} == {"flawed"}
    assert judged.names == set()


def test_tag_that_differs_from_the_file_name_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(b"Tag: cp313-cp313-", b"Tag: cp312-cp312-")
    judged = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}WHEEL": change})
    )

    assert judged.static_names == {"tag-mismatch"}


def test_tag_with_too_old_glibc_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    old, new = "manylinux_2_28_x86_64", "manylinux_2_17_x86_64"
    wheel = wheels.mutate(
        good_wheel,
        tmp_path,
        edit={f"{edits.dist_info(good_wheel)}WHEEL": edits.replaced(old.encode(), new.encode())},
        rename=re.sub(r"manylinux\S*x86_64", new, good_wheel.name),
    )
    judged = judge(wheel)

    assert judged.static_names == {"glibc-floor"}
    assert "GLIBC_2.28" in " ".join(cause.message for cause in judged.static)
    assert judged.names == set(), "the glibc of the machine is new enough"


def test_undeclared_dependency_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    change = edits.replaced(b"Requires-Dist: cffi>=2.0.0\n", b"")
    judged = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}METADATA": change})
    )

    assert judged.static_names == {"missing-dependency"}
    assert judged.names == {"missing-dependency"}
    assert has_facts(judged.dynamic[0], module="cffi")


def test_wheel_for_another_python_is_refused(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(
        good_wheel,
        tmp_path,
        edit={
            f"{edits.dist_info(good_wheel)}WHEEL": edits.replaced(b"cp313-cp313", b"cp312-cp312")
        },
        rename=good_wheel.name.replace("cp313-cp313", "cp312-cp312"),
    )
    judged = judge(wheel)

    assert judged.names == {"unsupported-python"}
    assert has_facts(judged.dynamic[0], python="3.13", wheels="cp312")
    assert [p for p in judged.evidence.installed.added if "site-packages" in p] == []


def test_crash_is_reported_with_its_last_frame(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(
        b"def _load_bundled(ffi: Any) -> Any:\n",
        b"def _load_bundled(ffi: Any) -> Any:\n    import faulthandler\n\n"
        b"    faulthandler._sigsegv()\n",
    )
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit={"quiverdb/_loader.py": change}))

    assert judged.names == {"crash"}
    facts = judged.dynamic[0].facts
    assert facts["code"] == -signal.SIGSEGV
    assert re.search(r"/quiverdb/_loader\.py:\d+ in _load_bundled$", str(facts["frame"]))


@pytest.mark.parametrize(
    ("planted", "cause"),
    [
        (b"    import atexit\n    atexit.register(os.abort)\n", "crash"),
        (b"    import atexit\n    atexit.register(lambda: os._exit(3))\n", "crash"),
        (b"    raise SystemExit(0)\n", "crash"),
        (
            b"    import threading\n    wait = threading.Event().wait\n"
            b"    threading.Thread(target=wait).start()\n",
            "hang",
        ),
        (
            b"    import subprocess\n"
            b"    subprocess.Popen(['sleep', '600'], start_new_session=True)\n",
            "process-left",
        ),
    ],
    ids=["abort-at-exit", "other-code-at-exit", "system-exit", "hang-at-exit", "process-left"],
)
def test_abnormal_end_of_the_interpreter_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, planted: bytes, cause: str
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.at_first_use(planted))
    judged = judge(wheel, exercise=5)

    assert judged.names == {cause}


# With -ffast-math, the start-up code of a shared library does the first of these.
FLUSHING = """
__attribute__((constructor)) static void begin(void) {
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
}
__attribute__((constructor)) static void quiet(void) {
    extern void (*signal(int, void (*)(int)))(int);
    signal(10, (void (*)(int))1);
}
"""


def test_changed_process_state_is_reported(
    judge: Judge, compile_library: Callable[[str], bytes], good_wheel: Path, tmp_path: Path
) -> None:
    planted = (
        b"    import ctypes, locale, os, signal\n"
        b"    os.chdir('..')\n"
        b"    os.umask(0)\n"
        b"    locale.setlocale(locale.LC_ALL, 'C')\n"
        b"    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        b"    ctypes.CDLL(str(_LIBS_DIR / 'libextra.so'))\n"
    )
    wheel = wheels.mutate(
        good_wheel,
        tmp_path,
        add={"quiverdb/_libs/libextra.so": compile_library(FLUSHING)},
        **edits.at_first_use(planted),
    )
    judged = judge(wheel)

    assert "process-changed" in judged.names
    (cause,) = (cause for cause in judged.dynamic if cause.name == "process-changed")
    assert {
        "current folder", "umask", "locale", "half of the smallest normal number",
        "handler of SIGINT", "signals ignored", "signals handled",
    } <= set(cast("tuple[str, ...]", cause.facts["changed"]))  # fmt: skip


def test_missing_database_file_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    other_file = (
        b"\n\n_real_close = Database.close\n\n\n"
        b"def _forget(self):\n    import os\n    path = self.path()\n    _real_close(self)\n"
        b"    if os.path.exists(path):\n        os.replace(path, path + '.kept')\n\n\n"
        b"_real_open = Database.open.__func__\n\n\n"
        b"def _pretend(cls, path, **options):\n"
        b"    return _real_open(cls, str(path) + '.kept', **options)\n\n\n"
        b"Database.close = _forget\nDatabase.open = classmethod(_pretend)\n"
    )
    wheel = wheels.mutate(
        good_wheel, tmp_path, edit={"quiverdb/database.py": lambda data: data + other_file}
    )
    judged = judge(wheel)

    assert judged.names == {"round-trip-failed"}
    assert {cause.where for cause in judged.dynamic} == {"debian-13-pip-venv: database file"}


def test_version_that_the_index_refuses_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(wheels.set_version(good_wheel, tmp_path, "0.5.0+local"))

    assert judged.names == {"upload-refused"}
    assert "0.5.0+local" in judged.dynamic[0].message


@pytest.mark.parametrize(
    ("new", "answer"),
    [
        (b"Classifier: Klingon\nRequires-Python", "'Klingon' is not a valid class"),
        (
            b"Author: Jos\xe9\nRequires-Python",
            "InvalidDistribution: Invalid distribution metadata: unrecognized or malformed field",
        ),
    ],
    ids=["classifier", "latin-1"],
)
def test_metadata_that_the_upload_refuses_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, new: bytes, answer: str
) -> None:
    """The answers are those of the index and of twine."""
    change = edits.metadata(good_wheel, b"Requires-Python", new)
    judged = judge(wheels.mutate(good_wheel, tmp_path, **change))

    assert "upload-refused" in {cause.name for cause in judged.dynamic}
    assert answer in judged.dynamic[0].message


def test_hang_is_reported_with_its_stack(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    change = edits.replaced(
        b"def _load_bundled(ffi: Any) -> Any:\n",
        b"def _load_bundled(ffi: Any) -> Any:\n    import threading\n\n"
        b"    threading.Event().wait()\n",
    )
    wheel = wheels.mutate(good_wheel, tmp_path, edit={"quiverdb/_loader.py": change})
    judged = judge(wheel, exercise=3)

    assert judged.names == {"hang"}
    assert judged.evidence.exercise
    assert "_load_bundled" in judged.evidence.exercise.trace
    assert "/threading.py:" in str(judged.dynamic[0].facts["frame"])


def test_declared_function_without_export_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    # The rest of the library works, and the smoke test does not call this function.
    edit = {
        API: edits.replaced(
            b"\0quiver_database_delete_element\0", b"\0quiver_database_delete_elemenX\0"
        )
    }
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit=edit))

    assert judged.names == {"symbol-not-found"}
    assert "quiver_database_delete_element" in judged.dynamic[0].message
    assert judged.evidence.steps.round_trip
    assert judged.evidence.steps.round_trip.ok


def test_syntax_error_in_an_unused_module_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, add={"quiverdb/extra.py": "def f(:\n"}))

    assert judged.names == {"syntax-error"}
    assert judged.dynamic[0].facts["file"] == "quiverdb/extra.py"


def test_entry_point_without_module_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    entry_points = "[console_scripts]\nquiver = quiverdb.cli:main\n"
    wheel = wheels.mutate(
        good_wheel, tmp_path, add={f"{edits.dist_info(good_wheel)}entry_points.txt": entry_points}
    )
    judged = judge(wheel)

    assert judged.names == {"entry-point-broken"}
    assert has_facts(judged.dynamic[0], entry_point="quiver")


@pytest.mark.parametrize(
    ("installer", "entry_points", "refused"),
    [
        ("uv", "[console_scripts\nquiver quiverdb\n", True),
        ("uv", "[console_scripts]\nq = quiverdb:version\nq = quiverdb:version\n", True),
        ("uv", "[console_scripts]\nquiver = quiverdb\n", False),
        ("pip", "[console_scripts]\nquiver = quiverdb\n", False),
    ],
    ids=["unreadable", "doubled", "no-function-uv", "no-function-pip"],
)
def test_entry_points_that_installers_refuse_are_reported(
    judge: Judge,
    good_wheel: Path,
    tmp_path: Path,
    installer: str,
    entry_points: str,
    *,
    refused: bool,
) -> None:
    add: dict[str, bytes | str] = {f"{edits.dist_info(good_wheel)}entry_points.txt": entry_points}
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=add), installer=installer)

    # The index refuses a file that is no INI.
    by_index = {"upload-refused"} if refused else set()
    assert judged.static_names == {"entry-point-broken"} | by_index
    assert {cause.severity for cause in judged.dynamic} == {"broken"}
    assert judged.names == (by_index or {"entry-point-broken"})


def test_libraries_in_the_data_folder_are_no_fault(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    move = {"quiverdb/_libs/": f"{name}-{version}.data/platlib/quiverdb/_libs/"}
    judged = judge(wheels.mutate(good_wheel, tmp_path, move=move))

    assert judged.static_names == set()
    assert judged.names == set()


@pytest.mark.parametrize(
    "code",
    ["from quiverdb._csv import export", "from . import _csv"],
    ids=["absolute", "relative"],
)
def test_missing_module_of_a_late_import_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, code: str
) -> None:
    late = f"\n\ndef _late():\n    {code}\n".encode()
    wheel = wheels.mutate(
        good_wheel, tmp_path, edit={"quiverdb/database.py": lambda data: data + late}
    )
    judged = judge(wheel)

    assert judged.static_names == {"missing-dependency"}
    assert judged.names == set(), "the smoke test does not call the function"


def test_file_of_a_dependency_in_the_wheel_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, add={"cffi/more.py": ""}))

    assert judged.static_names == {"dependency-overwritten"}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [("3.13.1", {"missing-dependency"}), ("3.13.90", set())],
    ids=["3.13.1", "3.13.90"],
)
def test_dependency_for_some_patch_releases_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, patch: str, expected: set[str]
) -> None:
    new = f'Requires-Dist: cffi>=2.0.0; python_full_version < "{patch}"\n'.encode()
    change = edits.replaced(b"Requires-Dist: cffi>=2.0.0\n", new)
    judged = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}METADATA": change})
    )

    assert judged.static_names == {"missing-dependency"}
    assert judged.names == expected, "the machine has one patch release"


def test_wheels_from_different_sources_are_reported(
    good_wheel: Path, good_windows_wheel: Path, tmp_path: Path
) -> None:
    edit = {
        "quiverdb/database.py": lambda data: data + b"\nSTALE = True\n",
        f"{edits.dist_info(good_wheel)}METADATA": edits.replaced(b"cffi>=2.0.0", b"cffi>=2.0.1"),
    }
    stale = wheels.mutate(good_windows_wheel, tmp_path, edit=edit)
    subject = load_subject()

    good = inspect_release([good_wheel, good_windows_wheel], subject)
    assert {cause.severity for cause in good.all_causes} <= {"note"}
    causes = inspect_release([good_wheel, stale], subject).causes
    assert [cause.name for cause in causes] == ["wheels-differ"] * 2
    assert "quiverdb/database.py" in " ".join(cause.message for cause in causes)


SPEED = "quiverdb/_speed.abi3.so"
FALLBACKS = {
    "at-import": ("try:\n    from . import _speed\nexcept ImportError:\n    _speed = None\n", True),
    "later": ("def fast():\n    from . import _speed\n    return _speed\n", False),
}
"""The code that loads an extension module, and whether the import of the package shows a fault."""


@pytest.mark.parametrize("name", FALLBACKS)
def test_extension_module_that_the_package_does_without_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, name: str
) -> None:
    code, is_shown = FALLBACKS[name]
    wheel = wheels.mutate(
        good_wheel,
        tmp_path,
        edit={"quiverdb/__init__.py": lambda data: data + f"\n\n{code}".encode()},
        add={SPEED: b""},
    )
    judged = judge(wheel)

    assert judged.static_names == {"damaged-library"}
    assert judged.names == ({"pure-python-fallback"} if is_shown else set())
    if is_shown:
        assert has_facts(judged.dynamic[0], refused=1, count=1, needed_by=Path(SPEED).name)
