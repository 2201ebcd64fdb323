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
from verification.models.subject import Platform
from verification.wheel.archive import open_wheel
from verification.wheel.binary import format_of
from verification.wheel.native_code import NativeCode, declared_paths, gather

MACH_O = macho()
MACOS_TAG = "cp313-cp313-macosx_11_0_arm64"
EXTENSION = "quiverdb/_fast.cpython-313-x86_64-linux-gnu.so"
WITHOUT_FOLDER = SUBJECT.model_copy(update={"libs_dir": ""})
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 1\n"


def debug_only(data: bytes) -> bytes:
    """Return an ELF file without its code, like `objcopy --only-keep-debug` writes it."""
    (section_table,) = struct.unpack_from("<Q", data, 40)
    changed = bytearray(data)
    # NOBITS; allocated and executable
    struct.pack_into("<IQ", changed, section_table + 64 + 4, 8, 6)
    return bytes(changed)


def debug_only_pe(data: bytes) -> bytes:
    """Return a PE file without its code, like `objcopy --only-keep-debug` writes it."""
    image = pefile.PE(data=data, fast_load=True)
    image.sections[0].SizeOfRawData = 0
    return bytes(image.write())


# ---- which files are native code ----


def test_format_is_known_by_the_first_bytes() -> None:
    formats = {
        b"\x7fELF...": "elf",
        b"MZ...": "pe",
        b"\xcf\xfa\xed\xfe": "mach-o",
        b"\xca\xfe\xba\xbe": "mach-o",
        b"\xca\xfe\xba\xbf": "mach-o",
        b"!<arch>\n": None,
        b" MZ": None,
        b"": None,
    }
    assert {data: format_of(data) for data in formats} == formats


def test_declared_libraries_are_in_the_folder_of_the_subject(tmp_path: Path) -> None:
    archive = open_wheel(linux_wheel(tmp_path, {"libquiver.so": linux_core()}))
    assert declared_paths(archive, SUBJECT.platforms[0], SUBJECT) == (LINUX_CORE, LINUX_API)
    assert declared_paths(archive, None, SUBJECT) == ()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("_fast.abi3.so", "_fast.abi3.so"),  # a module without a package
        ("_slow.abi3.so", "quiverdb/_slow.abi3.so"),  # the package has it too
        ("core/_x.so", "quiverdb/core/_x.so"),
        ("libz.so", "quiverdb.libs/libz.so"),
        ("x.so", "quiverdb/x.so"),  # missing
    ],
)
def test_without_a_folder_the_wheel_decides_where_a_library_is(
    tmp_path: Path, name: str, path: str
) -> None:
    files = dict.fromkeys(
        ["_fast.abi3.so", "_slow.abi3.so", "quiverdb/_slow.abi3.so", "quiverdb/core/_x.so"],
        linux_core(),
    )
    archive = open_wheel(linux_wheel(tmp_path, {**files, "quiverdb.libs/libz.so": linux_core()}))
    platform = Platform(tag="manylinux_2_28_x86_64", libraries=(name,))
    assert declared_paths(archive, platform, WITHOUT_FOLDER) == (path,)


