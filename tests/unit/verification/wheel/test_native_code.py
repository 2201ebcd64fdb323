from __future__ import annotations

import struct
from pathlib import Path

import pefile
import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import elf, macho, pe, universal_macho
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    SUBJECT,
    WINDOWS_CORE,
    Files,
    inspect,
    linux_api,
    linux_core,
    linux_wheel,
    only_cause,
    symbol,
    windows_core,
    windows_wheel,
)
from verification.models.inspection import Library, LibraryFormat
from verification.wheel.archive import open_wheel
from verification.wheel.native_code import NativeCode, declared_paths, format_of, gather

MACH_O = macho()
MACOS_TAG = "cp313-cp313-macosx_11_0_arm64"
EXTENSION = "quiverdb/_fast.cpython-313-x86_64-linux-gnu.so"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 1\n"


def debug_only(data: bytes) -> bytes:
    """Return an ELF file as a tool leaves it that keeps its debug information only."""
    (at,) = struct.unpack_from("<Q", data, 40)
    changed = bytearray(data)
    struct.pack_into("<IQ", changed, at + 64 + 4, 8, 6)  # NOBITS; allocated and executable
    return bytes(changed)


def debug_only_pe(data: bytes) -> bytes:
    """Return a PE file as a tool leaves it that keeps its debug information only."""
    image = pefile.PE(data=data, fast_load=True)
    image.sections[0].SizeOfRawData = 0
    return bytes(image.write())


# ---- what is native code ----


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x7fELF...", "elf"),
        (b"MZ...", "pe"),
        (b"\xcf\xfa\xed\xfe", "mach-o"),
        (b"\xca\xfe\xba\xbe", "mach-o"),
        (b"\xca\xfe\xba\xbf", "mach-o"),
        (b"!<arch>\n", None),
        (b" MZ", None),
        (b"", None),
    ],
)
def test_native_code_begins_with_its_format(data: bytes, expected: LibraryFormat | None) -> None:
    assert format_of(data) == expected


def test_the_declared_libraries_are_in_the_packages_folder() -> None:
    assert declared_paths(SUBJECT.platforms[0], SUBJECT) == (LINUX_CORE, LINUX_API)
    assert declared_paths(None, SUBJECT) == ()


def test_each_library_is_gathered_once_with_its_declared_path_first(tmp_path: Path) -> None:
    core = linux_core()
    wheel = linux_wheel(tmp_path, {"quiverdb/a.so": core, LINUX_CORE: core, "quiverdb/x": b"text"})
    (first, second), causes = gather(open_wheel(wheel), [LINUX_CORE])
    assert causes == []
    assert first.paths == (LINUX_CORE, "quiverdb/a.so")
    assert (first.size, first.format) == (len(core), "elf")
    assert len(first.sha256) == 64
    assert second.paths == (LINUX_API,)
    (first, _), _ = gather(open_wheel(wheel), [])
    assert first.paths == (LINUX_CORE, "quiverdb/a.so")


@pytest.mark.parametrize("name", ["tool", "libnew.so-1", "data.bin"])
def test_native_code_under_any_name_needs_what_the_tag_promises(tmp_path: Path, name: str) -> None:
    imports = [symbol("exp", "libc.so.6", "GLIBC_2.36")]
    newer = linux_core(soname="x", imports=imports)
    cause = only_cause(linux_wheel(tmp_path, {f"quiverdb/{name}": newer}))
    assert (cause.name, cause.where) == ("glibc-floor", f"quiverdb/{name}")


def test_data_that_only_begins_like_native_code_is_none(tmp_path: Path) -> None:
    files = {
        "quiverdb/a.txt": b"MZ and more",
        "quiverdb/b.txt": b"\x7fELF",
        "quiverdb/c.class": b"\xca\xfe\xba\xbe",
        "quiverdb/notes.dll.txt": b"MZ",
    }
    found = inspect(linux_wheel(tmp_path, files))
    assert found.causes == ()
    assert len(found.libraries) == 2


@pytest.mark.parametrize(
    "name", ["a.so", "a.so.1", "a.so.1.2.3", "A.SO", "a.dll", "a.pyd", "a.dylib"]
)
def test_a_damaged_file_that_is_named_like_a_library_is_named(tmp_path: Path, name: str) -> None:
    for data, observed in ((b"MZ" + bytes(200), "PE"), (b"\x7fELF" + bytes(200), "ELF")):
        cause = only_cause(linux_wheel(tmp_path, {f"quiverdb/{name}": data}))
        assert (cause.name, cause.where) == ("damaged-library", f"quiverdb/{name}")
        assert f"is no library that can be loaded: a damaged {observed} file" in cause.message


