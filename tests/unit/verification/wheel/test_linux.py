from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.binaries import property_note
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    MEMCPY,
    inspect,
    linux_api,
    linux_core,
    linux_wheel,
    only_cause,
    symbol,
)
from verification.models.inspection import WheelInspection

MANYLINUX_2_28 = "manylinux_2_28_x86_64"


def with_core(folder: Path, **changes: object) -> Path:
    return linux_wheel(folder, {LINUX_CORE: linux_core(**changes)})


def judged(folder: Path, files: Mapping[str, bytes], platform: str) -> WheelInspection:
    """Return the inspection of a wheel for a platform that may be more than is declared."""
    return inspect(linux_wheel(folder, files, tag=f"cp313-cp313-{platform}"), additional=True)


# ---- libraries ----


def test_a_needed_library_that_the_tag_does_not_promise_is_named(tmp_path: Path) -> None:
    needed = ["liblua5.4.so.0", "libc.so.6", "libstdc++.so.6"]
    cause = only_cause(with_core(tmp_path, needed=needed))
    assert (cause.name, cause.where) == ("missing-runtime-library", LINUX_CORE)
    assert cause.facts == {"library": "liblua5.4.so.0"}
    assert cause.message.startswith(
        f"needs liblua5.4.so.0, which the wheel does not carry and {MANYLINUX_2_28} does not"
    )
    assert "auditwheel repair" in cause.remedy


@pytest.mark.parametrize(
    "name",
    ["libz.so.1", "libX11.so.6", "ld-linux-aarch64.so.1", "ld64.so.2", "ld-musl-x86_64.so.1"],
)
def test_what_every_system_has_is_no_fault(tmp_path: Path, name: str) -> None:
    needed = [name, "libc.so.6", "libstdc++.so.6"]
    assert inspect(with_core(tmp_path, needed=needed)).causes == ()


def test_a_musl_system_has_only_its_own_libraries(tmp_path: Path) -> None:
    needed = ["libc.musl-x86_64.so.1", "libstdc++.so.6"]
    files = {
        LINUX_CORE: linux_core(needed=needed, imports=[]),
        LINUX_API: linux_api(needed=["libquiver.so"], imports=[symbol("quiver_core_open")]),
    }
    (cause,) = judged(tmp_path, files, "musllinux_1_2_x86_64").causes
    assert cause.name == "missing-runtime-library"
    assert "needs libstdc++.so.6, which the wheel does not carry and musllinux_1_2_x86_64" in (
        cause.message
    )


def test_a_library_is_found_by_the_soname_of_one_that_was_opened_before(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(soname="libquiver.so.0"),
        LINUX_API: linux_api(needed=["libquiver.so.0", "libc.so.6"], run_path=None),
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()


OTHER = "quiverdb/other/libx.so.1"


@pytest.mark.parametrize(
    "run_path",
    ["$ORIGIN/../other", "${ORIGIN}/../other", "$ORIGIN/../_libs/../other/", "/x:$ORIGIN/../other"],
)
def test_a_carried_library_is_found_by_the_run_path(tmp_path: Path, run_path: str) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path=run_path),
    }
    names = inspect(linux_wheel(tmp_path, files)).cause_names()
    assert names == ({"foreign-run-path"} if run_path.startswith("/x") else set())


@pytest.mark.parametrize("run_path", ["$ORIGIN", "$ORIGIN/../other/deep", "other", None])
def test_a_carried_library_that_no_run_path_reaches_is_named(
    tmp_path: Path, run_path: str | None
) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path=run_path),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    cause = next(cause for cause in causes if cause.name == "missing-runtime-library")
    assert (cause.where, cause.facts) == (LINUX_CORE, {"library": "libx.so.1"})
    assert f"needs libx.so.1, and no run path leads to {OTHER}" in cause.message


def test_the_run_path_of_another_user_helps(tmp_path: Path) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"]),
        LINUX_API: linux_api(needed=["libx.so.1", "libc.so.6"], run_path="$ORIGIN/../other"),
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()