def test_library_that_no_path_of_the_wheel_has_is_missing(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    platform = Platform(tag="manylinux_2_28_x86_64", libraries=("_fast.abi3.so",))
    subject = WITHOUT_FOLDER.model_copy(update={"platforms": (platform,)})
    (cause,) = inspect(wheel, subject).causes
    assert (cause.name, cause.where) == ("missing-bundled-library", "quiverdb/_fast.abi3.so")


def test_subject_without_libraries_has_no_missing_library(tmp_path: Path) -> None:
    platform = Platform(tag="manylinux_2_28_x86_64")
    subject = WITHOUT_FOLDER.model_copy(update={"platforms": (platform,)})
    assert inspect(linux_wheel(tmp_path), subject).causes == ()


def test_equal_files_are_one_library_with_the_declared_path_first(tmp_path: Path) -> None:
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
def test_native_code_with_any_name_is_checked(tmp_path: Path, name: str) -> None:
    imports = [symbol("exp", "libc.so.6", "GLIBC_2.36")]
    newer = linux_core(soname="x", imports=imports)
    cause = only_cause(linux_wheel(tmp_path, {f"quiverdb/{name}": newer}))
    assert (cause.name, cause.where) == ("glibc-floor", f"quiverdb/{name}")


def test_data_that_only_starts_like_native_code_is_ignored(tmp_path: Path) -> None:
    files = {
        "quiverdb/a.txt": b"MZ and more",
        "quiverdb/b.txt": b"\x7fELF",
        "quiverdb/c.class": b"\xca\xfe\xba\xbe",
        "quiverdb/notes.dll.txt": b"MZ",
    }
    inspection = inspect(linux_wheel(tmp_path, files))
    assert inspection.causes == ()
    assert len(inspection.libraries) == 2


@pytest.mark.parametrize("data", [b"MZ" + bytes(200), b"\x7fELF" + bytes(200)], ids=["pe", "elf"])
def test_damaged_file_with_the_name_of_a_library_is_reported(tmp_path: Path, data: bytes) -> None:
    for name in ("a.so", "a.so.1", "a.so.1.2.3", "A.SO", "a.dll", "a.pyd", "a.dylib"):
        cause = only_cause(linux_wheel(tmp_path, {f"quiverdb/{name}": data}))
        assert (cause.name, cause.where) == ("damaged-library", f"quiverdb/{name}")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.o", elf(kind=1)),
        ("a.o", elf(kind=1, machine="s390x")),
        ("a.o", MACH_O[:12] + b"\1\0\0\0" + MACH_O[16:]),
        ("a.obj", b"\x64\x86" + bytes(18)),
        ("a.a", b"!<arch>\n"),
        ("a.lib", b"!<arch>\n"),
        ("a.a", b"!<thin>\n"),
    ],
)
def test_file_for_a_linker_is_a_note(tmp_path: Path, name: str, data: bytes) -> None:
    cause = only_cause(linux_wheel(tmp_path, {f"quiverdb/{name}": data, "quiverdb/b.o": data}))
    assert (cause.name, cause.severity) == ("build-file", "note")
    assert cause.facts == {"files": (f"quiverdb/{name}", "quiverdb/b.o")}


@pytest.mark.parametrize("data", [b"", b"text", b"\x64\x86", MACH_O])
def test_other_file_is_not_a_file_for_a_linker(tmp_path: Path, data: bytes) -> None:
    assert inspect(linux_wheel(tmp_path, {"quiverdb/data.bin": data})).causes == ()


def test_object_file_is_not_a_library(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: elf(kind=1)}))
    assert (cause.name, cause.where) == ("missing-bundled-library", LINUX_CORE)


# ---- files that cannot be loaded ----

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
def test_file_that_must_load_and_cannot_is_only_damaged(
    tmp_path: Path, path: str, data: bytes
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: data}))
    assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize("name", ["libquiver.so.debug", "libextra.so", "debug/libquiver.so"])
def test_debug_information_that_nothing_loads_is_accepted(tmp_path: Path, name: str) -> None:
    data = debug_only(linux_core(soname="x"))
    assert inspect(linux_wheel(tmp_path, {f"quiverdb/_libs/{name}": data})).causes == ()


@pytest.mark.parametrize("changes", [{"kind": 2}, {"flags_1": 0x0800_0000}])
def test_program_that_is_not_a_declared_library_is_accepted(
    tmp_path: Path, changes: dict[str, int]
) -> None:
    for name in ("tool", "tool.so"):
        wheel = linux_wheel(tmp_path, {f"quiverdb/{name}": linux_core(soname=None, **changes)})
        assert inspect(wheel).causes == ()


@pytest.mark.parametrize("data", [b"", LFS, b"text"])
def test_extension_module_without_native_code_is_damaged(tmp_path: Path, data: bytes) -> None:
    for path in (
        EXTENSION,
        "quiverdb/_fast.abi3.so",
        "quiverdb/_fast.cp313-win_amd64.pyd",
        "quiverdb/_fast.pyd",
    ):
        cause = only_cause(linux_wheel(tmp_path, {path: data}))
        assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize("text", ["", "INPUT(libquiver.so)", LFS])
def test_text_with_the_name_of_a_library_is_accepted(tmp_path: Path, text: bytes | str) -> None:
    names = ("libfoo.so", "libfoo.so.1", "libfoo.dll", "_fast.cpython-313-x86_64-linux-gnu.so.txt")
    wheel = linux_wheel(tmp_path, {f"quiverdb/{name}": text for name in names})
    assert inspect(wheel).causes == ()