def test_an_object_file_is_no_library(tmp_path: Path) -> None:
    assert inspect(linux_wheel(tmp_path, {"quiverdb/a.o": elf(kind=1)})).causes == ()
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: elf(kind=1)}))
    assert (cause.name, cause.where) == ("missing-bundled-library", LINUX_CORE)
    assert "an object file" in cause.message


# ---- what cannot be loaded ----

UNLOADABLE = {
    "debug information": debug_only(linux_core()),
    "a program": linux_core(kind=2),
    "a position-independent program": linux_core(flags_1=0x0800_0000),
    "a core dump": linux_core(kind=4),
    "zeros": linux_core()[:64] + bytes(len(linux_core()) - 64),
    "no segments": linux_core()[:56] + bytes(2) + linux_core()[58:],
}


@pytest.mark.parametrize("path", [LINUX_CORE, EXTENSION])
@pytest.mark.parametrize("data", UNLOADABLE.values(), ids=UNLOADABLE)
def test_a_file_that_must_load_and_cannot_is_damaged_and_no_more(
    tmp_path: Path, path: str, data: bytes
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: data}))
    assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize("name", ["libquiver.so.debug", "libextra.so", "debug/libquiver.so"])
def test_debug_information_that_nothing_loads_is_no_fault(tmp_path: Path, name: str) -> None:
    data = debug_only(linux_core(soname="x"))
    assert inspect(linux_wheel(tmp_path, {f"quiverdb/_libs/{name}": data})).causes == ()


@pytest.mark.parametrize("changes", [{"kind": 2}, {"flags_1": 0x0800_0000}])
def test_a_program_that_is_no_declared_library_is_no_fault(
    tmp_path: Path, changes: dict[str, int]
) -> None:
    for name in ("tool", "tool.so"):
        wheel = linux_wheel(tmp_path, {f"quiverdb/{name}": linux_core(soname=None, **changes)})
        assert inspect(wheel).causes == ()


@pytest.mark.parametrize(
    "path",
    [
        EXTENSION,
        "quiverdb/_fast.abi3.so",
        "quiverdb/_fast.cp313-win_amd64.pyd",
        "quiverdb/_fast.pyd",
    ],
)
@pytest.mark.parametrize("data", [b"", LFS, b"text"])
def test_an_extension_module_without_native_code_is_damaged(
    tmp_path: Path, path: str, data: bytes
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: data}))
    assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize(
    "name", ["libfoo.so", "libfoo.so.1", "libfoo.dll", "_fast.cpython-313-x86_64-linux-gnu.so.txt"]
)
def test_text_that_is_named_like_a_library_is_no_fault(tmp_path: Path, name: str) -> None:
    for text in ("", "INPUT(libquiver.so)", LFS):
        assert inspect(linux_wheel(tmp_path, {f"quiverdb/{name}": text})).causes == ()


@pytest.mark.parametrize("name", ["y.so.txt", "libquiver.so.dwp", "x.so.debug", "x.so.1.debug"])
@pytest.mark.parametrize("data", [b"MZ" + bytes(200), b"\x7fELF" + bytes(200)])
def test_an_unreadable_file_that_is_not_named_like_a_library_is_no_fault(
    tmp_path: Path, name: str, data: bytes
) -> None:
    assert inspect(linux_wheel(tmp_path, {f"quiverdb/{name}": data})).causes == ()


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        (LINUX_CORE, "broken"),
        (EXTENSION, "broken"),
        ("quiverdb.libs/libneeded.so.1", "broken"),
        ("quiverdb/tests/libother.so", "flawed"),
        ("quiverdb/tests/libquiver.so", "flawed"),  # a whole one has this name too
    ],
)
def test_a_damaged_file_breaks_a_wheel_if_something_loads_it(
    tmp_path: Path, path: str, severity: str
) -> None:
    needed = ["libquiver.so", "libc.so.6", "libneeded.so.1"]
    files: Files = {LINUX_API: linux_api(needed=needed), path: linux_core()[:200]}
    causes = [one for one in inspect(linux_wheel(tmp_path, files)).causes if one.where == path]
    assert [(one.name, one.severity) for one in causes] == [("damaged-library", severity)]


