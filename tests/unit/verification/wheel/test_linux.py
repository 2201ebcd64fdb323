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


def with_core(folder: Path, **changes: object) -> Path:
    return linux_wheel(folder, {LINUX_CORE: linux_core(**changes)})


def inspect_additional(folder: Path, files: Mapping[str, bytes], platform: str) -> WheelInspection:
    """Return the inspection of an additional wheel for a platform."""
    return inspect(linux_wheel(folder, files, tag=f"cp313-cp313-{platform}"), additional=True)


# ---- libraries ----


def test_needed_library_that_the_tag_does_not_guarantee_is_missing(tmp_path: Path) -> None:
    needed = ["liblua5.4.so.0", "libc.so.6", "libstdc++.so.6"]
    cause = only_cause(with_core(tmp_path, needed=needed))
    assert (cause.name, cause.where) == ("missing-runtime-library", LINUX_CORE)
    assert cause.facts == {"library": "liblua5.4.so.0"}


def test_library_of_every_system_is_not_missing(tmp_path: Path) -> None:
    names = ["libz.so.1", "libX11.so.6", "ld-linux-aarch64.so.1", "ld64.so.2"]
    for name in (*names, "ld-musl-x86_64.so.1"):
        needed = [name, "libc.so.6", "libstdc++.so.6"]
        assert inspect(with_core(tmp_path, needed=needed)).causes == (), name


def test_glibc_libraries_are_missing_on_musl(tmp_path: Path) -> None:
    needed = ["libc.musl-x86_64.so.1", "libstdc++.so.6"]
    files = {
        LINUX_CORE: linux_core(needed=needed, imports=[]),
        LINUX_API: linux_api(needed=["libquiver.so"], imports=[symbol("quiver_core_open")]),
    }
    (cause,) = inspect_additional(tmp_path, files, "musllinux_1_2_x86_64").causes
    assert cause.name == "missing-runtime-library"
    assert cause.facts == {"library": "libstdc++.so.6"}


@pytest.mark.parametrize(
    ("name", "is_missing"),
    [
        ("libc.so", False),
        ("libpthread.so", False),
        ("libc.musl-aarch64.so.1", False),
        ("libc.so.6", True),
        ("libcrypt.so.1", True),
    ],
)
def test_libraries_that_musl_itself_is(tmp_path: Path, name: str, is_missing: bool) -> None:
    files = {
        LINUX_CORE: linux_core(needed=[name], imports=[]),
        LINUX_API: linux_api(needed=["libquiver.so"], imports=[symbol("quiver_core_open")]),
    }
    causes = inspect_additional(tmp_path, files, "musllinux_1_2_x86_64").causes
    assert [cause.facts["library"] for cause in causes] == [name] * is_missing


def test_library_that_the_package_loads_provides_its_soname(tmp_path: Path) -> None:
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
def test_bundled_library_on_the_run_path_is_not_missing(tmp_path: Path, run_path: str) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path=run_path),
    }
    names = inspect(linux_wheel(tmp_path, files)).cause_names()
    assert names == ({"foreign-run-path"} if run_path.startswith("/x") else set())


@pytest.mark.parametrize("run_path", ["$ORIGIN", "$ORIGIN/../other/deep", "other", None])
def test_bundled_library_that_is_not_on_a_run_path_is_missing(
    tmp_path: Path, run_path: str | None
) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path=run_path),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    cause = next(cause for cause in causes if cause.name == "missing-runtime-library")
    assert cause.where == LINUX_CORE
    assert cause.facts == {"library": "libx.so.1", "bundled": OTHER}


def test_extension_module_can_use_what_another_one_loads(tmp_path: Path) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        "quiverdb/_a.abi3.so": linux_core(needed=["libx.so.1", "libc.so.6", "libstdc++.so.6"]),
        "quiverdb/_b.abi3.so": linux_core(needed=["libx.so.1"], run_path="$ORIGIN/other"),
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()


def test_declared_library_cannot_use_what_a_later_one_loads(tmp_path: Path) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"]),
        LINUX_API: linux_api(needed=["libx.so.1", "libc.so.6"], run_path="$ORIGIN/../other"),
    }
    assert only_cause(linux_wheel(tmp_path, files)).where == LINUX_CORE