@pytest.mark.parametrize("data", [b"MZ" + bytes(200), b"\x7fELF" + bytes(200)])
def test_unreadable_file_without_the_name_of_a_library_is_accepted(
    tmp_path: Path, data: bytes
) -> None:
    names = ("y.so.txt", "libquiver.so.dwp", "x.so.debug", "x.so.1.debug")
    wheel = linux_wheel(tmp_path, {f"quiverdb/{name}": data for name in names})
    assert inspect(wheel).causes == ()


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        (LINUX_CORE, "broken"),
        (EXTENSION, "broken"),
        ("quiverdb.libs/libneeded.so.1", "broken"),
        ("quiverdb/tests/libother.so", "flawed"),
        ("quiverdb/tests/libquiver.so", "flawed"),  # the complete library has this name too
    ],
)
def test_damaged_file_is_broken_only_if_something_loads_it(
    tmp_path: Path, path: str, severity: str
) -> None:
    needed = ["libquiver.so", "libc.so.6", "libneeded.so.1"]
    files: Files = {LINUX_API: linux_api(needed=needed), path: linux_core()[:200]}
    causes = [
        cause for cause in inspect(linux_wheel(tmp_path, files)).causes if cause.where == path
    ]
    assert [(cause.name, cause.severity) for cause in causes] == [("damaged-library", severity)]


def test_text_instead_of_a_needed_library_is_damaged(tmp_path: Path) -> None:
    path = "quiverdb.libs/libneeded.so.1"
    needed = ["libquiver.so", "libc.so.6", "libneeded.so.1"]
    files: Files = {LINUX_API: linux_api(needed=needed), path: LFS}
    causes = [
        cause for cause in inspect(linux_wheel(tmp_path, files)).causes if cause.where == path
    ]
    assert [(cause.name, cause.severity) for cause in causes] == [("damaged-library", "broken")]


def test_windows_library_without_code_is_only_damaged(tmp_path: Path) -> None:
    for path in (WINDOWS_CORE, "quiverdb/_fast.cp313-win_amd64.pyd"):
        wheel = windows_wheel(tmp_path, {path: debug_only_pe(windows_core(name="x"))})
        cause = only_cause(wheel)
        assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


@pytest.mark.parametrize(
    "data", [pe(), debug_only_pe(pe())], ids=["resources", "debug information"]
)
def test_windows_library_without_code_that_nothing_loads_is_accepted(
    tmp_path: Path, data: bytes
) -> None:
    wheel = windows_wheel(tmp_path, {"quiverdb/texts.dll": data})
    assert inspect(wheel).causes == ()


# ---- missing libraries ----


@pytest.mark.parametrize("path", [LINUX_CORE, LINUX_API])
def test_missing_native_library_is_reported(tmp_path: Path, out: Path, path: str) -> None:
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, remove=[path]))
    assert (cause.name, cause.where) == ("missing-bundled-library", path)


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
def test_library_with_another_path_is_a_wrong_load_path(
    tmp_path: Path, out: Path, path: str
) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, move={LINUX_CORE: path})
    (cause,) = (cause for cause in inspect(wheel).causes if cause.where == LINUX_CORE)
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
def test_other_library_does_not_replace_a_missing_one(tmp_path: Path, out: Path, path: str) -> None:
    data = windows_core() if path.endswith(".dll") else linux_core(soname="x")
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[LINUX_CORE], add={path: data})
    (cause,) = (cause for cause in inspect(wheel).causes if cause.where == LINUX_CORE)
    assert cause.name == "missing-bundled-library"


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"", {"bytes": 0}),
        (b"libquiver.so.0", {"bytes": 14}),
        (b"\x7fELF", {}),
        (b"\x7fELF\x02\x01\x01" * 20, {}),
    ],
)
def test_declared_file_that_is_not_a_library_is_only_damaged(
    tmp_path: Path, data: bytes, facts: dict[str, int]
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: data}))
    assert (cause.name, cause.where) == ("damaged-library", LINUX_CORE)
    assert cause.facts == facts