def test_the_run_path_of_who_does_not_need_it_is_no_help(tmp_path: Path) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"]),
        LINUX_API: linux_api(run_path="$ORIGIN/../other"),
    }
    assert only_cause(linux_wheel(tmp_path, files)).where == LINUX_CORE


def test_the_linker_looks_for_the_file_name(tmp_path: Path) -> None:
    files = {
        "quiverdb/other/renamed.so": linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path="$ORIGIN/../other"),
    }
    assert "no run path leads to quiverdb/other/renamed.so" in (
        only_cause(linux_wheel(tmp_path, files)).message
    )


@pytest.mark.parametrize("run_path", ["/tmp", "/build/lib:$ORIGIN", "$ORIGINAL/lib"])  # noqa: S108
def test_a_run_path_into_the_building_machine_is_named(tmp_path: Path, run_path: str) -> None:
    cause = only_cause(with_core(tmp_path, run_path=run_path))
    assert (cause.name, cause.severity, cause.where) == ("foreign-run-path", "flawed", LINUX_CORE)
    assert f"looks for libraries in {run_path.partition(':')[0]}, a folder" in cause.message
    assert cause.facts == {"folders": (run_path.partition(":")[0],)}


@pytest.mark.parametrize("run_path", ["$ORIGIN", "${ORIGIN}/lib", "$ORIGIN/..:", ":$ORIGIN"])
def test_a_run_path_into_the_wheel_is_no_fault(tmp_path: Path, run_path: str) -> None:
    assert inspect(with_core(tmp_path, run_path=run_path)).causes == ()


# ---- symbol versions ----


@pytest.mark.parametrize(
    ("version", "name"),
    [("GLIBC_2.38", "__isoc23_strtol"), ("GLIBC_ABI_DT_RELR", "x_y"), ("GLIBC_2.29", "exp")],
)
def test_a_newer_glibc_than_the_tag_promises_is_named_with_its_user(
    tmp_path: Path, version: str, name: str
) -> None:
    imports = [MEMCPY, symbol(name, "libc.so.6", version)]
    cause = only_cause(with_core(tmp_path, imports=imports))
    assert (cause.name, cause.where) == ("glibc-floor", LINUX_CORE)
    assert cause.facts == {"library": "libc.so.6", "version": version}
    assert cause.message.startswith(
        f"needs {version} of libc.so.6 ({name}), above {MANYLINUX_2_28};"
    )


def test_the_promise_is_that_of_the_wheels_own_tag(tmp_path: Path) -> None:
    files = {LINUX_CORE: linux_core(imports=[symbol("fcntl64", "libc.so.6", "GLIBC_2.28")])}
    assert inspect(linux_wheel(tmp_path, files)).causes == ()
    older = linux_wheel(tmp_path, files, tag="cp313-cp313-manylinux_2_17_x86_64")
    cause = only_cause(older)
    assert (cause.name, "above manylinux_2_17_x86_64" in cause.message) == ("glibc-floor", True)


@pytest.mark.parametrize("tag", ["manylinux_2_25_x86_64", "manylinux_2_26_x86_64"])
def test_a_tag_between_two_policies_promises_its_own_glibc(tmp_path: Path, tag: str) -> None:
    tag = f"cp313-cp313-{tag}"
    for version, good in (("2.25", True), ("2.27", False), ("2.3.4", True)):
        core = linux_core(imports=[symbol("x_y", "libc.so.6", f"GLIBC_{version}")])
        causes = inspect(linux_wheel(tmp_path, {LINUX_CORE: core}, tag=tag)).causes
        assert [cause.name for cause in causes] == ["glibc-floor"] * (not good)


def test_a_tag_newer_than_every_policy_promises_its_own_glibc(tmp_path: Path) -> None:
    core = linux_core(imports=[symbol("x_y", "libc.so.6", "GLIBC_2.90")])
    for tag, good in (("manylinux_2_90_x86_64", True), ("manylinux_2_89_x86_64", False)):
        names = judged(tmp_path, {LINUX_CORE: core}, tag).cause_names()
        assert names == (set() if good else {"glibc-floor"})