BUNDLED = "quiverdb.libs/liby.so.1"
"""A library that auditwheel bundles. Its own needs have no run path."""


def bundled_by_auditwheel(**run_path: str) -> dict[str, bytes]:
    """Return a module at the top level that needs a bundled library, which needs another one."""
    system = ["libc.so.6", "libstdc++.so.6"]
    return {
        "_fast.abi3.so": linux_core(needed=["liby.so.1", *system], **run_path),
        BUNDLED: linux_core(soname="liby.so.1", needed=["libz-1.so.1", *system]),
        "quiverdb.libs/libz-1.so.1": linux_core(soname="libz-1.so.1"),
    }


def test_rpath_of_a_module_at_the_top_level_applies_to_what_it_loads(tmp_path: Path) -> None:
    files = bundled_by_auditwheel(rpath="$ORIGIN/quiverdb.libs")
    assert inspect(linux_wheel(tmp_path, files)).cause_names() <= {"stray-top-level"}


def test_runpath_of_a_module_does_not_apply_to_what_it_loads(tmp_path: Path) -> None:
    files = bundled_by_auditwheel(run_path="$ORIGIN/quiverdb.libs")
    causes = inspect(linux_wheel(tmp_path, files)).causes
    cause = next(cause for cause in causes if cause.name == "missing-runtime-library")
    assert (cause.where, cause.facts["library"]) == (BUNDLED, "libz-1.so.1")


def test_library_that_a_module_does_not_find_is_reported_once(tmp_path: Path) -> None:
    files = bundled_by_auditwheel(rpath="$ORIGIN/../quiverdb.libs")
    causes = inspect(linux_wheel(tmp_path, files)).causes
    missing = [cause.where for cause in causes if cause.name == "missing-runtime-library"]
    assert missing == ["_fast.abi3.so"]


def test_run_path_of_a_library_that_does_not_need_it_is_not_enough(tmp_path: Path) -> None:
    files = {
        OTHER: linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"]),
        LINUX_API: linux_api(run_path="$ORIGIN/../other"),
    }
    assert only_cause(linux_wheel(tmp_path, files)).where == LINUX_CORE


def test_bundled_library_must_have_the_needed_file_name(tmp_path: Path) -> None:
    files = {
        "quiverdb/other/renamed.so": linux_core(soname="libx.so.1"),
        LINUX_CORE: linux_core(needed=["libx.so.1", "libc.so.6"], run_path="$ORIGIN/../other"),
    }
    assert only_cause(linux_wheel(tmp_path, files)).facts == {
        "library": "libx.so.1",
        "bundled": "quiverdb/other/renamed.so",
    }


def test_rpath_that_a_runpath_disables_is_accepted(tmp_path: Path) -> None:
    assert inspect(with_core(tmp_path, rpath="/build/lib", run_path="$ORIGIN")).causes == ()


def test_preloaded_library_does_not_provide_its_soname_on_musl(tmp_path: Path) -> None:
    musl = ["libc.musl-x86_64.so.1"]
    files = {
        LINUX_CORE: linux_core(needed=musl, imports=[]),
        LINUX_API: linux_api(
            needed=["libquiver.so", *musl], run_path=None, imports=[symbol("quiver_core_open")]
        ),
    }
    (cause,) = inspect_additional(tmp_path, files, "musllinux_1_2_x86_64").causes
    assert cause.facts == {"library": "libquiver.so", "bundled": LINUX_CORE}


@pytest.mark.parametrize("run_path", ["/tmp", "/build/lib:$ORIGIN", "$ORIGINAL/lib"])  # noqa: S108
def test_run_path_to_the_build_machine_is_flawed(tmp_path: Path, run_path: str) -> None:
    cause = only_cause(with_core(tmp_path, run_path=run_path))
    assert (cause.name, cause.severity, cause.where) == ("foreign-run-path", "flawed", LINUX_CORE)
    assert cause.facts == {"folders": (run_path.partition(":")[0],)}


@pytest.mark.parametrize("run_path", ["$ORIGIN", "${ORIGIN}/lib", "$ORIGIN/..:", ":$ORIGIN"])
def test_run_path_into_the_wheel_is_accepted(tmp_path: Path, run_path: str) -> None:
    assert inspect(with_core(tmp_path, run_path=run_path)).causes == ()