def test_damaged_windows_library_is_only_damaged(tmp_path: Path) -> None:
    wheel = windows_wheel(tmp_path, {WINDOWS_CORE: b"MZ" + bytes(200)})
    assert only_cause(wheel).name == "damaged-library"


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_library_that_is_cut_off_is_only_damaged(tmp_path: Path, fraction: float) -> None:
    def cut(data: bytes) -> bytes:
        return data[: int(len(data) * fraction)]

    for wheel, path in (
        (linux_wheel(tmp_path, {LINUX_CORE: cut(linux_core())}), LINUX_CORE),
        (windows_wheel(tmp_path, {WINDOWS_CORE: cut(windows_core())}), WINDOWS_CORE),
    ):
        cause = only_cause(wheel)
        assert (cause.name, cause.where, cause.severity) == ("damaged-library", path, "broken")


def test_library_that_is_cut_off_in_the_section_headers_is_flawed(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: linux_core()[:-10]}))
    assert (cause.name, cause.severity) == ("damaged-library", "flawed")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(windows_core(), []), (b"text", [("damaged-library", WINDOWS_CORE)])],
)
def test_windows_ignores_the_case_of_a_library_name(
    tmp_path: Path, out: Path, data: bytes, expected: list[tuple[str, str]]
) -> None:
    add = {"quiverdb/_libs/LibQuiver.dll": data}
    wheel = wheels.mutate(windows_wheel(tmp_path), out, remove=[WINDOWS_CORE], add=add)
    assert [(cause.name, cause.where) for cause in inspect(wheel).causes] == expected


def test_linux_does_not_ignore_the_case_of_a_library_name(tmp_path: Path, out: Path) -> None:
    move = {LINUX_API: "quiverdb/_libs/LibQuiver_c.so"}
    wheel = wheels.mutate(linux_wheel(tmp_path), out, move=move)
    assert only_cause(wheel).where == LINUX_API


def test_pure_wheel_without_libraries_is_broken(tmp_path: Path) -> None:
    files: Files = {"quiverdb/__init__.py": "import cffi\n", "quiverdb/_libs2/x.so": linux_core()}
    cause = only_cause(wheels.build(tmp_path, files, tag="py3-none-any"))
    assert (cause.name, cause.where) == (
        "missing-bundled-library",
        "quiverdb-1.0.0-py3-none-any.whl",
    )


def test_pure_tag_on_native_code_is_a_tag_mismatch(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, tag="py3-none-any"))
    assert (cause.name, cause.where) == ("tag-mismatch", "quiverdb-1.0.0-py3-none-any.whl")
    assert cause.facts == {"native": LINUX_CORE}


def test_libraries_of_a_wheel_for_an_undeclared_platform_are_not_checked(tmp_path: Path) -> None:
    assert only_cause(linux_wheel(tmp_path, tag="cp313-cp313-win32")).name == "tag-mismatch"


# ---- other formats and processors ----


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (linux_core(machine="aarch64"), {"format": "elf", "machine": "aarch64"}),
        (linux_core(machine="i686"), {"format": "elf", "machine": "i686"}),
        (pe(), {"format": "pe", "machine": "x86_64"}),
        (MACH_O, {"format": "mach-o", "machine": "aarch64"}),
    ],
)
def test_library_for_another_system_has_the_wrong_architecture(
    tmp_path: Path, data: bytes, facts: dict[str, str]
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {LINUX_CORE: data}))
    assert (cause.name, cause.where) == ("wrong-architecture", LINUX_CORE)
    assert cause.facts == facts


@pytest.mark.parametrize("machine", ["i686", "aarch64"])
def test_windows_library_for_another_processor_has_the_wrong_architecture(
    tmp_path: Path, machine: str
) -> None:
    wheel = windows_wheel(tmp_path, {WINDOWS_CORE: windows_core(machine=machine)})
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("wrong-architecture", WINDOWS_CORE)
    assert cause.facts == {"format": "pe", "machine": machine}


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (elf(machine="aarch64"), {"wrong-architecture"}),
        (pe(), set()),  # a tool of another system
        (MACH_O, set()),
    ],
)
def test_other_file_in_the_format_of_the_system_must_be_for_its_processor(
    tmp_path: Path, data: bytes, names: set[str]
) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb/extra.so": data})
    assert inspect(wheel).cause_names() == names


def test_wheel_with_a_second_unknown_platform_is_inspected(tmp_path: Path) -> None:
    for platform in ("any", "linux_x86_64"):
        wheel = windows_wheel(tmp_path, tag=f"cp313-cp313-win_amd64.{platform}")
        assert inspect(wheel).cause_names() == {"tag-mismatch"}


