from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from elftools.elf.elffile import ELFFile

from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    MEMCPY,
    SUBJECT,
    linux_api,
    linux_core,
    linux_wheel,
)
from verification.models.cause import Cause
from verification.wheel import Inspection, elf, inspect
from verification.wheel.libraries import Import


def look(wheel: Path) -> Inspection:
    return inspect(wheel, subject=SUBJECT)


def with_core(folder: Path, **changes: object) -> Inspection:
    return look(linux_wheel(folder, {LINUX_CORE: linux_core(**changes)}))


def only(inspection: Inspection) -> Cause:
    (cause,) = inspection.causes
    return cause


def test_a_needed_library_that_the_tag_does_not_promise_is_named(tmp_path: Path) -> None:
    cause = only(with_core(tmp_path, needed=["liblua5.4.so.0", "libc.so.6", "libstdc++.so.6"]))
    assert (cause.name, cause.where) == ("missing-runtime-library", LINUX_CORE)
    assert "liblua5.4.so.0" in cause.message
    assert "auditwheel repair" in cause.remedy


def test_a_library_is_found_by_the_soname_of_one_that_was_opened_before(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(soname="libquiver.so.0"),
        LINUX_API: linux_api(needed=["libquiver.so.0", "libc.so.6"], run_path=None),
    }
    assert look(linux_wheel(tmp_path, files)).causes == ()


def test_a_carried_library_that_no_run_path_reaches_is_named(tmp_path: Path) -> None:
    files = {
        "quiverdb/other/libx.so.1": linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path="$ORIGIN"),
    }
    cause = only(look(linux_wheel(tmp_path, files)))
    assert cause.name == "missing-runtime-library"
    assert "no run path leads to quiverdb/other/libx.so.1" in cause.message


@pytest.mark.parametrize(
    ("version", "symbol"),
    [("GLIBC_2.38", "__isoc23_strtol"), ("GLIBC_ABI_DT_RELR", "x_y"), ("GLIBC_2.29", "exp")],
)
def test_a_newer_glibc_than_the_tag_promises_is_named_with_its_user(
    tmp_path: Path, version: str, symbol: str
) -> None:
    cause = only(with_core(tmp_path, imports=[MEMCPY, Import(symbol, "libc.so.6", version)]))
    assert (cause.name, cause.where) == ("glibc-floor", LINUX_CORE)
    assert f"{version} of libc.so.6 ({symbol})" in cause.message
    assert "above manylinux_2_28_x86_64" in cause.message


def test_the_promise_is_that_of_the_wheels_own_tag(tmp_path: Path) -> None:
    core = linux_core(imports=[Import("fcntl64", "libc.so.6", "GLIBC_2.28")])
    files = {LINUX_CORE: core}
    assert look(linux_wheel(tmp_path, files)).causes == ()
    older = linux_wheel(tmp_path, files, tag="cp313-cp313-manylinux_2_17_x86_64")
    assert only(look(older)).name == "glibc-floor"


def test_a_tag_between_two_policies_promises_its_own_glibc(tmp_path: Path) -> None:
    core = linux_core(imports=[Import("glob", "libc.so.6", "GLIBC_2.27")])
    later = linux_core(imports=[Import("x_y", "libc.so.6", "GLIBC_2.25")])
    tag = "cp313-cp313-manylinux_2_25_x86_64"
    assert look(linux_wheel(tmp_path, {LINUX_CORE: later}, tag=tag)).causes == ()
    assert only(look(linux_wheel(tmp_path, {LINUX_CORE: core}, tag=tag))).name == "glibc-floor"


@pytest.mark.parametrize("version", ["GLIBCXX_3.4.32", "CXXABI_1.3.15", "GCC_14.0.0"])
def test_a_newer_compiler_runtime_than_the_tag_promises_is_named(
    tmp_path: Path, version: str
) -> None:
    wanted = [MEMCPY, Import("_ZSt21x", "libstdc++.so.6", version)]
    cause = only(with_core(tmp_path, imports=wanted))
    assert cause.name == "libstdcxx-floor"
    assert f"{version} of libstdc++.so.6 (_ZSt21x)" in cause.message