# ---- symbol versions ----


@pytest.mark.parametrize(
    ("version", "name"),
    [("GLIBC_2.38", "__isoc23_strtol"), ("GLIBC_ABI_DT_RELR", "x_y"), ("GLIBC_2.29", "exp")],
)
def test_newer_glibc_than_the_tag_allows_is_reported_with_the_symbol(
    tmp_path: Path, version: str, name: str
) -> None:
    imports = [MEMCPY, symbol(name, "libc.so.6", version)]
    cause = only_cause(with_core(tmp_path, imports=imports))
    assert (cause.name, cause.where) == ("glibc-floor", LINUX_CORE)
    assert cause.facts == {"library": "libc.so.6", "version": version, "symbols": (name,)}


def test_tag_of_the_wheel_decides_which_glibc_is_allowed(tmp_path: Path) -> None:
    files = {LINUX_CORE: linux_core(imports=[symbol("fcntl64", "libc.so.6", "GLIBC_2.28")])}
    assert inspect(linux_wheel(tmp_path, files)).causes == ()
    older = linux_wheel(tmp_path, files, tag="cp313-cp313-manylinux_2_17_x86_64")
    assert only_cause(older).name == "glibc-floor"


@pytest.mark.parametrize("tag", ["manylinux_2_25_x86_64", "manylinux_2_26_x86_64"])
def test_tag_between_two_policies_allows_its_glibc(tmp_path: Path, tag: str) -> None:
    tag = f"cp313-cp313-{tag}"
    for version, is_allowed in (("2.25", True), ("2.27", False), ("2.3.4", True)):
        core = linux_core(imports=[symbol("x_y", "libc.so.6", f"GLIBC_{version}")])
        causes = inspect(linux_wheel(tmp_path, {LINUX_CORE: core}, tag=tag)).causes
        assert [cause.name for cause in causes] == ["glibc-floor"] * (not is_allowed)


def test_tag_newer_than_all_policies_allows_its_glibc(tmp_path: Path) -> None:
    core = linux_core(imports=[symbol("x_y", "libc.so.6", "GLIBC_2.90")])
    for tag, is_allowed in (("manylinux_2_90_x86_64", True), ("manylinux_2_89_x86_64", False)):
        names = inspect_additional(tmp_path, {LINUX_CORE: core}, tag).cause_names()
        assert names == (set() if is_allowed else {"glibc-floor"})


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
def test_newer_version_of_another_library_is_reported(
    tmp_path: Path, library: str, version: str, name: str
) -> None:
    imports = [MEMCPY, symbol("_ZSt21x", library, version)]
    needed = [library, "libc.so.6", "libstdc++.so.6"]
    causes = inspect(with_core(tmp_path, needed=needed, imports=imports)).causes
    cause = next(cause for cause in causes if cause.name == name)
    assert cause.facts == {"library": library, "version": version, "symbols": ("_ZSt21x",)}
    assert {other.name for other in causes} <= {name, "missing-runtime-library"}  # libatomic


@pytest.mark.parametrize(
    "imported",
    [
        symbol("_Znwm", "libstdc++.so.6", "GLIBCXX_3.4"),
        symbol("crc32", "libz.so.1", "ZLIB_1.2.0"),
        symbol("x_open", "libx.so", "X_99"),
    ],
)
def test_allowed_or_unknown_version_is_not_reported(tmp_path: Path, imported: object) -> None:
    names = inspect(with_core(tmp_path, imports=[MEMCPY, imported])).cause_names()
    assert not names & {"glibc-floor", "libstdcxx-floor", "runtime-too-old"}


def test_each_kind_of_version_is_one_cause_with_the_highest_version(tmp_path: Path) -> None:
    imports = [
        symbol("a_b", "libc.so.6", "GLIBC_2.34"),
        symbol("c_d", "libc.so.6", "GLIBC_2.100"),
        symbol("e_f", "libstdc++.so.6", "GLIBCXX_3.4.32"),
    ]
    imports += [symbol(f"{name}_x", "libc.so.6", "GLIBC_2.100") for name in "ba"]
    glibc, libstdcxx = inspect(with_core(tmp_path, imports=imports)).causes
    assert (glibc.name, libstdcxx.name) == ("glibc-floor", "libstdcxx-floor")
    assert glibc.facts == {
        "library": "libc.so.6",
        "version": "GLIBC_2.100",
        "symbols": ("a_x", "b_x", "c_d"),
    }
    assert libstdcxx.facts["version"] == "GLIBCXX_3.4.32"