@pytest.mark.parametrize(
    ("library", "version", "name"),
    [
        ("libstdc++.so.6", "GLIBCXX_3.4.32", "libstdcxx-floor"),
        ("libstdc++.so.6", "CXXABI_1.3.15", "libstdcxx-floor"),
        ("libgcc_s.so.1", "GCC_14.0.0", "libstdcxx-floor"),
        ("libatomic.so.1", "LIBATOMIC_1.9", "libstdcxx-floor"),
        ("libz.so.1", "ZLIB_1.2.99", "runtime-too-old"),
    ],
)
def test_a_newer_version_than_the_tag_promises_is_named(
    tmp_path: Path, library: str, version: str, name: str
) -> None:
    wanted = [MEMCPY, symbol("_ZSt21x", library, version)]
    needed = [library, "libc.so.6", "libstdc++.so.6"]
    causes = inspect(with_core(tmp_path, needed=needed, imports=wanted)).causes
    cause = next(cause for cause in causes if cause.name == name)
    assert cause.message.startswith(f"needs {version} of {library} (_ZSt21x), above")
    assert {other.name for other in causes} <= {name, "missing-runtime-library"}  # libatomic


@pytest.mark.parametrize(
    "wanted",
    [
        symbol("_Znwm", "libstdc++.so.6", "GLIBCXX_3.4"),
        symbol("crc32", "libz.so.1", "ZLIB_1.2.0"),
        symbol("own_open", "libown.so", "OWN_99"),
    ],
)
def test_a_version_that_the_tag_promises_or_does_not_know_is_no_fault(
    tmp_path: Path, wanted: object
) -> None:
    assert "floor" not in str(inspect(with_core(tmp_path, imports=[MEMCPY, wanted])).cause_names())


def test_both_floors_are_named_and_each_by_its_highest_version(tmp_path: Path) -> None:
    wanted = [
        symbol("a_b", "libc.so.6", "GLIBC_2.34"),
        symbol("c_d", "libc.so.6", "GLIBC_2.100"),
        symbol("e_f", "libstdc++.so.6", "GLIBCXX_3.4.32"),
    ]
    glibc, libstdcxx = inspect(with_core(tmp_path, imports=wanted)).causes
    assert (glibc.name, libstdcxx.name) == ("glibc-floor", "libstdcxx-floor")
    assert "GLIBC_2.100 of libc.so.6 (c_d) and 1 more such version, above" in glibc.message
    assert "GLIBCXX_3.4.32 of libstdc++.so.6 (e_f), above" in libstdcxx.message


def test_the_users_and_the_other_versions_are_counted(tmp_path: Path) -> None:
    wanted = [symbol(f"{name}_x", "libc.so.6", "GLIBC_2.40") for name in "dcab"]
    wanted += [symbol(f"x{minor}", "libc.so.6", f"GLIBC_2.{minor}") for minor in (38, 39)]
    cause = only_cause(with_core(tmp_path, imports=wanted))
    assert "GLIBC_2.40 of libc.so.6 (a_x, b_x and 2 more) and 2 more such versions, above" in (
        cause.message
    )


@pytest.mark.parametrize("platform", ["manylinux_2_28_loongarch64", "manylinux_2_28_nothing"])
def test_an_architecture_without_a_policy_promises_nothing(tmp_path: Path, platform: str) -> None:
    core = linux_core(needed=["libzzz.so.1", "libc.so.6"], machine="x86_64")
    found = inspect(linux_wheel(tmp_path, {LINUX_CORE: core}, tag=f"cp313-cp313-{platform}"))
    assert "missing-runtime-library" not in found.cause_names()


# ---- symbols ----


def with_api(folder: Path, *wanted: object, **changes: object) -> Path:
    api = linux_api(imports=[MEMCPY, symbol("quiver_core_open"), *wanted], **changes)
    return linux_wheel(folder, {LINUX_API: api})