def test_both_floors_are_told_and_each_by_its_highest_version(tmp_path: Path) -> None:
    wanted = [
        Import("a_b", "libc.so.6", "GLIBC_2.34"),
        Import("c_d", "libc.so.6", "GLIBC_2.100"),
        Import("e_f", "libstdc++.so.6", "GLIBCXX_3.4.32"),
    ]
    glibc, libstdcxx = with_core(tmp_path, imports=wanted).causes
    assert (glibc.name, libstdcxx.name) == ("glibc-floor", "libstdcxx-floor")
    assert "GLIBC_2.100 of libc.so.6 (c_d) and 1 more such version," in glibc.message


def test_a_newer_version_of_another_system_library_is_told(tmp_path: Path) -> None:
    cause = only(
        with_core(
            tmp_path,
            needed=["libz.so.1", "libc.so.6", "libstdc++.so.6"],
            imports=[Import("crc32_z", "libz.so.1", "ZLIB_1.2.99")],
        )
    )
    assert cause.name == "runtime-too-old"


@pytest.mark.parametrize(
    "symbol", ["quiver_core_gone", "sqlite3_open_v2", "_ZN6quiver8Database4openEv"]
)
def test_a_symbol_that_no_library_provides_is_named(tmp_path: Path, symbol: str) -> None:
    api = linux_api(imports=[MEMCPY, Import("quiver_core_open"), Import(symbol)])
    cause = only(look(linux_wheel(tmp_path, {LINUX_API: api})))
    assert (cause.name, cause.where) == ("symbol-not-found", LINUX_API)
    assert f"needs {symbol}, which no library it loads provides" in cause.message


def test_a_symbol_is_judged_by_its_kin_where_libc_is_not_linked(tmp_path: Path) -> None:
    wanted = [Import("quiver_core_open"), Import("quiver_core_gone"), Import("sched_yield")]
    api = linux_api(needed=["libquiver.so"], imports=wanted)
    cause = only(look(linux_wheel(tmp_path, {LINUX_API: api})))
    assert cause.name == "symbol-not-found"
    assert "needs quiver_core_gone, which" in cause.message


@pytest.mark.parametrize(
    "symbol", ["cos", "lgamma_r", "pthread_create", "PyList_New", "_ZNSt6localeD1Ev", "_ZTVSt9bad"]
)
def test_a_name_that_the_system_might_have_is_left_to_the_machines(
    tmp_path: Path, symbol: str
) -> None:
    assert with_core(tmp_path, imports=[MEMCPY, Import(symbol)]).causes == ()


def test_symbols_are_not_judged_beside_a_library_without_versions(tmp_path: Path) -> None:
    inspection = with_core(
        tmp_path,
        needed=["libX11.so.6", "libc.so.6", "libstdc++.so.6"],
        imports=[MEMCPY, Import("XOpen_Display")],
    )
    assert inspection.causes == ()


def test_a_versioned_symbol_of_a_carried_library_must_be_there(tmp_path: Path) -> None:
    api = linux_api(imports=[Import("quiver_core_gone", "libquiver.so", "QUIVER_1")])
    assert only(look(linux_wheel(tmp_path, {LINUX_API: api}))).name == "symbol-not-found"


@pytest.mark.parametrize("change", [{"executable_stack": True}, {"stack_header": False}])
def test_a_library_that_asks_for_an_executable_stack_is_told(
    tmp_path: Path, change: dict[str, bool]
) -> None:
    cause = only(with_core(tmp_path, **change))
    assert (cause.name, cause.where) == ("executable-stack", LINUX_CORE)


def test_open_symbols_of_the_embedded_library_are_a_note(tmp_path: Path) -> None:
    cause = only(
        with_core(
            tmp_path,
            exports=["quiver_core_open", "sqlite3_open", "sqlite3_step"],
            own_calls=["sqlite3_open", "sqlite3_step"],
        )
    )
    assert (cause.name, cause.severity) == ("symbol-interposition", "note")
    assert "exports 2 sqlite3_* symbols" in cause.message