def test_copies_of_a_library_are_one_cause_for_each_library(tmp_path: Path) -> None:
    core, api = linux_core(), linux_api()
    copies = {f"{LINUX_CORE}.0": core, f"{LINUX_CORE}.0.1": core, f"{LINUX_API}.0": api}
    causes = inspect(linux_wheel(tmp_path, copies)).causes
    assert {cause.name for cause in causes} == {"duplicate-library"}
    assert [(cause.where, cause.facts) for cause in causes] == [
        (LINUX_CORE, {"count": 3, "bytes": len(core)}),
        (LINUX_API, {"count": 2, "bytes": len(api)}),
    ]


# ---- libraries that cannot be read completely ----


def test_needed_libraries_of_a_macos_library_are_unverified(tmp_path: Path) -> None:
    core = "quiverdb/_libs/libquiver.0.dylib"
    files: Files = {
        "quiverdb/__init__.py": "",
        core: MACH_O,
        "quiverdb/_libs/libquiver_c.dylib": MACH_O + b"c",
    }
    inspection = inspect(wheels.build(tmp_path, files, tag=MACOS_TAG))
    assert inspection.causes == ()
    assert [line.partition(":")[0] for line in inspection.unverified] == sorted(
        path for path in files if path.endswith(".dylib")
    )
    assert inspection.unread == inspection.unverified


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (elf(), "wrong-architecture"),
        (macho(machine="x86_64"), "wrong-architecture"),
        (MACH_O[:-1], "damaged-library"),
        (MACH_O[:4], "damaged-library"),
        (universal_macho(MACH_O, macho(machine="x86_64"))[:-1], "damaged-library"),
    ],
)
def test_macos_library_that_cannot_load_is_broken(tmp_path: Path, data: bytes, name: str) -> None:
    core = "quiverdb/_libs/libquiver.0.dylib"
    files: Files = {
        "quiverdb/__init__.py": "",
        core: data,
        "quiverdb/_libs/libquiver_c.dylib": MACH_O + b"c",
    }
    cause = only_cause(wheels.build(tmp_path, files, tag=MACOS_TAG))
    assert (cause.name, cause.where, cause.severity) == (name, core, "broken")


def test_universal_macos_library_is_accepted(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/__init__.py": "",
        "quiverdb/_libs/libquiver.0.dylib": universal_macho(MACH_O, macho(machine="x86_64")),
        "quiverdb/_libs/libquiver_c.dylib": MACH_O,
    }
    assert inspect(wheels.build(tmp_path, files, tag=MACOS_TAG)).causes == ()


def test_library_without_section_headers_is_unverified(tmp_path: Path) -> None:
    inspection = inspect(linux_wheel(tmp_path, {LINUX_CORE: linux_core(section_headers=False)}))
    assert [line.partition(":")[0] for line in inspection.unverified] == [LINUX_CORE]
    assert inspection.causes == ()


def test_library_that_cannot_be_unpacked_is_not_missing(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    data = bytearray(wheel.read_bytes())
    content = data.index(LINUX_API.encode()) + len(LINUX_API)
    struct.pack_into("<Q", data, content + 4, 0xFFFFFFFFFFFFFFFF)
    wheel.write_bytes(data)
    causes = inspect(wheel).causes
    assert {(cause.name, cause.where) for cause in causes} == {("record-mismatch", LINUX_API)}


# ---- the libraries of one platform ----


def library(path: str, kind: LibraryFormat = "elf", machine: str = "x86_64") -> Library:
    return Library(format=kind, machine=machine, paths=(path,), sha256="", size=1)


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
def test_libraries_with_the_format_and_processor_of_the_tag_match(
    tag: str, expected: list[str]
) -> None:
    libraries = (
        library("a"),
        library("b", machine="aarch64"),
        library("c", "pe"),
        library("d", "mach-o", "aarch64"),
        library("e", "mach-o", "universal"),
    )
    assert [matching.path for matching in NativeCode(libraries, tag, ()).matching] == expected


@pytest.mark.parametrize(
    ("tag", "absent"), [("win_amd64", {"B.dll"}), ("manylinux_2_28_x86_64", {"A.dll", "B.dll"})]
)
def test_declared_libraries_that_the_wheel_does_not_contain_are_absent(
    tag: str, absent: set[str]
) -> None:
    code = NativeCode((library("p/x"), library("p/a.dll")), tag, ("p/A.dll", "p/B.dll", "p/x"))
    assert code.absent == absent