def test_text_in_place_of_a_needed_library_is_damage(tmp_path: Path) -> None:
    path = "quiverdb.libs/libneeded.so.1"
    needed = ["libquiver.so", "libc.so.6", "libneeded.so.1"]
    files: Files = {LINUX_API: linux_api(needed=needed), path: LFS}
    causes = [one for one in inspect(linux_wheel(tmp_path, files)).causes if one.where == path]
    assert [(one.name, one.severity) for one in causes] == [("damaged-library", "broken")]


def test_a_windows_library_without_code_is_damaged_and_its_users_lack_nothing(
    tmp_path: Path,
) -> None:
    for path in (WINDOWS_CORE, "quiverdb/_fast.cp313-win_amd64.pyd"):
        wheel = windows_wheel(tmp_path, {path: debug_only_pe(windows_core(name="x"))})
        cause = only_cause(wheel)
        assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize(
    "data", [pe(), debug_only_pe(pe())], ids=["resources", "debug information"]
)
def test_a_windows_library_without_code_that_nothing_loads_is_no_fault(
    tmp_path: Path, data: bytes
) -> None:
    wheel = windows_wheel(tmp_path, {"quiverdb/texts.dll": data})
    assert inspect(wheel).causes == ()


# ---- what is absent ----


@pytest.mark.parametrize("path", [LINUX_CORE, LINUX_API])
def test_an_absent_native_library_is_named(tmp_path: Path, out: Path, path: str) -> None:
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, remove=[path]))
    assert (cause.name, cause.where) == ("missing-bundled-library", path)
    assert cause.message.startswith("is not in the wheel;")


@pytest.mark.parametrize(
    "path",
    [
        f"{LINUX_CORE}.0",
        "quiverdb/_libs/libquiver-0a1b2c3d.so",
        "quiverdb/lib/libquiver.so",
        "libquiver.so",
        "quiverdb.libs/libquiver-0a1b2c3d.so.1.2",
    ],
)
def test_a_library_under_another_path_is_not_where_the_package_looks(
    tmp_path: Path, out: Path, path: str
) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, move={LINUX_CORE: path})
    (cause,) = (one for one in inspect(wheel).causes if one.where == LINUX_CORE)
    assert (cause.name, cause.facts) == ("wrong-load-path", {"sought": LINUX_CORE, "path": path})


@pytest.mark.parametrize(
    "path",
    [
        "quiverdb/_libs/libquiver_x.so",
        "quiverdb/_libs/libquiver.dll",
        "quiverdb/quiver.cpython-313-x86_64-linux-gnu.so",
        "quiverdb/_libs/quiver.so",
    ],
)
def test_another_library_is_no_other_path_of_an_absent_one(
    tmp_path: Path, out: Path, path: str
) -> None:
    data = windows_core() if path.endswith(".dll") else linux_core(soname="x")
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[LINUX_CORE], add={path: data})
    (cause,) = (one for one in inspect(wheel).causes if one.where == LINUX_CORE)
    assert cause.name == "missing-bundled-library"


@pytest.mark.parametrize("data", [b"", b"libquiver.so.0", b"\x7fELF", b"\x7fELF\x02\x01\x01" * 20])
def test_a_file_that_is_no_library_counts_as_absent(tmp_path: Path, data: bytes) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: data}))
    assert (cause.name, cause.where) == ("damaged-library", LINUX_CORE)
    assert (f"is no native library ({len(data)} bytes)" in cause.message) == (data[:1] != b"\x7f")


def test_a_damaged_windows_library_counts_as_absent(tmp_path: Path) -> None:
    wheel = windows_wheel(tmp_path, {WINDOWS_CORE: b"MZ" + bytes(200)})
    assert only_cause(wheel).name == "damaged-library"


@pytest.mark.parametrize("keep", [0.1, 0.5])
def test_a_library_that_is_cut_off_is_damaged_and_its_users_lack_nothing(
    tmp_path: Path, keep: float
) -> None:
    def cut(data: bytes) -> bytes:
        return data[: int(len(data) * keep)]

    for wheel, path in (
        (linux_wheel(tmp_path, {LINUX_CORE: cut(linux_core())}), LINUX_CORE),
        (windows_wheel(tmp_path, {WINDOWS_CORE: cut(windows_core())}), WINDOWS_CORE),
    ):
        cause = only_cause(wheel)
        assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


def test_a_library_without_its_section_headers_is_damaged_and_may_load(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: linux_core()[:-10]}))
    assert (cause.name, cause.severity) == ("damaged-library", "flawed")