@pytest.mark.parametrize(
    "change", [{"own_calls": []}, {"own_calls": ["sqlite3_open"], "symbolic": True}]
)
def test_embedded_symbols_that_are_bound_inside_are_no_risk(
    tmp_path: Path, change: dict[str, object]
) -> None:
    inspection = with_core(tmp_path, exports=["quiver_core_open", "sqlite3_open"], **change)
    assert inspection.causes == ()


def test_the_facts_of_a_library_are_read(tmp_path: Path) -> None:
    inspection = look(linux_wheel(tmp_path))
    api = next(one for one in inspection.libraries if one.path == LINUX_API)
    assert api.soname == "libquiver_c.so"
    assert api.needed == ("libquiver.so", "libc.so.6")
    assert api.run_paths == ("$ORIGIN",)
    assert api.exports == {"quiver_version"}
    assert api.imports == (MEMCPY, Import("quiver_core_open"))


@pytest.mark.parametrize("run_path", ["/tmp", "/build/lib:$ORIGIN", "$ORIGINAL/lib"])  # noqa: S108
def test_a_run_path_into_the_building_machine_is_named(tmp_path: Path, run_path: str) -> None:
    cause = only(with_core(tmp_path, run_path=run_path))
    assert (cause.name, cause.severity, cause.where) == ("foreign-run-path", "flawed", LINUX_CORE)
    assert run_path.partition(":")[0] in cause.message


@pytest.mark.parametrize("name", ["tool", "libnew.so-1", "data.bin"])
def test_native_code_under_any_name_needs_what_the_tag_promises(tmp_path: Path, name: str) -> None:
    newer = linux_core(soname="x", imports=[MEMCPY, Import("exp", "libc.so.6", "GLIBC_2.36")])
    cause = only(look(linux_wheel(tmp_path, {f"quiverdb/{name}": newer})))
    assert (cause.name, cause.where) == ("glibc-floor", f"quiverdb/{name}")


def test_data_that_only_begins_like_native_code_is_none(tmp_path: Path) -> None:
    files = {"quiverdb/a.txt": b"MZ and more", "quiverdb/b.txt": b"\x7fELF", "quiverdb/c.class":
             b"\xca\xfe\xba\xbe"}  # fmt: skip
    assert look(linux_wheel(tmp_path, files)).causes == ()


def _note(needed: int) -> bytes:
    """Return .note.gnu.property with this value of GNU_PROPERTY_X86_ISA_1_NEEDED."""
    properties = struct.pack("<III4x", 0xC0008002, 4, needed)
    return struct.pack("<III4s", 4, len(properties), 5, b"GNU\0") + properties


@pytest.mark.parametrize(("bits", "version"), [(0, 1), (1, 1), (3, 2), (7, 3), (8, 4)])
def test_the_processor_that_a_library_asks_for_is_read(bits: int, version: int) -> None:
    segment = SimpleNamespace(data=lambda: b"".join([_note(0), _note(bits)]))
    assert elf._instruction_set(cast("Any", _Header(segment))) == version


class _Header:
    """An ELF file for x86-64 with this segment."""

    def __init__(self, segment: SimpleNamespace) -> None:
        self.segment = segment

    def iter_segments(self, **_: str) -> list[SimpleNamespace]:
        return [self.segment]

    def __getitem__(self, _: str) -> str:
        return "EM_X86_64"


def test_a_library_for_newer_processors_alone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elf, "_instruction_set", lambda _: 3)
    found = look(linux_wheel(tmp_path))
    assert found.names() == {"illegal-instruction"}
    assert "x86-64-v3" in found.causes[0].message


def test_a_count_of_versions_beyond_the_file_is_damage_and_no_long_wait(tmp_path: Path) -> None:
    data = linux_core()
    file = ELFFile(io.BytesIO(data))
    number = next(
        n for n in range(file.num_sections()) if file.get_section(n).name == ".gnu.version_r"
    )
    at = file["e_shoff"] + number * file["e_shentsize"] + 44  # sh_info
    damaged = data[:at] + struct.pack("<I", 0xFFFFFFFF) + data[at + 4 :]
    cause = next(c for c in look(linux_wheel(tmp_path, {LINUX_CORE: damaged})).causes)
    assert (cause.name, cause.where) == ("missing-bundled-library", LINUX_CORE)
    assert "needed versions in" in cause.message