@pytest.mark.parametrize("platform", ["manylinux_2_28_loongarch64", "manylinux_2_28_nothing"])
def test_libraries_are_not_checked_on_an_architecture_without_a_policy(
    tmp_path: Path, platform: str
) -> None:
    core = linux_core(needed=["libzzz.so.1", "libc.so.6"], machine="x86_64")
    wheel = linux_wheel(tmp_path, {LINUX_CORE: core}, tag=f"cp313-cp313-{platform}")
    assert "missing-runtime-library" not in inspect(wheel).cause_names()


# ---- symbols ----


def with_api(folder: Path, *imports: object, **changes: object) -> Path:
    api = linux_api(imports=[MEMCPY, symbol("quiver_core_open"), *imports], **changes)
    return linux_wheel(folder, {LINUX_API: api})


@pytest.mark.parametrize(
    "name", ["quiver_core_gone", "sqlite3_open_v2", "_ZN6quiver8Database4openEv"]
)
def test_symbol_that_no_library_exports_is_reported(tmp_path: Path, name: str) -> None:
    cause = only_cause(with_api(tmp_path, symbol(name)))
    assert (cause.name, cause.where) == ("symbol-not-found", LINUX_API)
    assert cause.facts == {"symbols": (name,)}


def test_several_missing_symbols_are_one_cause(tmp_path: Path) -> None:
    names = [symbol(f"quiver_{name}") for name in "dbca"]
    cause = only_cause(with_api(tmp_path, *names))
    assert cause.facts == {"symbols": ("quiver_a", "quiver_b", "quiver_c", "quiver_d")}