@pytest.mark.parametrize(
    "name", ["quiver_core_gone", "sqlite3_open_v2", "_ZN6quiver8Database4openEv"]
)
def test_a_symbol_that_no_library_provides_is_named(tmp_path: Path, name: str) -> None:
    cause = only_cause(with_api(tmp_path, symbol(name)))
    assert (cause.name, cause.where) == ("symbol-not-found", LINUX_API)
    assert cause.facts == {"symbols": (name,)}
    assert cause.message.startswith(f"needs {name}, which no library it loads provides;")


def test_several_absent_symbols_are_one_cause(tmp_path: Path) -> None:
    names = [symbol(f"quiver_{name}") for name in "dbca"]
    cause = only_cause(with_api(tmp_path, *names))
    assert "needs quiver_a, quiver_b, quiver_c and 1 more, which" in cause.message
    assert cause.facts == {"symbols": ("quiver_a", "quiver_b", "quiver_c", "quiver_d")}


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (["quiver_core_gone", "sched_yield"], "quiver_core_gone"),
        (["sched_yield"], None),
        (["other_thing_x"], None),
        (["_ZN6quiver4goneEv"], "_ZN6quiver4goneEv"),
        (["_ZNK6quiver4goneEv"], "_ZNK6quiver4goneEv"),
        (["_ZN7quivers4goneEv"], None),
        (["_ZN5other4goneEv"], None),
    ],
)
def test_a_symbol_is_judged_by_similar_ones_where_libc_is_not_linked(
    tmp_path: Path, names: list[str], absent: str | None
) -> None:
    files = {
        LINUX_CORE: linux_core(exports=["quiver_core_open", "_ZN6quiver4openEv"]),
        LINUX_API: linux_api(needed=["libquiver.so"], imports=[symbol(name) for name in names]),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    assert [cause.name for cause in causes] == ["symbol-not-found"] * bool(absent)
    assert all(f"needs {absent}, which" in cause.message for cause in causes)


@pytest.mark.parametrize(
    "name",
    [
        "cos", "lgamma_r", "__cos", "strtod_l", "memcpy_chk", "pthread_create", "sem_open",
        "shm_open", "mq_open", "aio_read", "timer_create", "thrd_create", "cnd_init", "mtx_init",
        "tss_get", "clock_gettime", "posix_memalign", "PyList_New", "_Py_NoneStruct",
        "__stack_chk_fail", "_Unwind_Resume", "_ZNSt6localeD1Ev", "_ZNKSt6locale4nameEv",
        "_ZSt4cout", "_ZNSs4swapERSs", "_Znwm", "_Znam", "_ZdlPv", "_ZdaPv", "_ZTVSt9bad",
        "_ZTISt9exception", "_ZTSNSt3foo", "_ZN9__gnu_cxx3fooEv", "_ZN10__cxxabiv13fooEv",
        "_ZTVN10__cxxabiv117__class_type_infoE",
    ],
)  # fmt: skip
def test_a_name_that_the_system_might_have_is_left_to_the_machines(
    tmp_path: Path, name: str
) -> None:
    assert inspect(with_core(tmp_path, imports=[MEMCPY, symbol(name)])).causes == ()


@pytest.mark.parametrize(
    "name",
    ["quiver_r", "Cos", "cos_x", "pthreads_x", "my_PyList", "Unwind_x", "_ZN2StEv", "_ZTV3foo"],
)
def test_a_name_that_the_system_cannot_have_is_judged(tmp_path: Path, name: str) -> None:
    found = inspect(with_core(tmp_path, imports=[MEMCPY, symbol(name)])).causes
    expected = [] if name == "quiver_r" else ["symbol-not-found"]  # it ends like libc's
    assert [cause.name for cause in found] == expected


def test_symbols_are_not_judged_beside_a_library_without_versions(tmp_path: Path) -> None:
    needed = ["libX11.so.6", "libc.so.6", "libstdc++.so.6"]
    wheel = with_core(tmp_path, needed=needed, imports=[MEMCPY, symbol("XOpen_Display")])
    assert inspect(wheel).causes == ()


def test_a_versioned_symbol_of_the_system_is_not_judged(tmp_path: Path) -> None:
    wanted = symbol("quiver_x", "libc.so.6", "GLIBC_2.14")
    assert inspect(with_core(tmp_path, imports=[MEMCPY, wanted])).causes == ()


@pytest.mark.parametrize("extra", ["libX11.so.6", "libm.so.6"])
def test_a_versioned_symbol_of_a_carried_library_must_be_there(tmp_path: Path, extra: str) -> None:
    wanted = symbol("quiver_core_gone", "libquiver.so", "QUIVER_1")
    needed = ["libquiver.so", "libc.so.6", extra]
    cause = only_cause(with_api(tmp_path, wanted, needed=needed))
    assert (cause.name, "needs quiver_core_gone, which" in cause.message) == (
        "symbol-not-found",
        True,
    )


@pytest.mark.parametrize("change", [{"section_headers": False}, {"machine": "aarch64"}])
def test_symbols_are_not_judged_beside_a_library_whose_symbols_are_unknown(
    tmp_path: Path, change: dict[str, object]
) -> None:
    files = {
        LINUX_CORE: linux_core(**change),
        LINUX_API: linux_api(imports=[symbol("quiver_core_gone")]),
    }
    assert "symbol-not-found" not in inspect(linux_wheel(tmp_path, files)).cause_names()


def test_a_symbol_of_any_carried_library_counts(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(imports=[MEMCPY, symbol("quiver_version")]),
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()


# ---- the rest ----


@pytest.mark.parametrize("change", [{"executable_stack": True}, {"stack_header": False}])
def test_a_library_that_asks_for_an_executable_stack_is_named(
    tmp_path: Path, change: dict[str, bool]
) -> None:
    cause = only_cause(with_core(tmp_path, **change))
    assert (cause.name, cause.where) == ("executable-stack", LINUX_CORE)


def test_a_library_for_newer_processors_alone_is_named(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, note=property_note((0xC0008002, 7))))
    assert (cause.name, cause.where) == ("illegal-instruction", LINUX_CORE)
    assert cause.facts == {"processor": "x86-64-v3"}
    assert cause.message.startswith(
        f"asks for a processor of x86-64-v3, and {MANYLINUX_2_28} is for every x86-64;"
    )
    older = with_core(tmp_path, note=property_note((0xC0008002, 3)))
    assert "x86-64-v2" in only_cause(older).message


def test_every_library_is_judged(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(executable_stack=True),
        LINUX_API: linux_api(executable_stack=True),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    assert [cause.where for cause in causes] == [LINUX_CORE, LINUX_API]


def test_open_symbols_of_the_embedded_library_are_a_note(tmp_path: Path) -> None:
    names = ["sqlite3_open", "sqlite3_step", "sqlite3_a", "sqlite3_b"]
    cause = only_cause(with_core(tmp_path, exports=["quiver_core_open", *names], own_calls=names))
    assert (cause.name, cause.severity) == ("symbol-interposition", "note")
    assert cause.facts == {"prefix": "sqlite3_"}
    assert cause.message.startswith(
        "exports 4 sqlite3_* symbols and binds its own calls to them when it is loaded"
        " (sqlite3_a, sqlite3_b, sqlite3_open and 1 more);"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"own_calls": []},
        {"own_calls": ["quiver_core_open"]},
        {"own_calls": ["sqlite3_open"], "symbolic": True},
    ],
)
def test_embedded_symbols_that_are_bound_inside_are_no_risk(
    tmp_path: Path, change: dict[str, object]
) -> None:
    wheel = with_core(tmp_path, exports=["quiver_core_open", "sqlite3_open"], **change)
    assert inspect(wheel).causes == ()
