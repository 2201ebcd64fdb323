from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.causes import Cause
from tests.support.inspection import Inspection, inspect
from tests.support.inspection.libraries import Import
from tests.support.samples import (
    LINUX_API,
    LINUX_CORE,
    MEMCPY,
    SUBJECT,
    linux_api,
    linux_core,
    linux_wheel,
)


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