@pytest.mark.parametrize(
    ("names", "missing"),
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
def test_symbol_without_libc_is_reported_if_the_wheel_exports_similar_symbols(
    tmp_path: Path, names: list[str], missing: str | None
) -> None:
    files = {
        LINUX_CORE: linux_core(exports=["quiver_core_open", "_ZN6quiver4openEv"]),
        LINUX_API: linux_api(needed=["libquiver.so"], imports=[symbol(name) for name in names]),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    facts = [{"symbols": (missing,)}] if missing else []
    assert [cause.facts for cause in causes if cause.name == "symbol-not-found"] == facts
    assert len(causes) == len(facts)


def test_symbol_that_a_system_may_have_is_not_reported(tmp_path: Path) -> None:
    names = (
        "cos", "lgamma_r", "__cos", "strtod_l", "memcpy_chk", "pthread_create", "sem_open",
        "shm_open", "mq_open", "aio_read", "timer_create", "thrd_create", "cnd_init", "mtx_init",
        "tss_get", "clock_gettime", "posix_memalign", "PyList_New", "_Py_NoneStruct",
        "__stack_chk_fail", "_Unwind_Resume", "_ZNSt6localeD1Ev", "_ZNKSt6locale4nameEv",
        "_ZSt4cout", "_ZNSs4swapERSs", "_Znwm", "_Znam", "_ZdlPv", "_ZdaPv", "_ZTVSt9bad",
        "_ZTISt9exception", "_ZTSNSt3foo", "_ZN9__gnu_cxx3fooEv", "_ZN10__cxxabiv13fooEv",
        "_ZTVN10__cxxabiv117__class_type_infoE",
        "quiver_r",  # it ends like a symbol of libc
    )  # fmt: skip
    assert inspect(with_core(tmp_path, imports=[MEMCPY, *map(symbol, names)])).causes == ()


def test_symbol_that_no_system_has_is_reported(tmp_path: Path) -> None:
    names = ("Cos", "Unwind_x", "_ZN2StEv", "_ZTV3foo", "cos_x", "my_PyList", "pthreads_x")
    cause = only_cause(with_core(tmp_path, imports=[MEMCPY, *map(symbol, names)]))
    assert (cause.name, cause.facts) == ("symbol-not-found", {"symbols": names})


def test_symbols_are_not_checked_if_a_needed_library_has_no_versions(tmp_path: Path) -> None:
    needed = ["libX11.so.6", "libc.so.6", "libstdc++.so.6"]
    wheel = with_core(tmp_path, needed=needed, imports=[MEMCPY, symbol("XOpen_Display")])
    assert inspect(wheel).causes == ()


def test_versioned_symbol_of_a_system_library_is_not_checked(tmp_path: Path) -> None:
    imported = symbol("quiver_x", "libc.so.6", "GLIBC_2.14")
    assert inspect(with_core(tmp_path, imports=[MEMCPY, imported])).causes == ()


@pytest.mark.parametrize("extra", ["libX11.so.6", "libm.so.6"])
def test_versioned_symbol_of_a_bundled_library_is_checked(tmp_path: Path, extra: str) -> None:
    imported = symbol("quiver_core_gone", "libquiver.so", "QUIVER_1")
    needed = ["libquiver.so", "libc.so.6", extra]
    cause = only_cause(with_api(tmp_path, imported, needed=needed))
    assert (cause.name, cause.facts) == ("symbol-not-found", {"symbols": ("quiver_core_gone",)})


@pytest.mark.parametrize("change", [{"section_headers": False}, {"machine": "aarch64"}])
def test_symbols_are_not_checked_if_the_exports_of_a_library_are_unknown(
    tmp_path: Path, change: dict[str, object]
) -> None:
    files = {
        LINUX_CORE: linux_core(**change),
        LINUX_API: linux_api(imports=[symbol("quiver_core_gone")]),
    }
    assert "symbol-not-found" not in inspect(linux_wheel(tmp_path, files)).cause_names()


def test_symbol_may_come_from_any_bundled_library(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(imports=[MEMCPY, symbol("quiver_version")]),
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()


# ---- stack, processor, interposition ----


@pytest.mark.parametrize("change", [{"executable_stack": True}, {"stack_header": False}])
def test_executable_stack_is_reported(tmp_path: Path, change: dict[str, bool]) -> None:
    cause = only_cause(with_core(tmp_path, **change))
    assert (cause.name, cause.where) == ("executable-stack", LINUX_CORE)


@pytest.mark.parametrize("change", [{"text_relocations": True}, {"flags": 4}])
def test_text_relocations_are_reported(tmp_path: Path, change: dict[str, int]) -> None:
    cause = only_cause(with_core(tmp_path, **change))
    assert (cause.name, cause.severity) == ("text-relocations", "flawed")
    assert cause.where == LINUX_CORE


def test_library_for_newer_processors_is_reported(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, note=property_note((0xC0008002, 7))))
    assert (cause.name, cause.where) == ("illegal-instruction", LINUX_CORE)
    assert cause.facts == {"processor": "x86-64-v3"}
    older = with_core(tmp_path, note=property_note((0xC0008002, 3)))
    assert only_cause(older).facts == {"processor": "x86-64-v2"}


def test_each_library_is_checked(tmp_path: Path) -> None:
    files = {
        LINUX_CORE: linux_core(executable_stack=True),
        LINUX_API: linux_api(executable_stack=True),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    assert [cause.where for cause in causes] == [LINUX_CORE, LINUX_API]


def test_interposable_symbols_of_an_embedded_library_are_a_note(tmp_path: Path) -> None:
    names = ["sqlite3_open", "sqlite3_step", "sqlite3_a", "sqlite3_b"]
    cause = only_cause(
        with_core(tmp_path, exports=["quiver_core_open", *names], interposable=names)
    )
    assert (cause.name, cause.severity) == ("symbol-interposition", "note")
    assert cause.facts == {"prefix": "sqlite3_", "symbols": 4}


@pytest.mark.parametrize(
    "change",
    [
        {"interposable": []},
        {"interposable": ["quiver_core_open"]},
        {"interposable": ["sqlite3_open"], "symbolic": True},
    ],
)
def test_embedded_symbols_that_are_not_interposable_are_accepted(
    tmp_path: Path, change: dict[str, object]
) -> None:
    wheel = with_core(tmp_path, exports=["quiver_core_open", "sqlite3_open"], **change)
    assert inspect(wheel).causes == ()
