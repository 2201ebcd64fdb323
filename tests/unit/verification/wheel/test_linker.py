from __future__ import annotations

from collections.abc import Mapping

import pytest

from verification.models.inspection import BinaryHeaders
from verification.wheel.linker import Linker, Opened, Process

A, B, C = "/site/p/a.so", "/site/p.libs/libb.so.1", "/site/p.libs/libc.so.9"
LIBS = "$ORIGIN/../p.libs"


def library(
    *needed: str, soname: str | None = None, rpath: str = "", runpath: str = ""
) -> BinaryHeaders:
    return BinaryHeaders(
        format="elf",
        soname=soname,
        needed=needed,
        rpath=tuple(rpath.split(":")) if rpath else (),
        runpath=tuple(runpath.split(":")) if runpath else (),
    )


def linker(headers: Mapping[str, BinaryHeaders], *, musl: bool = False) -> Linker:
    return Linker(headers, {"libm.so.6": "/lib/libm.so.6"}.get, musl=musl)


def open_a(headers: Mapping[str, BinaryHeaders], *, musl: bool = False) -> Opened:
    return linker(headers, musl=musl).open(A, Process())


def missing(opened: Opened) -> list[tuple[str, str]]:
    return [(need.needed_by, need.name) for need in opened.missing]


def chain(**run_path: str) -> dict[str, BinaryHeaders]:
    """Return a library that needs B, which needs C. Only the first one has a run path."""
    return {A: library("libb.so.1", **run_path), B: library("libc.so.9"), C: library("libm.so.6")}


def test_rpath_also_applies_to_what_a_library_loads() -> None:
    opened = open_a(chain(rpath=LIBS))
    assert opened.paths == (A, B, C, "/lib/libm.so.6")
    assert not opened.missing


def test_runpath_applies_only_to_the_library_itself() -> None:
    assert missing(open_a(chain(runpath=LIBS))) == [(B, "libc.so.9")]


def test_musl_inherits_runpath_as_well() -> None:
    assert not open_a(chain(runpath=LIBS), musl=True).missing


def test_runpath_disables_rpath_of_the_same_library() -> None:
    assert missing(open_a(chain(rpath=LIBS, runpath="$ORIGIN"))) == [(A, "libb.so.1")]


def test_library_with_a_runpath_inherits_no_rpath() -> None:
    headers = chain(rpath=LIBS) | {B: library("libc.so.9", runpath="$ORIGIN/other")}
    assert missing(open_a(headers)) == [(B, "libc.so.9")]


def test_loader_with_a_runpath_is_passed_over() -> None:
    d = "/site/q/libd.so"
    headers = {
        A: library("libb.so.1", rpath="$ORIGIN/../p.libs:$ORIGIN/../q"),
        B: library("libc.so.9", runpath="$ORIGIN"),
        C: library("libd.so"),
        d: library(),
    }
    assert open_a(headers).paths == (A, B, C, d)


@pytest.mark.parametrize(
    ("run_path", "path"),
    [
        ("$ORIGIN/../p.libs", B),
        ("${ORIGIN}/../p.libs", B),
        ("/none:$ORIGIN/../p.libs", B),
        ("$ORIGIN/$LIB", "/site/p/lib/x86_64-linux-gnu/libb.so.1"),
        ("$ORIGIN/${PLATFORM}", "/site/p/x86_64/libb.so.1"),
    ],
)
def test_tokens_of_a_run_path_are_replaced(run_path: str, path: str) -> None:
    assert open_a({A: library("libb.so.1", runpath=run_path), path: library()}).paths == (A, path)


@pytest.mark.parametrize("run_path", ["$ORIGINAL/../p.libs", "../p.libs", "$OTHER/../p.libs", ":"])
def test_other_folders_do_not_lead_to_the_library(run_path: str) -> None:
    assert missing(open_a({A: library("libb.so.1", runpath=run_path), B: library()})) == [
        (A, "libb.so.1")
    ]


def test_musl_ignores_a_run_path_with_another_token() -> None:
    headers = {A: library("libb.so.1", rpath=f"{LIBS}:$LIB"), B: library()}
    assert not open_a(headers).missing
    assert missing(open_a(headers, musl=True)) == [(A, "libb.so.1")]


def test_origin_of_a_module_at_the_top_level_is_its_folder() -> None:
    headers = {"/site/a.so": library("libb.so.1", rpath="$ORIGIN/p.libs"), B: library()}
    assert linker(headers).open("/site/a.so", Process()).paths == ("/site/a.so", B)


def test_run_path_comes_before_the_default_folders() -> None:
    bundled = "/site/p.libs/libm.so.6"
    headers = {A: library("libm.so.6", runpath=LIBS), bundled: library()}
    assert open_a(headers).paths == (A, bundled)
    headers = {A: library("libm.so.6"), bundled: library()}
    assert open_a(headers).paths == (A, "/lib/libm.so.6")


def test_loaded_soname_is_not_searched_again() -> None:
    process = linker({B: library(soname="libx.so")}).open(B, Process()).process
    headers = {A: library("libx.so"), B: library(soname="libx.so")}
    (need,) = linker(headers).open(A, process).needs
    assert need.path == B


def test_musl_does_not_compare_sonames() -> None:
    headers = {A: library("libx.so"), B: library(soname="libx.so")}
    model = linker(headers, musl=True)
    process = model.open(B, Process()).process
    assert missing(model.open(A, process)) == [(A, "libx.so")]


def test_libraries_are_loaded_breadth_first_by_the_first_that_needs_them() -> None:
    d = "/site/p.libs/libd.so"
    headers = {
        A: library("libb.so.1", "libd.so", rpath=LIBS),
        B: library("libc.so.9"),
        C: library("libd.so"),
        d: library(),
    }
    assert open_a(headers).paths == (A, B, d, C)


def test_name_with_a_slash_is_a_path() -> None:
    headers = {A: library("$ORIGIN/../p.libs/libb.so.1", "/none/libc.so.9"), B: library()}
    opened = open_a(headers)
    assert opened.paths == (A, B)
    assert missing(opened) == [(A, "/none/libc.so.9")]