@pytest.mark.parametrize(("data", "good"), [(windows_core(), True), (b"text", False)])
def test_a_library_in_another_case_is_found_on_windows(
    tmp_path: Path, out: Path, data: bytes, *, good: bool
) -> None:
    add = {"quiverdb/_libs/LibQuiver.dll": data}
    wheel = wheels.mutate(windows_wheel(tmp_path), out, remove=[WINDOWS_CORE], add=add)
    causes = inspect(wheel).causes
    assert [cause.where for cause in causes] == [WINDOWS_CORE] * (not good)
    assert all("is no native library (4 bytes)" in cause.message for cause in causes)


def test_a_library_in_another_case_is_not_found_on_linux(tmp_path: Path, out: Path) -> None:
    move = {LINUX_API: "quiverdb/_libs/LibQuiver_c.so"}
    wheel = wheels.mutate(linux_wheel(tmp_path), out, move=move)
    assert only_cause(wheel).where == LINUX_API


def test_a_pure_wheel_without_libraries_lacks_them(tmp_path: Path) -> None:
    files: Files = {"quiverdb/__init__.py": "import cffi\n", "quiverdb/_libs2/x.so": linux_core()}
    cause = only_cause(wheels.build(tmp_path, files, tag="py3-none-any"))
    assert (cause.name, cause.where) == (
        "missing-bundled-library",
        "quiverdb-1.0.0-py3-none-any.whl",
    )
    assert cause.message.startswith("is a pure wheel without anything native in quiverdb/_libs/;")


def test_a_pure_tag_on_native_code_is_a_tag_mismatch(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, tag="py3-none-any"))
    assert (cause.name, cause.where) == ("tag-mismatch", "quiverdb-1.0.0-py3-none-any.whl")
    assert cause.message.startswith(f"is tagged for any platform and carries {LINUX_CORE};")


def test_a_wheel_for_no_platform_of_the_subject_is_not_judged_by_its_libraries(
    tmp_path: Path,
) -> None:
    cause = only_cause(linux_wheel(tmp_path, tag="cp313-cp313-win32"))
    assert "the release's platforms are" in cause.message


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("data", "observed"),
    [
        (linux_core(machine="aarch64"), "ELF code for aarch64"),
        (linux_core(machine="i686"), "ELF code for i686"),
        (pe(), "PE code for x86_64"),
        (MACH_O, "MACH-O code for aarch64"),
    ],
)
def test_a_library_for_something_else_has_the_wrong_architecture(
    tmp_path: Path, data: bytes, observed: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: data}))
    assert (cause.name, cause.where) == ("wrong-architecture", LINUX_CORE)
    assert cause.message.startswith(f"is {observed}, in a wheel for manylinux_2_28_x86_64;")
    assert cause.facts == {"machine": observed.rpartition(" ")[2]}


@pytest.mark.parametrize("machine", ["i686", "aarch64"])
def test_a_windows_library_for_another_processor_is_named(tmp_path: Path, machine: str) -> None:
    wheel = windows_wheel(tmp_path, {WINDOWS_CORE: windows_core(machine=machine)})
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("wrong-architecture", WINDOWS_CORE)
    assert f"PE code for {machine}, in a wheel for win_amd64;" in cause.message


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (elf(machine="aarch64"), {"wrong-architecture"}),
        (pe(), set()),  # a tool of another system
        (MACH_O, set()),
    ],
)
def test_another_file_of_the_systems_format_must_be_for_its_processor(
    tmp_path: Path, data: bytes, names: set[str]
) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb/extra.so": data})
    assert inspect(wheel).cause_names() == names


def test_a_wheel_with_a_second_unknown_platform_is_inspected(tmp_path: Path) -> None:
    for more in ("any", "linux_x86_64"):
        wheel = windows_wheel(tmp_path, tag=f"cp313-cp313-win_amd64.{more}")
        assert inspect(wheel).cause_names() == {"tag-mismatch"}


def test_a_library_under_several_names_is_named_once_for_each_library(tmp_path: Path) -> None:
    core, api = linux_core(), linux_api()
    more = {f"{LINUX_CORE}.0": core, f"{LINUX_CORE}.0.1": core, f"{LINUX_API}.0": api}
    causes = inspect(linux_wheel(tmp_path, more)).causes
    assert [(one.name, one.where) for one in causes] == [
        ("duplicate-library", LINUX_CORE),
        ("duplicate-library", LINUX_API),
    ]
    assert causes[0].facts == {"count": 3, "bytes": len(core)}
    size = f"{len(core) / 1024:.1f} KiB"
    assert causes[0].message.startswith(
        f"is in the wheel 3 times, {size} each (also as {LINUX_CORE}.0, {LINUX_CORE}.0.1);"
    )


