"""Faults planted in the wheel, one at a time: both layers must call each by its name."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from containers.engine import Engine
from tests.faults import edits
from tests.faults.conftest import Judge
from tests.helpers import wheel_builder as wheels
from verification.session.run_cell import PlantedFault
from verification.subjects.subject import load as load_subject
from verification.wheel.release_inspection import inspect_release

pytestmark = pytest.mark.recorded

LIBRARIES = ("quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so")


def test_the_wheel_as_built_has_no_fault(judge: Judge, good_wheel: Path) -> None:
    seen = judge(good_wheel)

    assert seen.static_names == set()
    assert seen.names == set()
    assert seen.evidence.steps.round_trip
    assert seen.evidence.steps.round_trip.ok


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_missing_from_libs(
    judge: Judge, good_wheel: Path, tmp_path: Path, library: str
) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, remove=[library]))

    assert seen.static_names == {"missing-bundled-library"}
    assert seen.names == {"missing-bundled-library"}
    assert Path(library).name in seen.dynamic[0].message
    assert seen.evidence.import_run
    assert seen.evidence.import_run.code == 0, "import alone passes: the loader is lazy"


LOAD_PATHS = edits.wrong_load_paths(LIBRARIES[0])


@pytest.mark.parametrize("name", LOAD_PATHS)
def test_a_library_that_the_package_looks_for_where_it_is_not(
    judge: Judge, good_wheel: Path, tmp_path: Path, name: str
) -> None:
    change, path = LOAD_PATHS[name]
    seen = judge(wheels.mutate(good_wheel, tmp_path, **change))

    # The inspection compares the wheel with the subject, and reads no path in the code.
    assert seen.static_names == (set() if "edit" in change else {"wrong-load-path"})
    assert seen.names == {"wrong-load-path"}
    facts = seen.dynamic[0].facts
    assert str(facts["path"]).endswith(f"/{path}")
    assert str(facts["sought"]).endswith("libquiver.so")
    assert facts["sought"] != facts["path"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_cut_off(
    judge: Judge, good_wheel: Path, tmp_path: Path, library: str
) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit={library: edits.cut_off}))

    assert seen.static_names == {"damaged-library"}
    assert seen.names == {"damaged-library"}


def test_a_library_without_content(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit={LIBRARIES[0]: lambda _: b""}))

    assert seen.static_names == {"damaged-library"}
    assert seen.names == {"damaged-library"}


def _odd(data: bytes) -> bytes:
    """Return a library without section headers and with other data after its end."""
    header = bytearray(data[:64])
    header[40:48], header[58:64] = bytes(8), bytes(6)  # e_shoff; e_shentsize, e_shnum, e_shstrndx
    return bytes(header) + data[64:] + b"another file" * 500


def test_a_library_that_is_odd_and_whole_has_no_fault(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit={LIBRARIES[1]: _odd}))

    assert seen.static_names == set()
    assert seen.names == set()


def test_empty_libs_with_the_libraries_reachable_by_ld_library_path(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(good_wheel) as archive:
        decoys = {f"/opt/decoy/{Path(name).name}": archive.read(name) for name in LIBRARIES}
    seen = judge(
        wheels.mutate(good_wheel, tmp_path, remove=LIBRARIES),
        PlantedFault(environment={"LD_LIBRARY_PATH": "/opt/decoy"}, files=decoys),
    )

    assert seen.static_names == {"missing-bundled-library"}
    assert seen.names == {"wrong-library-loaded"}
    assert "/opt/decoy/libquiver.so" in " ".join(cause.message for cause in seen.dynamic)
    assert seen.evidence.import_run
    assert seen.evidence.import_run.code == 0
    assert seen.evidence.steps.native_call
    assert seen.evidence.steps.native_call.ok, "it works, for the wrong reason"


def test_a_wrong_native_version(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    seen = judge(wheels.set_version(good_wheel, tmp_path, "0.5.1"))

    assert seen.names == {"version-mismatch"}
    assert "the native library says 0.5.0, the release is 0.5.1" in seen.dynamic[0].message


def test_a_record_hash_off_by_one_byte(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    record = f"{edits.dist_info(good_wheel)}RECORD"

    def off_by_one(data: bytes) -> bytes:
        found = re.search(rb"quiverdb/database\.py,sha256=(.)", data)
        assert found
        other = b"A" if found[1] != b"A" else b"B"
        return data[: found.start(1)] + other + data[found.end(1) :]

    seen = judge(wheels.mutate(good_wheel, tmp_path, edit={record: off_by_one}, fix_record=False))

    assert seen.static_names == {"record-mismatch"}
    assert seen.names == {"record-mismatch"}
    assert "quiverdb/database.py" in seen.dynamic[0].where


def test_a_stray_top_level_folder(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, add={"lib64/libleft.a": b"!<arch>\n"}))

    assert seen.static_names == {"stray-top-level"}
    assert {cause.severity for cause in seen.static if cause.severity != "note"} == {"flawed"}
    assert seen.names == set(), "it works all the same"


def test_a_wheel_tag_that_differs_from_the_file_name(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(b"Tag: cp313-cp313-", b"Tag: cp312-cp312-")
    seen = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}WHEEL": change})
    )

    assert seen.static_names == {"tag-mismatch"}


def test_a_tag_that_lies_about_glibc(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    old, new = "manylinux_2_28_x86_64", "manylinux_2_17_x86_64"
    wheel = wheels.mutate(
        good_wheel,
        tmp_path,
        edit={f"{edits.dist_info(good_wheel)}WHEEL": edits.replaced(old.encode(), new.encode())},
        rename=re.sub(r"manylinux\S*x86_64", new, good_wheel.name),
    )
    seen = judge(wheel)

    assert seen.static_names == {"glibc-floor"}
    assert "GLIBC_2.28" in " ".join(cause.message for cause in seen.static)
    assert seen.names == set(), "this machine's glibc is new enough: only the static layer can see"


def test_a_missing_dependency(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    change = edits.replaced(b"Requires-Dist: cffi>=2.0.0\n", b"")
    seen = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}METADATA": change})
    )

    assert seen.static_names == {"missing-dependency"}
    assert seen.names == {"missing-dependency"}
    assert "cffi" in seen.dynamic[0].message


def test_a_python_that_no_wheel_fits_is_refused_cleanly(
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
    seen = judge(wheel)

    assert seen.names == {"unsupported-python"}
    assert "refused cleanly" in seen.dynamic[0].message
    assert [p for p in seen.evidence.installed.added if "site-packages" in p] == []


def test_a_crash_is_named_with_its_last_frame(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(
        b"def _load_bundled(ffi: Any) -> Any:\n",
        b"def _load_bundled(ffi: Any) -> Any:\n    import faulthandler\n\n"
        b"    faulthandler._sigsegv()\n",
    )
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit={"quiverdb/_loader.py": change}))

    assert seen.names == {"crash"}
    assert "SIGSEGV" in seen.dynamic[0].message
    assert "_loader.py" in seen.dynamic[0].message
    assert "in _load_bundled" in seen.dynamic[0].message


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
def test_an_interpreter_that_does_not_end_as_it_should(
    judge: Judge, good_wheel: Path, tmp_path: Path, planted: bytes, cause: str
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.at_first_use(planted))
    seen = judge(wheel, exercise=5)

    assert seen.names == {cause}


# What a compiler's -ffast-math has the start-up code of a shared library do.
FLUSHING = """
__attribute__((constructor)) static void begin(void) {
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
}
__attribute__((constructor)) static void quiet(void) {
    extern void (*signal(int, void (*)(int)))(int);
    signal(10, (void (*)(int))1);
}
"""


def test_a_package_that_changes_the_process_of_its_user(
    judge: Judge, found: Engine, good_wheel: Path, tmp_path: Path
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
        add={"quiverdb/_libs/libextra.so": edits.compiled(found, FLUSHING)},
        **edits.at_first_use(planted),
    )
    seen = judge(wheel)

    assert "process-changed" in seen.names
    (cause,) = (cause for cause in seen.dynamic if cause.name == "process-changed")
    state = seen.evidence.steps.process_state
    changed = state.value if state and state.value else {}
    assert set(changed) == {
        "current folder", "umask", "locale", "half of the smallest normal number",
        "handler of SIGINT", "signals ignored", "signals handled",
    }  # fmt: skip
    assert "half of the smallest normal number: 1.1125369292536007e-308 became 0.0" in cause.message


def test_data_that_never_reaches_the_disk(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    fake = (
        b"\n\n_real_close = Database.close\n\n\n"
        b"def _forget(self):\n    import os\n    path = self.path()\n    _real_close(self)\n"
        b"    if os.path.exists(path):\n        os.replace(path, path + '.kept')\n\n\n"
        b"_real_open = Database.open.__func__\n\n\n"
        b"def _pretend(cls, path, **options):\n"
        b"    return _real_open(cls, str(path) + '.kept', **options)\n\n\n"
        b"Database.close = _forget\nDatabase.open = classmethod(_pretend)\n"
    )
    wheel = wheels.mutate(
        good_wheel, tmp_path, edit={"quiverdb/database.py": lambda data: data + fake}
    )
    seen = judge(wheel)

    assert seen.names == {"round-trip-failed"}
    assert "database file" in " ".join(cause.where for cause in seen.dynamic)


def test_a_file_that_the_index_refuses(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    seen = judge(wheels.set_version(good_wheel, tmp_path, "0.5.0+local"))

    assert seen.names == {"upload-refused"}
    assert "local" in seen.dynamic[0].message


@pytest.mark.parametrize(
    ("new", "who", "reason"),
    [
        (b"Classifier: Klingon\nRequires-Python", "the index", "'Klingon' is not a valid class"),
        (
            b"Author: Jos\xe9\nRequires-Python",
            "twine",
            "InvalidDistribution: Invalid distribution metadata: unrecognized or malformed field",
        ),
    ],
    ids=["classifier", "latin-1"],
)
def test_metadata_that_is_refused(
    judge: Judge, good_wheel: Path, tmp_path: Path, new: bytes, who: str, reason: str
) -> None:
    change = edits.metadata(good_wheel, b"Requires-Python", new)
    seen = judge(wheels.mutate(good_wheel, tmp_path, **change))

    assert "upload-refused" in {cause.name for cause in seen.dynamic}
    assert f"{who} refused the " in seen.dynamic[0].message
    assert reason in seen.dynamic[0].message


def test_a_hang_is_named_with_its_stack(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    change = edits.replaced(
        b"def _load_bundled(ffi: Any) -> Any:\n",
        b"def _load_bundled(ffi: Any) -> Any:\n    import threading\n\n"
        b"    threading.Event().wait()\n",
    )
    wheel = wheels.mutate(good_wheel, tmp_path, edit={"quiverdb/_loader.py": change})
    seen = judge(wheel, exercise=3)

    assert seen.names == {"hang"}
    assert seen.evidence.exercise
    assert "_load_bundled" in seen.evidence.exercise.trace
    assert "threading.py" in seen.dynamic[0].message


def test_a_function_that_is_declared_and_that_no_library_exports(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    # The rest of the library works, so that only who calls this one would see it.
    edit = {
        LIBRARIES[1]: edits.replaced(
            b"\0quiver_database_delete_element\0", b"\0quiver_database_delete_elemenX\0"
        )
    }
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit=edit))

    assert seen.names == {"symbol-not-found"}
    assert "quiver_database_delete_element" in seen.dynamic[0].message
    assert seen.evidence.steps.round_trip
    assert seen.evidence.steps.round_trip.ok


def test_a_module_with_an_error_of_syntax_that_nothing_imports(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, add={"quiverdb/extra.py": "def f(:\n"}))

    assert seen.names == {"syntax-error"}
    assert "quiverdb/extra.py" in seen.dynamic[0].where


def test_a_command_whose_module_is_not_in_the_wheel(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    told = "[console_scripts]\nquiver = quiverdb.cli:main\n"
    wheel = wheels.mutate(
        good_wheel, tmp_path, add={f"{edits.dist_info(good_wheel)}entry_points.txt": told}
    )
    seen = judge(wheel)

    assert seen.names == {"entry-point-broken"}
    assert "quiver = quiverdb.cli:main" in seen.dynamic[0].message


@pytest.mark.parametrize(
    ("installer", "told"),
    [
        ("uv", "[console_scripts\nquiver quiverdb\n"),
        ("uv", "[console_scripts]\nq = quiverdb:version\nq = quiverdb:version\n"),
        ("uv", "[console_scripts]\nquiver = quiverdb\n"),
        ("pip", "[console_scripts]\nquiver = quiverdb\n"),
    ],
    ids=["unreadable", "doubled", "no-function-uv", "no-function-pip"],
)
def test_entry_points_that_an_installer_refuses(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str, told: str
) -> None:
    add: dict[str, bytes | str] = {f"{edits.dist_info(good_wheel)}entry_points.txt": told}
    seen = judge(wheels.mutate(good_wheel, tmp_path, add=add), installer=installer)

    assert seen.static_names == {"entry-point-broken"}
    assert {(cause.name, cause.severity) for cause in seen.dynamic} == {
        ("entry-point-broken", "broken")
    }


def test_libraries_in_the_data_folder_are_installed_where_they_belong(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    name, version, _ = good_wheel.name.split("-", 2)
    move = {"quiverdb/_libs/": f"{name}-{version}.data/platlib/quiverdb/_libs/"}
    seen = judge(wheels.mutate(good_wheel, tmp_path, move=move))

    assert seen.static_names == set()
    assert seen.names == set()


@pytest.mark.parametrize("code", ["from quiverdb._csv import export", "from . import _csv"])
def test_a_module_of_the_package_that_only_a_function_imports(
    judge: Judge, good_wheel: Path, tmp_path: Path, code: str
) -> None:
    late = f"\n\ndef _late():\n    {code}\n".encode()
    wheel = wheels.mutate(
        good_wheel, tmp_path, edit={"quiverdb/database.py": lambda data: data + late}
    )
    seen = judge(wheel)

    assert seen.static_names == {"missing-dependency"}
    assert seen.names == set(), "nobody called it: only the static layer can see"


def test_a_module_of_a_dependency_in_the_wheel(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    seen = judge(wheels.mutate(good_wheel, tmp_path, add={"cffi/more.py": ""}))

    assert seen.static_names == {"dependency-overwritten"}


@pytest.mark.parametrize(
    ("patch", "shown"), [("3.13.1", {"missing-dependency"}), ("3.13.90", set())]
)
def test_a_dependency_that_is_declared_for_some_patch_releases_only(
    judge: Judge, good_wheel: Path, tmp_path: Path, patch: str, shown: set[str]
) -> None:
    new = f'Requires-Dist: cffi>=2.0.0; python_full_version < "{patch}"\n'.encode()
    change = edits.replaced(b"Requires-Dist: cffi>=2.0.0\n", new)
    seen = judge(
        wheels.mutate(good_wheel, tmp_path, edit={f"{edits.dist_info(good_wheel)}METADATA": change})
    )

    assert seen.static_names == {"missing-dependency"}
    assert seen.names == shown, "a machine has one patch release: the static layer looks at all"


def test_a_windows_wheel_of_another_source(
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
    seen = inspect_release([good_wheel, stale], subject)
    assert [cause.name for cause in seen.causes] == ["wheels-differ"] * 2
    assert "quiverdb/database.py" in str(seen.causes)