# ---- what is not read ----


def test_what_a_macos_library_needs_is_unverified(tmp_path: Path) -> None:
    core = "quiverdb/_libs/libquiver.0.dylib"
    files: Files = {
        "quiverdb/__init__.py": "",
        core: MACH_O,
        "quiverdb/_libs/libquiver_c.dylib": MACH_O + b"c",
    }
    inspection = inspect(wheels.build(tmp_path, files, tag=MACOS_TAG))
    assert inspection.causes == ()
    assert f"{core}: what a Mach-O library needs is not read" in inspection.unverified
    assert inspection.unread == inspection.unverified


@pytest.mark.parametrize(
    ("data", "tag", "name"),
    [
        (elf(), MACOS_TAG, "wrong-architecture"),
        (macho(machine="x86_64"), MACOS_TAG, "wrong-architecture"),
        (MACH_O[:-1], MACOS_TAG, "damaged-library"),
        (MACH_O[:4], MACOS_TAG, "damaged-library"),
        (universal_macho(MACH_O, macho(machine="x86_64"))[:-1], MACOS_TAG, "damaged-library"),
    ],
)
def test_a_macos_library_that_does_not_fit_is_named(
    tmp_path: Path, data: bytes, tag: str, name: str
) -> None:
    core = "quiverdb/_libs/libquiver.0.dylib"
    files: Files = {
        "quiverdb/__init__.py": "",
        core: data,
        "quiverdb/_libs/libquiver_c.dylib": MACH_O + b"c",
    }
    cause = only_cause(wheels.build(tmp_path, files, tag=tag))
    assert (cause.name, cause.where, cause.severity) == (name, core, "broken")


def test_a_universal_macos_library_is_for_each_processor(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/__init__.py": "",
        "quiverdb/_libs/libquiver.0.dylib": universal_macho(MACH_O, macho(machine="x86_64")),
        "quiverdb/_libs/libquiver_c.dylib": MACH_O,
    }
    assert inspect(wheels.build(tmp_path, files, tag=MACOS_TAG)).causes == ()


def test_a_library_without_section_headers_is_unverified(tmp_path: Path) -> None:
    inspection = inspect(linux_wheel(tmp_path, {LINUX_CORE: linux_core(section_headers=False)}))
    assert inspection.unverified == (
        f"{LINUX_CORE}: it has no section headers, so its symbols were not read",
    )
    assert inspection.causes == ()


def test_an_unreadable_library_is_not_absent(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    data = bytearray(wheel.read_bytes())
    at = data.index(LINUX_API.encode()) + len(LINUX_API)
    struct.pack_into("<Q", data, at + 4, 0xFFFFFFFFFFFFFFFF)
    wheel.write_bytes(data)
    causes = inspect(wheel).causes
    assert {(cause.name, cause.where) for cause in causes} == {("record-mismatch", LINUX_API)}


# ---- the libraries of one platform ----


def library(path: str, form: LibraryFormat = "elf", machine: str = "x86_64") -> Library:
    return Library(format=form, machine=machine, paths=(path,), sha256="", size=1)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux_2_28_x86_64", ["a"]),
        ("musllinux_1_2_aarch64", ["b"]),
        ("win_amd64", ["c"]),
        ("macosx_11_0_arm64", ["d", "e"]),
        ("macosx_11_0_x86_64", ["e"]),
        ("macosx_11_0_universal2", ["d", "e"]),
        ("any", []),
        ("nothing", []),
    ],
)
def test_libraries_of_the_systems_format_and_processor_match(tag: str, expected: list[str]) -> None:
    libraries = (
        library("a"),
        library("b", machine="aarch64"),
        library("c", "pe"),
        library("d", "mach-o", "aarch64"),
        library("e", "mach-o", "universal"),
    )
    found = NativeCode(libraries, tag, ()).matching
    assert [one.path for one in found] == expected


@pytest.mark.parametrize(
    ("tag", "absent"), [("win_amd64", {"B.dll"}), ("manylinux_2_28_x86_64", {"A.dll", "B.dll"})]
)
def test_declared_libraries_that_are_not_there_are_absent(tag: str, absent: set[str]) -> None:
    code = NativeCode((library("p/x"), library("p/a.dll")), tag, ("p/A.dll", "p/B.dll", "p/x"))
    assert code.absent == absent
