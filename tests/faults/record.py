"""Record what `./e2e gate` decides about planted faults, and compare two such records.

Run the recorder on a checkout:

    python3 tests/faults/record.py --checkout DIR --output FILE --wheels-cache DIR
        [--only GLOB] [--jobs N] [--seed S --sample N] [--resume] [--reports DIR]

Compare two records. The exit code is 1 if there are differences:

    python3 tests/faults/record.py --compare OLD NEW [--only GLOB]

The program knows the project only by its command line and by `results.json`. It imports nothing of
the project, so it runs unchanged on any version of it. It needs CPython 3.11, git, and gcc for a
few cases.

**The wheels.** `--wheels-cache` names a folder outside the checkout. If it has no wheels, the
recorder lets the gate build `bindings/python` once and copies the wheels there. Libraries that gcc
compiles stay there as well. Use the same folder for two records that are compared.

**The faults.** Each case is a release (or a workflow, or a command line) with one fault, and the
options that keep the run short. If both wheels have the changed file, both are changed, as in a
build.

**What is recorded.** For each case: the exit code, the verdict, the notes, and for each item and
each cell the verdict and the causes (name, severity, where). In newer versions also `outcome` and
`expectation`. Equal causes are recorded once. Everything is sorted.

**What is replaced.** These parts of `where` differ from run to run and are replaced by a word:
the checkout, temporary folders, the state folder, hexadecimal addresses, hashes of 12 or more
hexadecimal digits, times, durations, and line numbers of a workflow. Messages, reasons and remedies
are prose and are not recorded.

**What is left out**, because the command line cannot express it:

- faults of the index (truncated, corrupt or slow answers, errors 403, 404 and 503), an open
  network, a machine that is killed or paused, an interrupted or killed run, a missing registry
- files and environment variables that are planted on the machine: a shadowing folder, decoys on
  LD_LIBRARY_PATH and PATH
- an earlier release with a fault: the gate takes the earlier releases from the package index.
  Three faults of the upgrade scenarios are replaced by new ones that need no faulty earlier release
- a lightweight tag, a tag of another version, a registry of the index that already has a file:
  the gate itself pushes the tag and fills the index
- a hang in the own tests: it takes five minutes
- the faults of checks without a verdict: documents, report page, forge, runner, act
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import dataclasses
import fnmatch
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

SCHEMA = 1
SECONDS = 3600
"""The time limit of a case. A case that takes longer is recorded as an error."""

INIT = "quiverdb/__init__.py"
LOADER = "quiverdb/_loader.py"
DATABASE = "quiverdb/database.py"
FIRST_USE = b"def _load_bundled(ffi: Any) -> Any:\n"
CORE_SO, API_SO = "quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so"
CORE_DLL, API_DLL = "quiverdb/_libs/libquiver.dll", "quiverdb/_libs/libquiver_c.dll"
EXTRA_SO = "quiverdb/_libs/libextra.so"
LINUX_TAG, WINDOWS_TAG = "manylinux_2_28_x86_64", "win_amd64"
WORKFLOW = ".github/workflows/publish.yml"


# ---- changing a wheel ----


@dataclasses.dataclass
class Wheel:
    """The files of a wheel in memory. An edit changes this object."""

    name: str
    files: dict[str, bytes]
    modes: dict[str, int]
    keeps_record: bool = False
    """True if RECORD stays as it is. Otherwise it is written again."""

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Return the wheel at this path."""
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            files = {member.filename: archive.read(member) for member in members}
        return cls(path.name, files, {m.filename: m.external_attr for m in members})

    @property
    def version(self) -> str:
        """The version in the file name."""
        return self.name.split("-")[1]

    @property
    def info(self) -> str:
        """The name of the folder with the metadata."""
        return next(path for path in self.files if ".dist-info/" in path).partition("/")[0]

    def path(self, name: str) -> str:
        """Return the path of a file; `{info}` and `{data}` are the metadata and data folders."""
        data = self.info.replace(".dist-info", ".data")
        return name.replace("{info}", self.info).replace("{data}", data)

    def existing(self, name: str) -> str:
        """Return the path of a file, which must be in the wheel."""
        path = self.path(name)
        if path not in self.files:
            raise ValueError(f"{self.name} has no {path}")
        return path

    def write(self, folder: Path) -> Path:
        """Write the wheel into the folder and return its path."""
        records = [path for path in self.files if path.endswith(f"{self.info}/RECORD")]
        if records and not self.keeps_record:
            self.files[records[0]] = self._record(records[0])
        order = [path for path in self.files if path not in records] + records
        target = folder / self.name
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in order:
                member = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
                member.external_attr = self.modes.get(path, 0o100644 << 16)
                archive.writestr(member, self.files[path], zipfile.ZIP_DEFLATED)
        return target

    def _record(self, record: str) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for path, data in self.files.items():
            if path != record:
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
                writer.writerow((path, f"sha256={digest.decode()}", len(data)))
        writer.writerow((record, "", ""))
        return text.getvalue().encode()


Edit = Callable[[Wheel], None]
"""A function that changes a wheel."""


def remove(*names: str) -> Edit:
    """Return an edit that removes files."""

    def edit(wheel: Wheel) -> None:
        for name in names:
            del wheel.files[wheel.existing(name)]

    return edit


def add(name: str, data: bytes | str) -> Edit:
    """Return an edit that adds a file."""

    def edit(wheel: Wheel) -> None:
        path = wheel.path(name)
        if path in wheel.files:
            raise ValueError(f"{wheel.name} has a {path}")
        wheel.files[path] = data.encode() if isinstance(data, str) else data

    return edit


def change(name: str, function: Callable[[bytes], bytes]) -> Edit:
    """Return an edit that applies a function to the bytes of a file."""

    def edit(wheel: Wheel) -> None:
        path = wheel.existing(name)
        wheel.files[path] = function(wheel.files[path])

    return edit


def replace(name: str, old: bytes, new: bytes, count: int = -1) -> Edit:
    """Return an edit that replaces a text, which must be in the file."""

    def function(data: bytes) -> bytes:
        if old not in data:
            raise ValueError(f"{name} has no {old!r}")
        return data.replace(old, new, count)

    return change(name, function)


def append(name: str, code: bytes) -> Edit:
    """Return an edit that appends code to a file."""
    return change(name, lambda data: data + code)


def at_import(code: bytes) -> Edit:
    """Return an edit that runs this code at the end of the import of the package."""
    return append(INIT, b"\nimport os, sys\n" + code + b"\n")


def at_first_use(code: bytes) -> Edit:
    """Return an edit that runs this code before the libraries are loaded."""
    return replace(LOADER, FIRST_USE, FIRST_USE + code)


def move(old: str, new: str) -> Edit:
    """Return an edit that moves all files below a folder."""

    def edit(wheel: Wheel) -> None:
        start, target = wheel.path(old), wheel.path(new)
        for path in [path for path in wheel.files if path.startswith(start)]:
            moved = target + path.removeprefix(start)
            wheel.files[moved] = wheel.files.pop(path)
            wheel.modes[moved] = wheel.modes.pop(path, 0o100644 << 16)

    return edit


def renamed(old: str, new: str) -> Edit:
    """Return an edit that changes only the file name of the wheel."""

    def edit(wheel: Wheel) -> None:
        if old not in wheel.name:
            raise ValueError(f"{wheel.name} has no {old}")
        wheel.name = wheel.name.replace(old, new)

    return edit


def retagged(old: str, new: str) -> Edit:
    """Return an edit that changes a tag in the file name of the wheel and in WHEEL."""

    def edit(wheel: Wheel) -> None:
        renamed(old, new)(wheel)
        replace("{info}/WHEEL", old.encode(), new.encode())(wheel)

    return edit


def versioned(version: str) -> Edit:
    """Return an edit that changes the version in name and metadata, but not the code."""

    def edit(wheel: Wheel) -> None:
        old = wheel.version
        metadata = f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode()
        replace("{info}/METADATA", *metadata, 1)(wheel)
        move("{info}/", f"quiverdb-{version}.dist-info/")(wheel)
        wheel.name = wheel.name.replace(f"-{old}-", f"-{version}-", 1)

    return edit


def with_old_record(*edits: Edit) -> Edit:
    """Return an edit that makes these edits and leaves RECORD as it was."""

    def edit(wheel: Wheel) -> None:
        for change_wheel in edits:
            change_wheel(wheel)
        wheel.keeps_record = True

    return edit


def metadata(old: bytes, new: bytes) -> Edit:
    """Return an edit that replaces a text in METADATA once."""
    return replace("{info}/METADATA", old, new, 1)


def depends(new: bytes) -> Edit:
    """Return an edit that replaces the requirement on cffi."""
    return metadata(b"Requires-Dist: cffi>=2.0.0", new)


def entry_points(text: str) -> Edit:
    """Return an edit that adds entry points."""
    return add("{info}/entry_points.txt", text)


def native(name: str) -> Edit:
    """Return an edit that adds a compiled library of `NATIVE` as libextra.so."""

    def edit(wheel: Wheel) -> None:
        add(EXTRA_SO, Native.library(name))(wheel)

    return edit


# ---- native code for Linux ----

AVX2 = """
__attribute__((target("avx2"))) static int fast(void) {
    __asm__ volatile("vpaddd %%ymm0, %%ymm0, %%ymm0" ::: "xmm0");
    return 1;
}
"""
NATIVE: dict[str, tuple[str, tuple[str, ...]]] = {
    # The effect of -ffast-math when a library is loaded, and two changes of signals.
    "flushing": (
        """
        extern void (*signal(int, void (*)(int)))(int);
        __attribute__((constructor)) static void begin(void) {
            __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
        }
        __attribute__((constructor)) static void quiet(void) { signal(10, (void (*)(int))1); }
        """,
        (),
    ),
    # A function with the name of a function of SQLite, called by a table of pointers.
    "tabled": (
        """
        const char *sqlite3_libversion(void) { return "its own"; }
        typedef const char *(*function)(void);
        static function const volatile table[] = { sqlite3_libversion };
        const char *asked(void) { return table[0](); }
        """,
        (),
    ),
    "avx2-at-load": (
        AVX2 + "__attribute__((constructor)) static void begin(void) { fast(); }",
        (),
    ),
    "avx2-unasked": (AVX2 + "int total(void) { return fast(); }", ()),
    "avx2-asked": (
        f"""
        #include <cpuid.h>
        {AVX2}
        int total(void) {{
            unsigned a, b, c, d;
            __cpuid(1, a, b, c, d);
            if (!(c & bit_OSXSAVE)) return 0;
            return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) ? fast() : 0;
        }}
        """,
        (),
    ),
    # The code names the version of the symbol, so that it does not depend on the host.
    "glibc-2.34": (
        """
        extern int pthread_create(void *, const void *, void *(*)(void *), void *);
        __asm__(".symver pthread_create, pthread_create@GLIBC_2.34");
        int begin(void) { return pthread_create(0, 0, 0, 0); }
        """,
        (),
    ),
    "needs-nobody": ("int nothing(void) { return 0; }", ("-Wl,--no-as-needed", "-lnobody")),
    "executable-stack": ("int nothing(void) { return 0; }", ("-Wl,-z,execstack",)),
    "run-path": ("int nothing(void) { return 0; }", ("-Wl,-rpath,/home/builder/lib",)),
    "undefined-symbol": (
        "extern int quiver_nobody_has_this(void);\n"
        "int nothing(void) { return quiver_nobody_has_this(); }",
        (),
    ),
}


class Native:
    """Compiles each library of `NATIVE` once and stores it."""

    folder = Path()
    _lock = threading.Lock()

    @classmethod
    def library(cls, name: str) -> bytes:
        """Return the compiled library with this name in `NATIVE`."""
        path = cls.folder / "native" / f"{name}.so"
        with cls._lock:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                cls._compile(name, path)
        return path.read_bytes()

    @staticmethod
    def _compile(name: str, target: Path) -> None:
        if shutil.which("gcc") is None:
            raise ValueError("gcc is needed")
        source, options = NATIVE[name]
        base = ["gcc", "-shared", "-fPIC", "-O1", "-Wl,--build-id=none"]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "x.c").write_text(source, "utf-8")
            (folder / "nobody.c").write_text("int nobody(void) { return 0; }", "utf-8")
            stub = ["-Wl,-soname,libnobody.so.1", "-o", "libnobody.so", "nobody.c"]
            library = ["-o", "x.so", "x.c", "-L.", *options]
            for command in ([*base, *stub], [*base, *library]):
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
            shutil.copyfile(folder / "x.so", target)


# ---- native code for Windows (Microsoft's PE Format) ----

SECTION, HEADERS = 0x1000, 0x400
CRASHES, NEVER_ENDS = b"\x0f\x0b", b"\xeb\xfe"
"""Machine code for x86-64: ud2, and a jump to itself."""


def pe(*, name: str, exports: Sequence[str], entry: bytes = b"", wide: bool = True) -> bytes:
    """Return a DLL with these exports, for 64 bits, or for 32 bits without `wide`.

    `entry` is machine code that runs when the DLL is loaded.
    """
    data = bytearray()

    def put(chunk: bytes) -> int:
        data.extend(bytes(-len(data) % 8))
        position = SECTION + len(data)
        data.extend(chunk)
        return position

    code = put(b"\xc3" + bytes(7))
    start = put(entry) if entry else 0
    count = len(exports)
    functions = put(struct.pack(f"<{count}I", *[code] * count))
    texts = [put(symbol.encode() + b"\0") for symbol in sorted(exports)]
    names = put(struct.pack(f"<{count}I", *texts))
    ordinals = put(struct.pack(f"<{count}H", *range(count)))
    title = put(name.encode() + b"\0")
    layout = (0, 0, 0, 0, title, 1, count, count, functions, names, ordinals)
    directories = [(put(struct.pack("<IIHHIIIIIII", *layout)), 40)] + [(0, 0)] * 15
    size = len(data)
    raw = size + -size % 0x200
    magic, word = (0x20B, "Q") if wide else (0x10B, "I")
    optional = struct.pack("<HBBIIIII", magic, 14, 0, raw, 0, 0, start, SECTION)
    optional += b"" if wide else struct.pack("<I", SECTION)
    optional += struct.pack(f"<{word}II", 0x10000000, 0x1000, 0x200)
    optional += struct.pack("<HHHHHHI", 6, 0, 0, 0, 6, 0, 0)
    optional += struct.pack("<IIIHH", SECTION + raw + 0x1000, HEADERS, 0, 2, 0x160)
    optional += struct.pack(f"<4{word}", 0x100000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16)
    optional += b"".join(struct.pack("<II", *directory) for directory in directories)
    machine = 0x8664 if wide else 0x14C
    coff = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), 0x2022)
    sizes = (size, SECTION, raw, HEADERS, 0, 0, 0, 0, 0x60000060)
    header = struct.pack("<8sIIIIIIHHI", b".rdata", *sizes)
    head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + coff + optional + header
    return head.ljust(HEADERS, b"\0") + bytes(data).ljust(raw, b"\0")


def pe_imports(data: bytes) -> dict[str, list[str]]:
    """Return the imported symbols of a 64-bit DLL by library."""
    (start,) = struct.unpack_from("<I", data, 60)
    (count, optional) = struct.unpack_from("<H12xH", data, start + 6)
    sections = [
        struct.unpack_from("<4I", data, start + 24 + optional + 40 * number + 8)
        for number in range(count)
    ]

    def at(address: int) -> int:
        _, virtual, _, offset = next(
            row for row in sections if row[1] <= address < row[1] + max(row[0], row[2])
        )
        return int(address - virtual + offset)

    def text(address: int) -> str:
        position = at(address)
        return data[position : data.index(b"\0", position)].decode("ascii")

    imports: dict[str, list[str]] = {}
    (table,) = struct.unpack_from("<I", data, start + 24 + 120)
    row = at(table)
    while any(descriptor := struct.unpack_from("<5I", data, row)):
        symbols = imports.setdefault(text(descriptor[3]), [])
        thunk = at(descriptor[0] or descriptor[4])
        while (value := struct.unpack_from("<Q", data, thunk)[0]) != 0:
            if not value >> 63:
                symbols.append(text(value + 2))
            thunk += 8
        row += 20
    return imports


def without_symbol(wheel: Wheel) -> None:
    """Rename an export of the core that the other library imports."""
    imports = pe_imports(wheel.files[API_DLL])
    symbol = min(imports[next(name for name in imports if name.lower() == "libquiver.dll")])
    old, new = f"\0{symbol}\0".encode(), f"\0{symbol[:-1]}~\0".encode()
    replace(CORE_DLL, old, new)(wheel)


def with_missing_import(wheel: Wheel) -> None:
    """Let the core import a library that does not exist."""
    longest = max(pe_imports(wheel.files[CORE_DLL]), key=len)
    missing = "third-party".ljust(len(longest) - 4, "x") + ".dll"
    replace(CORE_DLL, longest.encode(), missing.encode())(wheel)


# ---- the cases ----


@dataclasses.dataclass(frozen=True)
class Case:
    """One run of the gate to record.

    The edits in `both` change both good wheels. Those in `linux` and `windows` change one. `extra`
    are additional wheels: copies of the good Linux wheel with these edits. If `wheels` is empty,
    the options name the origin.
    """

    id: str
    options: tuple[str, ...]
    both: tuple[Edit, ...] = ()
    linux: tuple[Edit, ...] = ()
    windows: tuple[Edit, ...] = ()
    extra: tuple[tuple[Edit, ...], ...] = ()
    wheels: tuple[str, ...] = ("linux", "windows")
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files in the folder of the case. In the options, `{folder}` is its path."""
    prepare: Callable[[Path], None] | None = None
    """A function that changes the folder of the case."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    workflow: tuple[tuple[str, str], ...] = ()
    """Changes of the release workflow: a pattern and the text that replaces it once."""
    moved: str = ""
    """The new file name of the release workflow."""

    @property
    def in_copy(self) -> bool:
        """True if the case changes the checkout. It then runs in a copy."""
        return bool(self.workflow or self.moved)


def cells(*names: str) -> tuple[str, ...]:
    """Return the options that select these cells."""
    return ("-k", " or ".join(names))


def at(machine: str, *names: str, profile: str = "full") -> tuple[str, ...]:
    """Return the options that select cells of a machine. A name is installer-scenario.

    One worker is enough for a few cells, and starts faster.
    """
    selected = cells(*(f"{machine}-{name}" for name in names))
    return (f"--machine={machine}", f"--profile={profile}", "-n1", *selected)


QUICK_LINUX = ("--profile=quick", "--machine=debian-13", "-n1")
QUICK_WINDOWS = ("--profile=quick", "--machine=windows-wine", "-n1")
UV = (*at("debian-13", "uv-venv", profile="gate"), "--history=none")
OLDEST = (
    *("--machine=debian-13-x86-64-v1", "--machine=debian-13", "--profile=full"),
    *cells("debian-13-x86-64-v1-uv-venv", "debian-13-uv-venv"),
)
CHAIN = cells("pipeline", "publisher", "debian-13-uv-venv")
"""The options that select the run of the release workflow and one cell."""
NO_WHEELS: tuple[str, ...] = ()


def on_linux(name: str, *edits: Edit, options: tuple[str, ...] = QUICK_LINUX) -> Case:
    """Return a case with a fault in both wheels, run on Linux."""
    return Case(f"linux-{name}", options, both=edits)


def native_linux(name: str, *edits: Edit, options: tuple[str, ...] = QUICK_LINUX) -> Case:
    """Return a case with a fault in the Linux wheel only."""
    return Case(f"linux-{name}", options, linux=edits)


def on_windows(name: str, *edits: Edit, options: tuple[str, ...] = QUICK_WINDOWS) -> Case:
    """Return a case with a fault in both wheels, run on Windows."""
    return Case(f"windows-{name}", options, both=edits)


def native_windows(name: str, *edits: Edit, options: tuple[str, ...] = QUICK_WINDOWS) -> Case:
    """Return a case with a fault in the Windows wheel only."""
    return Case(f"windows-{name}", options, windows=edits)


def healthy_cases() -> Iterator[Case]:
    """Yield cases: wheels without a fault."""
    tests = "--tests={checkout}/bindings/python/tests"
    yield Case("healthy-source-gate", (), wheels=NO_WHEELS)
    yield Case("healthy-quick", ("--profile=quick",))
    yield Case("healthy-quick-strict", ("--profile=quick", "--strict"))
    yield Case("healthy-gate", ())
    yield Case("healthy-full", ("--profile=full", tests))
    yield Case("healthy-linux-wheel-only", ("--profile=quick",), wheels=("linux",))
    yield Case("healthy-windows-wheel-only", ("--profile=quick",), wheels=("windows",))
    yield Case("healthy-linux-wheel-one-machine", QUICK_LINUX, wheels=("linux",))
    yield Case("healthy-no-engine-for-machine", ("--machine=windows-servercore",))
    for machine in ("debian-13-glibc-2.17", "debian-forky-python-3.14"):
        options = at(machine, "pip-venv", "pip-pinned", "uv-venv", "uv-pinned")
        yield Case(f"healthy-{machine}", options)
        yield Case(f"healthy-{machine}-no-history", (*options, "--history=none"))


def release_cases() -> Iterator[Case]:
    """Yield cases: published releases."""
    for version in ("0.1.0", "0.4.0", "0.7.0", "0.12.9", "0.13.5"):
        yield Case(f"release-{version}", (f"--release={version}",), wheels=NO_WHEELS)
    latest = "--release=0.13.5"
    yield Case("release-0.13.5-full", (latest, "--profile=full"), wheels=NO_WHEELS)
    strict = (latest, "--machine=debian-13", "--strict")
    yield Case("release-0.13.5-strict", strict, wheels=NO_WHEELS)


def wheel_cases() -> Iterator[Case]:
    """Yield cases on Debian 13: faults of the files in the wheel."""
    yield native_linux("missing-core", remove(CORE_SO))
    yield native_linux("missing-c-api", remove(API_SO))
    yield native_linux("missing-both-libraries", remove(CORE_SO, API_SO))
    yield on_linux("native-version", versioned("0.5.1"))
    yield on_linux("record-hash", with_old_record(change("{info}/RECORD", _other_hash)))
    yield on_linux("record-unlisted-file", with_old_record(add("quiverdb/new.py", "")))
    yield on_linux("record-absent-file", with_old_record(remove("quiverdb/py.typed")))
    yield on_linux("record-absent", with_old_record(remove("{info}/RECORD")))
    yield on_linux("stray-top-level", add("lib64/libleft.a", "!<arch>\n"))
    yield on_linux("stray-bytecode", add("quiverdb/__pycache__/a.cpython-313.pyc", "x"))
    yield on_linux("private-file", add("quiverdb/.netrc", "machine example.org password x\n"))
    yield native_linux("duplicate-library", _duplicate)
    yield native_linux(
        "tag-differs-from-name",
        replace("{info}/WHEEL", b"Tag: cp313-cp313-", b"Tag: cp312-cp312-"),
    )
    yield native_linux("tag-of-older-glibc", retagged(LINUX_TAG, "manylinux_2_17_x86_64"))
    yield native_linux("python-3.12-tag", retagged("cp313-cp313", "cp312-cp312"))
    yield on_linux("wheel-version", replace("{info}/WHEEL", b"Version: 1.0", b"Version: 2.0"))
    yield on_linux(
        "purelib", replace("{info}/WHEEL", b"Root-Is-Purelib: false", b"Root-Is-Purelib: true")
    )
    yield on_linux("second-metadata", add("quiverdb-0.4.0.dist-info/METADATA", "Name: quiverdb\n"))
    yield on_linux("requires-python", metadata(b"Requires-Python: >=3.13", b"Requires-Python: >=4"))
    yield on_linux("bare-metadata", change("{info}/METADATA", _bare))
    yield on_linux("missing-dependency", metadata(b"Requires-Dist: cffi>=2.0.0\n", b""))
    yield on_linux("undeclared-import", at_import(b"import numpy"))
    for patch in ("3.13.1", "3.13.90"):
        marker = f'Requires-Dist: cffi>=2.0.0; python_full_version < "{patch}"'
        yield on_linux(f"dependency-before-{patch}", depends(marker.encode()))
    yield on_linux("dependency-overwritten", add("cffi/more.py", ""))
    late = b"\n\ndef _late():\n    %s\n"
    for name, code in (
        ("late-import-absolute", b"from quiverdb._csv import export"),
        ("late-import-relative", b"from . import _csv"),
    ):
        yield on_linux(name, append(DATABASE, late % code))
    yield on_linux("removed-standard-library", at_import(b"from ast import Num, Nothing"))
    yield on_linux("syntax-error", add("quiverdb/extra.py", "def f(:\n"))
    script = "[console_scripts]\n%s\n"
    yield on_linux("command-without-module", entry_points(script % "quiver = quiverdb.cli:main"))
    yield on_linux("entry-point-no-function-pip", entry_points(script % "quiver = quiverdb"))
    for name, text in (
        ("no-function-uv", script % "quiver = quiverdb"),
        ("unreadable-uv", "[console_scripts\nquiver quiverdb\n"),
        ("doubled-uv", script % "q = quiverdb:version\nq = quiverdb:version"),
    ):
        yield on_linux(f"entry-point-{name}", entry_points(text), options=UV)
    yield on_linux("data-folder", move("quiverdb/_libs/", "{data}/platlib/quiverdb/_libs/"))
    yield on_linux("upload-local-version", versioned("0.5.0+local"))
    yield on_linux("upload-classifier", metadata(b"Requires-P", b"Classifier: Klingon\nRequires-P"))
    yield on_linux("upload-latin-1", metadata(b"Requires-P", b"Author: Jos\xe9\nRequires-P"))
    yield native_linux(
        "missing-symbol",
        replace(
            API_SO,
            b"\0quiver_database_delete_element\0",
            b"\0quiver_database_delete_elemenX\0",
        ),
    )
    # The machine in the header of an ELF file: 183 is AArch64.
    yield native_linux("wrong-processor", change(CORE_SO, lambda d: d[:18] + b"\xb7\0" + d[20:]))
    load = b"import ctypes\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '_libs', '%s'))"
    loads = at_import(load % b"libextra.so")
    for name in ("needs-nobody", "executable-stack", "run-path", "undefined-symbol"):
        yield native_linux(f"native-{name}", native(name), loads)
    yield native_linux(
        "native-glibc-2.34",
        native("glibc-2.34"),
        loads,
        options=(
            *("--machine=debian-13", "--machine=debian-11", "--profile=full"),
            *cells("debian-13-pip-venv", "debian-11-pip-venv"),
        ),
    )
    stale = (append(DATABASE, b"\nSTALE = True\n"), depends(b"Requires-Dist: cffi>=2.0.1"))
    yield Case("wheels-differ", ("--profile=quick",), windows=stale)
    yield on_linux("strict-flawed", add("lib64/libleft.a", ""), options=(*QUICK_LINUX, "--strict"))


def _other_hash(record: bytes) -> bytes:
    match = re.search(rb"quiverdb/database\.py,sha256=(.)", record)
    if match is None:
        raise ValueError("RECORD has no quiverdb/database.py")
    other = b"A" if match[1] != b"A" else b"B"
    return record[: match.start(1)] + other + record[match.end(1) :]


def _bare(data: bytes) -> bytes:
    required = (b"Metadata-Version", b"Name", b"Version", b"Requires-Dist", b"Requires-Python")
    head = data.partition(b"\n\n")[0].splitlines()
    return b"\n".join(line for line in head if line.startswith(required)) + b"\n"


def _duplicate(wheel: Wheel) -> None:
    wheel.files[f"{CORE_SO}.0.5"] = wheel.files[CORE_SO]


def process_cases() -> Iterator[Case]:
    """Yield cases: packages that crash or hang, or that change settings of the Python process."""
    yield on_linux(
        "crash", at_first_use(b"    import faulthandler\n\n    faulthandler._sigsegv()\n")
    )
    hang = b"    import threading\n\n    threading.Event().wait()\n"
    yield on_linux("hang", at_first_use(hang))
    end = b"    import atexit, os\n    atexit.register(%s)\n"
    yield on_linux("abort-at-exit", at_first_use(end % b"os.abort"))
    yield on_linux("other-code-at-exit", at_first_use(end % b"lambda: os._exit(3)"))
    yield on_linux("system-exit", at_first_use(b"    raise SystemExit(0)\n"))
    waiting = b"    import threading\n    wait = threading.Event().wait\n"
    yield on_linux(
        "hang-at-exit", at_first_use(waiting + b"    threading.Thread(target=wait).start()\n")
    )
    child = b"    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    yield on_linux("process-left", at_first_use(b"    import subprocess\n" + child))
    changing = (
        b"    import ctypes, locale, os, signal\n"
        b"    os.chdir('..')\n"
        b"    os.umask(0)\n"
        b"    locale.setlocale(locale.LC_ALL, 'C')\n"
        b"    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        b"    ctypes.CDLL(str(_LIBS_DIR / 'libextra.so'))\n"
    )
    yield native_linux("process-changed", native("flushing"), at_first_use(changing))
    forgetting = (
        b"\n\n_real_close = Database.close\n\n\n"
        b"def _forget(self):\n    import os\n    path = self.path()\n    _real_close(self)\n"
        b"    if os.path.exists(path):\n        os.replace(path, path + '.kept')\n\n\n"
        b"_real_open = Database.open.__func__\n\n\n"
        b"def _pretend(cls, path, **options):\n"
        b"    return _real_open(cls, str(path) + '.kept', **options)\n\n\n"
        b"Database.close = _forget\nDatabase.open = classmethod(_pretend)\n"
    )
    yield on_linux("never-on-disk", append(DATABASE, forgetting))


def side_effect_cases() -> Iterator[Case]:
    """Yield cases: packages with side effects on other files, the network or the terminal."""
    home = (
        b"\nimport os\n_version = version\ndef version():\n"
        b"    os.makedirs(os.path.expanduser('~/.cache/quiverdb'), exist_ok=True)\n"
        b"    open(os.path.expanduser('~/.cache/quiverdb/seen'), 'w').close()\n"
        b"    return _version()\n"
    )
    yield on_linux("leftover-in-home-pip", append(INIT, home))
    yield on_linux("leftover-in-home-uv", append(INIT, home), options=UV)
    yield on_linux(
        "files-of-others",
        at_first_use(
            b"    import cffi, os\n"
            b"    home = os.path.dirname(cffi.__file__)\n"
            b"    with open(os.path.join(home, 'lock.py'), 'a') as file: file.write('# ours')\n"
            b"    os.remove(os.path.join(home, 'recompiler.py'))\n"
            b"    start = os.path.join(os.environ['VIRTUAL_ENV'], 'bin', 'activate')\n"
            b"    with open(start, 'a') as file: file.write('alias python=true')\n"
        ),
    )
    yield on_linux(
        "without-manners",
        entry_points("[console_scripts]\nx = quiverdb:__all__\n"),
        at_import(
            b"import atexit, urllib.request\n"
            b"from pip._internal.models.index import PyPI\n"
            b"print('Welcome to it')\n"
            b"for path in ('quiver.cache', '/dev/shm/quiver'): open(path, 'w').close()\n"
            b"atexit.register(lambda: 1 / 0)\n"
            b"urllib.request.urlopen(PyPI.simple_url + '/quiverdb/').close()\n"
            b"__version__ = '0.4.9'\n"
        ),
    )
    yield on_linux(
        "network-without-trust",
        at_first_use(
            b"    import ssl, urllib.request\n"
            b"    from pip._internal.models.index import PyPI\n"
            b"    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
            b"    try: urllib.request.urlopen(PyPI.simple_url, context=nobody)\n"
            b"    except OSError: pass\n"
        ),
    )
    yield on_linux(
        "healthy-fork-server",
        at_first_use(
            b"    import multiprocessing\n"
            b"    context = multiprocessing.get_context('forkserver')\n"
            b"    child = context.Process(target=print)\n"
            b"    child.start(); child.join()\n"
        ),
    )


def windows_cases() -> Iterator[Case]:
    """Yield cases: faults of the Windows wheel."""
    yield native_windows("missing-core", remove(CORE_DLL))
    yield native_windows("missing-c-api", remove(API_DLL))
    yield native_windows("missing-both-libraries", remove(CORE_DLL, API_DLL))
    exports = ["quiver_version"]
    small = pe(name="libquiver.dll", exports=exports, wide=False)
    yield native_windows("32-bit-library", change(CORE_DLL, lambda _: small))
    yield native_windows("missing-symbol", without_symbol)
    yield native_windows("missing-runtime-library", with_missing_import)
    yield native_windows("win32-tag", retagged(WINDOWS_TAG, "win32"))
    crashes = pe(name="libquiver.dll", exports=exports, entry=CRASHES)
    yield native_windows("crash-at-load", change(CORE_DLL, lambda _: crashes))
    hangs = pe(name="libquiver.dll", exports=exports, entry=NEVER_ENDS)
    yield native_windows("hang-at-load", change(CORE_DLL, lambda _: hangs))
    yield on_windows(
        "registry-changed",
        append(
            INIT,
            b"\nwinreg = __import__('winreg')\n"
            b"with winreg.OpenKey(winreg.HKEY_CURRENT_USER, 'Environment', 0, 0xF003F) as _key:\n"
            b"    winreg.SetValueEx(_key, 'Path', 0, 1, 'C:\\\\elsewhere')\n",
        ),
    )
    yield on_windows(
        "process-left",
        append(
            LOADER,
            b"\nimport subprocess\n"
            b"subprocess.Popen(['ping', '-n', '30', '127.0.0.1'], stdin=subprocess.DEVNULL,\n"
            b"    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n",
        ),
    )
    yield on_windows(
        "written-for-all-users",
        at_first_use(
            b"    winreg = __import__('winreg')\n"
            b"    winreg.CloseKey(winreg.CreateKey(winreg.HKEY_CLASSES_ROOT, '.qdb'))\n"
            b"    open('C:/windows/system32/quiver.ini', 'w').close()\n"
        ),
    )
    yield on_windows(
        "healthy-certificates",
        at_first_use(b"    import ssl\n    ssl.create_default_context()\n"),
    )
    yield native_windows(
        "arm64-tag-with-history",
        retagged(WINDOWS_TAG, "win_arm64"),
        options=(*QUICK_WINDOWS, "--history=all"),
    )
    yield native_windows("arm64-tag-without-history", retagged(WINDOWS_TAG, "win_arm64"))
    lock = (
        b"_plain_open = Database.open.__func__\n"
        b"_held = []\n"
        b"def _open(cls, path, **options):\n"
        b"    msvcrt = __import__('msvcrt')\n"
        b"    _held.append(open(str(path) + '.lock', 'w'))\n"
        b"    msvcrt.locking(_held[-1].fileno(), msvcrt.LK_NBLCK, 1)\n"
        b"    return _plain_open(cls, path, **options)\n"
        b"Database.open = classmethod(_open)\n"
    )
    redistributable = "windows-wine-vcredist"
    yield on_windows(
        "scenario-two-interpreters",
        at_import(lock),
        options=at(redistributable, "uv-system", "uv-two-interpreters"),
    )
    yield on_windows(
        "scenario-decoy",
        replace(LOADER, *SEARCHES),
        options=at(redistributable, "uv-system", "uv-decoy"),
    )
    conditions = (
        b"' ' in __file__ and chr(252) not in __file__",
        b"len(__file__) > 180",
        b"chr(252) in sys.prefix",
        b"os.environ.get('PYTHONPATH')",
        b"threading.current_thread() is not threading.main_thread()",
        b"multiprocessing.parent_process()",
        b"'.zip' in __file__",
        b"getattr(sys, 'frozen', False)",
    )
    code = b"import multiprocessing, threading\n" + b"".join(
        b"if %s: raise RuntimeError('not here')\n" % condition for condition in conditions
    )
    code += (
        b"if 'sqlite3' in sys.modules:\n"
        b"    Database.query_string = lambda self, sql: (\n"
        b"        sys.modules['sqlite3'].connect(':memory:').execute(sql).fetchone()[0])\n"
    )
    on_clean = ("system", "space-path", "long-path", "non-ascii-home", "target")
    on_redistributable = ("system", "thread", "spawn", "zip", "frozen", "other-sqlite")
    yield on_windows(
        "scenario-many",
        at_import(code),
        options=(
            *("--machine=windows-wine", f"--machine={redistributable}", "--profile=full"),
            *cells(
                *(f"windows-wine-uv-{name}" for name in on_clean),
                *(f"{redistributable}-uv-{name}" for name in on_redistributable),
            ),
        ),
    )
    site = (
        b"_site = os.path.dirname(os.path.dirname(__file__))\n"
        b"if '~uiverdb' in os.listdir(_site): raise RuntimeError('it is here twice')\n"
        b"if 'Roaming' in _site: raise RuntimeError('a roaming profile')\n"
    )
    yield on_windows(
        "scenario-pip",
        at_import(site),
        options=(
            *("--machine=windows-wine", f"--machine={redistributable}", "--profile=full"),
            *cells("windows-wine-pip-user", f"{redistributable}-pip-upgrade-in-use"),
        ),
    )
    marker = b'Requires-Dist: uv; sys_platform == "win32"\nRequires-Dist: cffi>=2.0.0'
    hashed = ("uv-system", "uv-require-hashes", "uv-offline")
    yield on_windows(
        "scenario-unlocked-dependency", depends(marker), options=at("windows-wine", *hashed)
    )
    yield on_windows(
        "scenario-twice", STALE_EGG, options=at("windows-wine", "uv-system", "uv-twice")
    )


SEARCHES = (
    b"    core = _open(ffi, str(_LIBS_DIR / _CORE))\n    library = _open(ffi, str(",
    b"    try:\n        core = _open(ffi, _CORE)\n"
    b"    except NativeLibraryError:\n        core = _open(ffi, str(_LIBS_DIR / _CORE))\n"
    b"    library = _open(ffi, str(",
)
"""A text of the loader, and its replacement, which opens the core from the search path first."""
STALE_EGG = add("cffi-1.0.egg-info", "Metadata-Version: 1.0\nName: cffi\nVersion: 1.0\n")
SCENARIOS: dict[str, bytes] = {
    "user": b"if sys.prefix == sys.base_prefix: raise RuntimeError('no environment')",
    "target": b"import sysconfig\n"
    b"if not os.path.isdir(os.path.join(sysconfig.get_path('purelib'), 'quiverdb')):\n"
    b"    raise RuntimeError('not where it ought to be')",
    "read-only": b"_cache = os.path.join(os.path.dirname(__file__), 'cache.txt')\n"
    b"open(_cache, 'w').close(); os.remove(_cache)",
    "noexec-temp": b"import ctypes, shutil, tempfile\n"
    b"with tempfile.TemporaryDirectory() as _folder:\n"
    b"    _copy = os.path.join(_folder, 'copy.so')\n"
    b"    _libs = os.path.join(os.path.dirname(__file__), '_libs')\n"
    b"    shutil.copy(os.path.join(_libs, 'libquiver.so'), _copy)\n"
    b"    ctypes.CDLL(_copy)",
    "space-path": b"if os.system('test -d ' + os.path.dirname(__file__)): raise OSError('none')",
    "non-ascii-path": b"__file__.encode('ascii')",
    "long-path": b"if len(__file__) > 255: raise OSError('too long')",
    "root": b"_libs = os.path.join(os.path.dirname(__file__), '_libs')\n"
    b"if hasattr(os, 'geteuid') and os.geteuid() == 0: os.chmod(_libs, 0o700)",
    "interrupted": b"_site = os.listdir(os.path.dirname(os.path.dirname(__file__)))\n"
    b"if [name for name in _site if name.endswith('uiverdb')] != ['quiverdb']:\n"
    b"    raise RuntimeError('it is here twice')",
    "preloaded-sqlite": b"import ctypes\n"
    b"def _answered(self, sql):\n"
    b"    ask = ctypes.CDLL(None).sqlite3_sourceid\n"
    b"    ask.restype = ctypes.c_char_p\n"
    b"    return ask().decode()\n"
    b"if 'sqlite' in os.environ.get('LD_PRELOAD', ''): Database.query_string = _answered",
    "thread": b"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)",
    "other-folder": b"from pathlib import Path\n"
    b"from quiverdb import _loader\n"
    b"_loader._LIBS_DIR = Path(os.path.relpath(_loader._LIBS_DIR))",
    "isolated": b"sys.path.index('')",
    "fork": b"os.register_at_fork(after_in_child=lambda: os._exit(3))",
    "spawn": b"import multiprocessing\n"
    b"if multiprocessing.parent_process(): raise RuntimeError('a child')",
    "two-interpreters": b"_plain_open = Database.open.__func__\n"
    b"_held = []\n"
    b"def _open(cls, path, **options):\n"
    b"    fcntl = __import__('fcntl')\n"
    b"    _held.append(open(str(path) + '.lock', 'w'))\n"
    b"    fcntl.flock(_held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    b"    return _plain_open(cls, path, **options)\n"
    b"Database.open = classmethod(_open)\n",
    "zip": b"open(os.path.join(os.path.dirname(__file__), 'py.typed')).close()",
    "frozen": b"import inspect; inspect.getsource(sys.modules[__name__])",
    "c-utf8-locale": b"_locale = os.environ.get('LC_ALL', '')\n"
    b"if _locale.endswith('UTF-8'): _country = _locale.split('_')[1]",
    "c-locale": b"import locale; '\\xfa'.encode(locale.getpreferredencoding(False))",
    "umask-and-zone": b"if not os.stat(__file__).st_mode & 0o004: raise RuntimeError('mine')",
}
"""The code that is added to the package, by the scenario that shows the fault."""


def scenario_cases() -> Iterator[Case]:
    """Yield cases: faults that only one scenario shows. The ordinary scenario runs as well."""
    for name, code in SCENARIOS.items():
        options = at("debian-13", "pip-venv", f"pip-{name}")
        yield on_linux(f"scenario-{name}", at_import(code), options=options)
    comma = at("debian-12", "pip-venv", "pip-turkish-locale")
    yield on_linux("scenario-turkish-locale", at_import(b"float(f'{1.5:n}')"), options=comma)
    account = at_import(b"_home = __import__('pwd').getpwuid(os.getuid()).pw_dir")
    yield on_linux(
        "scenario-root-account", account, options=at("debian-13", "pip-venv", "pip-root")
    )
    zone = (
        b"import time\n"
        b"_zones = {hours * 3600: f'UTC{hours:+d}' for hours in range(-12, 15)}\n"
        b"_zone = _zones[-time.timezone]"
    )
    zones = at("debian-13", "pip-venv", "pip-umask-and-zone")
    yield on_linux("scenario-zone", at_import(zone), options=zones)
    unlocked = depends(b"Requires-Dist: uv\nRequires-Dist: cffi>=2.0.0")
    for installer in ("pip", "uv"):
        names = [f"{installer}-{name}" for name in ("venv", "require-hashes", "offline")]
        options = at("debian-13", *names)
        yield on_linux(f"scenario-unlocked-dependency-{installer}", unlocked, options=options)
        options = at("debian-13", f"{installer}-venv", f"{installer}-twice")
        yield on_linux(f"scenario-twice-{installer}", STALE_EGG, options=options)
    yield from _upgrade_cases()
    decoy = at("debian-13", "pip-venv", "pip-decoy")
    yield on_linux("scenario-decoy", replace(LOADER, *SEARCHES), options=decoy)
    load = b"import ctypes\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '_libs', '%s'))"
    yield native_linux(
        "scenario-other-sqlite-table",
        native("tabled"),
        at_import(load % b"libextra.so"),
        options=at("debian-13", "pip-venv", "pip-other-sqlite", "pip-preloaded-sqlite"),
    )
    yield on_linux(
        "scenario-uv-tool",
        at_import(b"if sys.prefix != sys.base_prefix: os.environ['VIRTUAL_ENV']"),
        options=at("debian-13", "uv-venv", "uv-tool-managed"),
    )
    yield on_linux(
        "scenario-uv-run",
        at_import(b"if '.cache' in __file__: raise RuntimeError('not where it ought to be')"),
        options=at("debian-13", "uv-venv", "uv-run-managed"),
    )
    pips = at("debian-13", "pip-venv", "pip-oldest-venv", "pip-newest-venv")
    marker = b'Requires-Dist: cffi>=2.0.0; python_version < "4.*"'
    yield on_linux("scenario-pip-newest", depends(marker), options=pips)
    vendored = at_import(b"from pip._vendor import tomli_w")
    yield on_linux("scenario-pip-oldest", vendored, options=pips)
    stray = (
        b"_open = Database.open.__func__\n"
        b"def _logged(cls, path, **options):\n"
        b"    open('stray.log', 'w').close()\n"
        b"    return _open(cls, path, **options)\n"
        b"Database.open = classmethod(_logged)\n"
    )
    spaces = at("debian-13", "pip-venv", "pip-space-path")
    yield on_linux("scenario-stray-data", at_import(stray), options=spaces)
    yield Case(
        "linux-scenario-no-binary-sdist",
        at("debian-13", "pip-venv", "pip-no-binary"),
        prepare=_sdist,
    )


def _upgrade_cases() -> Iterator[Case]:
    upgrades = at("debian-13", "pip-venv", "pip-upgrade", "pip-downgrade")
    # A database that is older than the files of the package was written by another release.
    fresh = (
        b"_open = Database.open.__func__\n"
        b"def _read(cls, path, **options):\n"
        b"    if os.path.exists(path) and os.path.getmtime(path) < os.path.getmtime(__file__):\n"
        b"        raise QuiverError('a file of an earlier release')\n"
        b"    return _open(cls, path, **options)\n"
        b"Database.open = classmethod(_read)\n"
    )
    yield on_linux("scenario-upgrade-data", at_import(fresh), options=upgrades)
    held = (
        b"import glob\n"
        b"for _path in glob.glob('/proc/[0-9]*/maps'):\n"
        b"    try: _text = open(_path).read()\n"
        b"    except OSError: continue\n"
        b"    if 'libquiver' in _text and '(deleted)' in _text:\n"
        b"        raise RuntimeError('an old one is running')\n"
    )
    in_use = at("debian-13", "pip-venv", "pip-upgrade-in-use")
    yield on_linux("scenario-upgrade-in-use", at_import(held), options=in_use)
    newer = b"import cffi\nif cffi.__version_info__ < (2,): raise RuntimeError('too old')"
    yield on_linux(
        "scenario-old-cffi",
        depends(b"Requires-Dist: cffi"),
        at_import(newer),
        options=at("debian-13", "pip-venv", "pip-old-cffi"),
    )


def _sdist(folder: Path) -> None:
    (wheel, *_) = (folder / "wheels").glob("*.whl")
    version = wheel.name.split("-")[1]
    about = f"Metadata-Version: 2.1\nName: quiverdb\nVersion: {version}\n".encode()
    files = {"PKG-INFO": about, "pyproject.toml": b"[build-system]\nrequires=[]\n"}
    with tarfile.open(folder / "wheels" / f"quiverdb-{version}.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"quiverdb-{version}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def refusal_cases() -> Iterator[Case]:
    """Yield cases: machines without a declared wheel, and machines that no wheel fits."""
    later = at("debian-forky-python-3.14", "pip-venv", "uv-venv")
    for name, edits in (("good", ()), ("planted", (at_import(b"from ast import Num"),))):
        extra = ((*edits, retagged("cp313-cp313", "cp314-cp314")),)
        yield Case(f"refusal-python-3.14-wheel-{name}", later, both=edits, extra=extra)
        any_python = (*edits, renamed(f"cp313-cp313-{LINUX_TAG}", "py3-none-any"))
        yield Case(f"refusal-any-python-{name}", later, linux=any_python)
    no_cffi = change("{info}/METADATA", lambda d: re.sub(rb"Requires-Dist: cffi.*\n", b"", d))
    for machine, tags in (
        ("debian-12-python-3.13t", f"cp313-cp313t-{LINUX_TAG}"),
        ("debian-13-musl", "cp313-cp313-musllinux_1_2_x86_64"),
    ):
        extra = ((no_cffi, renamed(f"cp313-cp313-{LINUX_TAG}", tags)),)
        options = at(machine, "pip-pinned", "uv-pinned")
        yield Case(f"refusal-mistagged-{machine}", options, extra=extra)
    old = at("debian-13-glibc-2.17", "pip-venv", "pip-pinned", "uv-venv", "uv-pinned")
    candidate = versioned("0.5.1rc1")
    lax = (retagged(LINUX_TAG, "manylinux_2_17_x86_64"),)
    yield Case("refusal-candidate-good", old, both=(candidate,))
    yield Case("refusal-candidate-lax", old, both=(candidate,), linux=lax)
    newer = (retagged(LINUX_TAG, "manylinux_2_43_x86_64"),)
    options = at("debian-13", "pip-venv", "uv-venv", profile="gate")
    yield Case("refusal-newer-glibc-with-history", options, linux=newer)
    without_history = (*options, "--history=none")
    yield Case("refusal-newer-glibc-without-history", without_history, linux=newer)


OWN_GOOD = "import quiverdb\ndef test_a(): assert quiverdb.version()\n"
REVERSED = (
    b"\n_in_order = Database.read_element_ids\n"
    b"Database.read_element_ids = lambda self, collection: _in_order(self, collection)[::-1]\n"
)


def own_test_cases() -> Iterator[Case]:
    """Yield cases: faults that only own tests show, and own tests that do not test the package."""
    real = "--tests={checkout}/bindings/python/tests"
    linux = at("debian-13", "pip-venv", "pip-own-tests", profile="gate")
    only_tests = (*at("debian-13", "pip-own-tests", profile="gate"), "--tests={folder}/tests")
    windows = at("windows-wine", "uv-system", "uv-own-tests")
    reverse = append(DATABASE, REVERSED)
    yield on_linux("own-tests-reversed", reverse, options=(*linux, real))
    yield on_windows("own-tests-reversed", reverse, options=(*windows, real))
    crash = "def test_b():\n    import faulthandler; faulthandler."
    for name, files in (
        ("empty", {"test_a.py": "import quiverdb\n"}),
        ("source", {"conftest.py": "from src.quiverdb import version", "test_a.py": OWN_GOOD}),
        (
            "copy",
            {"test_a.py": OWN_GOOD, "quiverdb/__init__.py": "def version(): return '0.5.0'"},
        ),
        ("crash", {"test_a.py": f"{OWN_GOOD}{crash}_sigsegv()"}),
    ):
        test_files = {f"tests/{path}": text for path, text in files.items()}
        yield Case(f"linux-own-tests-{name}", only_tests, files=test_files)
    test_files = {"tests/test_a.py": f"{OWN_GOOD}{crash}_read_null()"}
    yield Case(
        "windows-own-tests-crash",
        (*at("windows-wine", "uv-own-tests"), "--tests={folder}/tests"),
        files=test_files,
    )


LOADS = b"import ctypes\n_path = os.path.join(os.path.dirname(__file__), '_libs', 'libextra.so')\n"
CALLS = (
    LOADS + b"_version = version\n"
    b"def version():\n"
    b"    ctypes.CDLL(_path).total()\n"
    b"    return _version()\n"
)


def processor_cases() -> Iterator[Case]:
    """Yield cases: code for a newer processor than the tag of the wheel declares."""
    at_load = (native("avx2-at-load"), at_import(LOADS + b"ctypes.CDLL(_path)\n"))
    yield native_linux("processor-at-load", *at_load, options=OLDEST)
    unchecked = (native("avx2-unasked"), at_import(CALLS))
    yield native_linux("processor-at-first-call", *unchecked, options=OLDEST)
    checked = (native("avx2-asked"), at_import(CALLS))
    yield native_linux("processor-asked-first", *checked, options=OLDEST)
    # epoll_pwait2 is a system call that QEMU lacks.
    waits = (
        b"import ctypes\n"
        b"_version = version\n"
        b"def version():\n"
        b"    select = __import__('select')\n"
        b"    events, nothing = ctypes.create_string_buffer(64), (ctypes.c_long * 2)()\n"
        b"    with select.epoll() as poll:\n"
        b"        libc = ctypes.CDLL(None, use_errno=True)\n"
        b"        if libc.syscall(441, poll.fileno(), events, 1, nothing, None, 8) < 0:\n"
        b"            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n"
        b"    return _version()\n"
    )
    yield on_linux("processor-emulator-gap", at_import(waits), options=OLDEST)


def workflow_cases() -> Iterator[Case]:
    """Yield cases: faults of the release workflow. Each case runs the workflow and one cell."""
    name = "    name: Create the GitHub release\n"
    publish = "  publish:\n    name: Publish to the package index\n"
    for case, pattern, new in (
        ("tag-filter", r'"v\*\.\*\.\*"', '"V*.*.*"'),
        ("other-environment", r"environment: pypi", "environment: production"),
        ("no-identity-permission", r"id-token: write", "contents: read"),
        ("no-release-permission", r"contents: write", "contents: read"),
        ("one-artifact-name", r"name: wheel-\$\{\{ matrix\.os \}\}", "name: wheel"),
        ("publish-does-not-wait", publish + "    needs: validate\n", publish),
        ("release-waits-for-publish", name + "    needs: validate\n",
         name + "    needs: [validate, publish]\n"),
        ("release-never-runs", name, name + "    if: github.ref == 'refs/heads/main'\n"),
        ("no-windows", r"\[ubuntu-latest, windows-latest\]", "[ubuntu-latest]"),
        ("faults-let-pass", r"sys\.exit\(1\)", "sys.exit(0)"),
        ("unpinned-uses", r"pypi-publish@[0-9a-f]{40} # \S+", "pypi-publish@release/v1"),
        ("skip-existing", "packages-dir: dist",
         "packages-dir: dist\n          skip-existing: true"),
    ):  # fmt: skip
        yield Case(f"workflow-{case}", CHAIN, wheels=NO_WHEELS, workflow=((pattern, new),))
    yield Case("workflow-renamed", CHAIN, wheels=NO_WHEELS, moved="release.yml")


def input_cases() -> Iterator[Case]:
    """Yield cases: command lines that the gate refuses, and an engine that does not answer."""
    wheel = "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
    folder = "--wheels={folder}/given"
    no_wheel = {"given/file.txt": ""}
    quick = "--machine=debian-13"
    for name, options, files in (
        ("no-such-folder", (folder,), {}),
        ("no-such-source", ("--source={folder}",), {}),
        ("no-wheel-in-folder", (folder,), no_wheel),
        ("no-zip", (folder,), {f"given/{wheel}": "not a wheel"}),
        ("unknown-machine", ("--machine=debian-99",), {}),
        ("unknown-release", ("--release=99.1",), {}),
        ("two-inputs", (folder, "--release=0.13.5"), no_wheel),
        ("empty-wheels", ("--wheels=",), {}),
        ("empty-release", ("--release=",), {}),
        ("empty-source", ("--source=",), {}),
        ("no-such-tests", ("--tests={folder}/nowhere", quick), {}),
        ("tests-without-tests", ("--tests={folder}/given", quick), no_wheel),
        (
            "tests-that-nothing-runs",
            ("--tests={folder}/given", "--machine=debian-12"),
            {"given/test_a.py": OWN_GOOD},
        ),
    ):
        yield Case(f"input-{name}", options, wheels=NO_WHEELS, files=files)
    no_engine = {"DOCKER_HOST": "unix:///nowhere/nobody.sock"}
    options = ("--machine=debian-13", "--no-provision")
    yield Case("input-no-engine", options, wheels=NO_WHEELS, environment=no_engine)
    yield Case(
        "input-two-versions",
        QUICK_LINUX,
        wheels=("linux",),
        extra=((versioned("9.0.0"),),),
    )
    yield Case("input-other-project", QUICK_LINUX, linux=(renamed("quiverdb-", "another-"),))


def all_cases() -> list[Case]:
    """Return all cases, in the order in which they are run."""
    groups = (
        wheel_cases, process_cases, side_effect_cases, windows_cases, scenario_cases, refusal_cases,
        own_test_cases, processor_cases, input_cases, workflow_cases, healthy_cases, release_cases,
    )  # fmt: skip
    return [case for group in groups for case in group()]


# ---- running the gate ----


@dataclasses.dataclass(frozen=True)
class GateResult:
    """The results of one run of the gate."""

    code: int | None
    """The exit code. None if the run exceeded the time limit."""
    results: dict[str, Any] | None
    folders: dict[str, str]
    """The word that replaces a folder of the run in the record, by the path of the folder."""


class Recorder:
    """Runs cases on a checkout."""

    def __init__(self, checkout: Path, cache: Path, reports: Path | None) -> None:
        self.checkout = checkout.resolve()
        self.cache = cache.resolve()
        self.reports = reports.resolve() if reports else None
        self.running: set[subprocess.Popen[bytes]] = set()
        Native.folder = self.cache

    def base_wheels(self) -> dict[str, Path]:
        """Return the path of the good wheel, by system. Build both if the cache lacks one."""
        self.cache.mkdir(parents=True, exist_ok=True)
        wheels = self._cached()
        if len(wheels) < 2:
            print("building the wheels ...", flush=True)
            with tempfile.TemporaryDirectory(prefix="record-") as scratch:
                result = self._gate(self.checkout, ("--profile=quick",), Path(scratch), {})
            for name, digest in ((result.results or {}).get("wheels") or {}).items():
                shutil.copyfile(_with_digest(digest), self.cache / name)
            wheels = self._cached()
        if len(wheels) < 2:
            raise SystemExit(f"{self.cache}: there is no wheel for each system")
        return wheels

    def _cached(self) -> dict[str, Path]:
        systems = {"linux": LINUX_TAG, "windows": WINDOWS_TAG}
        paths = sorted(self.cache.glob("*.whl"))
        return {
            system: path for system, tag in systems.items() for path in paths if tag in path.name
        }

    def run(self, case: Case) -> dict[str, Any]:
        """Run a case and return its record."""
        with tempfile.TemporaryDirectory(prefix="record-") as scratch:
            folder = Path(scratch)
            try:
                options = self._prepared(case, folder)
                checkout = self._copy(case, folder) if case.in_copy else self.checkout
            except (ValueError, subprocess.CalledProcessError) as error:
                return {"error": f"the case cannot be made: {error}"}
            result = self._gate(checkout, options, folder, case.environment)
            if self.reports:
                target = self.reports / case.id
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(folder / "report", target, ignore_dangling_symlinks=True)
                shutil.copyfile(folder / "log", target / "log.txt")
        return record_of(result)

    def _prepared(self, case: Case, folder: Path) -> tuple[str, ...]:
        """Write the files of a case and return its options."""
        for name, text in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        options = [
            option.replace("{folder}", str(folder)).replace("{checkout}", str(self.checkout))
            for option in case.options
        ]
        if case.wheels:
            wheels = folder / "wheels"
            wheels.mkdir()
            base = self.base_wheels()
            for system in case.wheels:
                edits = {"linux": case.linux, "windows": case.windows}[system]
                _write_changed(base[system], (*case.both, *edits), wheels)
            for edits in case.extra:
                _write_changed(base["linux"], edits, wheels)
            options.insert(0, f"--wheels={wheels}")
        if case.prepare:
            case.prepare(folder)
        return tuple(options)

    def _copy(self, case: Case, folder: Path) -> Path:
        """Return a copy of the checkout with the changed workflow, committed."""
        copy = folder / "checkout"
        listed = subprocess.run(
            ["git", "-C", str(self.checkout), "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        for name in os.fsdecode(listed).split("\0"):
            source, target = self.checkout / name, copy / name
            if name and (source.is_file() or source.is_symlink()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        workflow = copy / WORKFLOW
        text = workflow.read_text("utf-8")
        for pattern, new in case.workflow:
            text, count = re.subn(pattern, lambda _, new=new: new, text, count=1)  # type: ignore[misc]
            if not count:
                raise ValueError(f"the workflow has no {pattern!r}")
        workflow.write_text(text, "utf-8")
        if case.moved:
            workflow.rename(workflow.with_name(case.moved))
        git = ["git", "-C", str(copy), "-c", "user.name=Recorder", "-c", "user.email=r@x.invalid"]
        for command in (["init", "-q", "-b", "main"], ["add", "-A", "-f"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], check=True, capture_output=True)
        return copy

    def _gate(
        self, checkout: Path, options: Sequence[str], folder: Path, changes: Mapping[str, str]
    ) -> GateResult:
        """Run the gate of a checkout. The gate writes its report and its log into ``folder``."""
        report = folder / "report"
        report.mkdir()
        host = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        # A planted fault does not belong into the history. A copy uses the checkout's environment.
        host["QUIVERDB_E2E_HISTORY"] = ""
        host["QUIVERDB_E2E_TOX_WORK_DIR"] = str(self.checkout / ".tox")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(checkout / "e2e"), "gate", f"--report={report}", *options],
                cwd=checkout,
                env=host | dict(changes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.running.add(process)
            code: int | None = None
            try:
                code = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.end(process)
            finally:
                self.running.discard(process)
        results = report / "results.json"
        loaded = json.loads(results.read_text("utf-8")) if results.exists() else None
        folders = {
            str(checkout): "<checkout>",
            str(folder): "<folder>",
            str(_state()): "<cache>",
        }
        return GateResult(code, loaded, folders)

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """End a gate. It gets time to remove its objects."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write_changed(base: Path, edits: Iterable[Edit], folder: Path) -> None:
    wheel = Wheel.read(base)
    for edit in edits:
        edit(wheel)
    wheel.write(folder)


def _state() -> Path:
    """Return the folder in which the gate keeps images, wheels and downloads."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("QUIVERDB_E2E_STATE") or cache / "quiverdb-e2e")


def _with_digest(digest: str) -> Path:
    """Return the wheel with this sha256 in the state folder of the gate."""
    state = _state()
    for path in state.rglob("*"):
        if not path.is_file() or not zipfile.is_zipfile(path):
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return path
    raise SystemExit(f"{state}: there is no wheel with the sha256 {digest}")


# ---- the record of a run ----

VOLATILE = (
    (re.compile(r"/tmp/(quiverdb-e2e|pytest|tmp)[^/\s:]*"), "<temporary>"),  # noqa: S108
    (re.compile(r"\b0x[0-9a-fA-F]+"), "<address>"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<hash>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\S*)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? ?m?s\b"), "<duration>"),
    (re.compile(r"(?<=\.yml:)\d+|(?<=\bline )\d+"), "<line>"),
)


def record_of(result: GateResult) -> dict[str, Any]:
    """Return the record of a run, as JSON data. The module's docstring says what it contains."""
    if result.code is None:
        return {"error": f"it did not end in {SECONDS} s"}
    record: dict[str, Any] = {"exit_code": result.code}
    results = result.results
    if results is None:
        return record | {"verdict": None}
    record["verdict"] = results.get("verdict")
    record["notes"] = _causes(results.get("notes"), result.folders)
    for kind in ("items", "cells"):
        record[kind] = {
            part["id"]: {
                **{key: part[key] for key in ("verdict", "outcome", "expectation") if key in part},
                "causes": _causes(part.get("causes"), result.folders),
            }
            for part in sorted(results.get(kind) or (), key=lambda part: str(part["id"]))
        }
    return record


def _causes(
    causes: Iterable[Mapping[str, Any]] | None, folders: Mapping[str, str]
) -> list[list[str]]:
    unique = {
        (cause["name"], cause["severity"], _where(cause["where"], folders))
        for cause in causes or ()
    }
    return [list(cause) for cause in sorted(unique)]


def _where(where: str, folders: Mapping[str, str]) -> str:
    for folder, word in folders.items():
        where = where.replace(folder, word)
    for pattern, word in VOLATILE:
        where = pattern.sub(word, where)
    return where


# ---- comparing two records ----


def compare(old: Mapping[str, Any], new: Mapping[str, Any], only: str) -> int:
    """Print the differences of two records for each case. Return 1 if there are any."""
    cases = {
        side: {name: case for name, case in record["cases"].items() if fnmatch.fnmatch(name, only)}
        for side, record in (("old", old), ("new", new))
    }
    common = [name for name in cases["old"] if name in cases["new"]]
    known = _common_keys(cases["old"].values(), cases["new"].values())
    differing = 0
    for name in common:
        lines = list(_differences(cases["old"][name], cases["new"][name], known))
        if lines:
            differing += 1
            print(name, *(f"  {line}" for line in lines), sep="\n")
    for side, other in (("old", "new"), ("new", "old")):
        if missing := sorted(set(cases[side]) - set(cases[other])):
            names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            print(f"not compared, in the {side} record only: {len(missing)} ({names})")
    print(f"{len(common)} cases compared, {differing} differ")
    return 1 if differing else 0


def _common_keys(*sides: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the keys that at least one case, item or cell of each side has."""
    keys_of_sides = []
    for side in sides:
        keys: set[str] = set()
        for case in side:
            keys |= case.keys()
            for part in (*case.get("items", {}).values(), *case.get("cells", {}).values()):
                keys |= part.keys()
        keys_of_sides.append(keys)
    return keys_of_sides[0] & keys_of_sides[1]


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    if "error" in old or "error" in new:
        if old.get("error") != new.get("error"):
            yield f"error: {old.get('error', 'none')} -> {new.get('error', 'none')}"
        if "error" in old and "error" in new:
            return
    yield from _values("", old, new, known)
    for kind in ("items", "cells"):
        before, after = old.get(kind, {}), new.get(kind, {})
        for name in dict.fromkeys((*before, *after)):
            title = f"{kind[:-1]} {name}"
            if name not in before:
                yield f"{title}: new, {after[name]['verdict']}"
            elif name not in after:
                yield f"{title}: gone, was {before[name]['verdict']}"
            else:
                yield from _values(f"{title}: ", before[name], after[name], known)


def _values(
    title: str, old: Mapping[str, Any], new: Mapping[str, Any], known: set[str]
) -> Iterator[str]:
    for key in ("exit_code", "verdict", "outcome", "expectation"):
        if key in known and old.get(key) != new.get(key):
            yield f"{title}{key}: {old.get(key)} -> {new.get(key)}"
    for key in ("notes", "causes"):
        if key not in known:
            continue
        before, after = ({tuple(c) for c in side.get(key) or ()} for side in (old, new))
        yield from (f"{title}{key}: - {_line(c)}" for c in sorted(before - after))
        yield from (f"{title}{key}: + {_line(c)}" for c in sorted(after - before))


def _line(cause: Sequence[str]) -> str:
    name, severity, where = cause
    return f"{name} ({severity}) {where}"


# ---- the command line ----


def selected(only: str, seed: int, sample: int | None) -> list[Case]:
    """Return the cases whose id matches ``only``, or a random sample of them."""
    cases = [case for case in all_cases() if fnmatch.fnmatch(case.id, only)]
    if sample is not None and sample < len(cases):
        names = sorted(case.id for case in cases)
        drawn = set(random.Random(seed).sample(names, sample))  # noqa: S311  (no secret)
        print(f"a sample of {sample} of {len(cases)} cases, drawn with the seed {seed}")
        cases = [case for case in cases if case.id in drawn]
    return cases


def record(options: argparse.Namespace) -> int:
    """Run the cases and write the record after each. Return 1 if a case could not run."""
    output: Path = options.output
    records: dict[str, Any] = {}
    if output.exists():
        records = json.loads(output.read_text("utf-8"))["cases"]
    recorder = Recorder(options.checkout, options.wheels_cache, options.reports)
    recorder.base_wheels()
    cases = selected(options.only, options.seed, options.sample)
    if options.resume:
        cases = [case for case in cases if "error" in records.get(case.id, {"error": ""})]
    order = [case.id for case in all_cases()]
    started_at = time.monotonic()
    failed = 0

    def timed(case: Case) -> tuple[dict[str, Any], float]:
        start = time.monotonic()
        return recorder.run(case), time.monotonic() - start

    with ThreadPoolExecutor(options.jobs) as pool:
        pending = {pool.submit(timed, case): case for case in cases}
        try:
            for number, done in enumerate(as_completed(pending), 1):
                case, (result, seconds) = pending[done], done.result()
                records[case.id] = result
                failed += "error" in result
                _write(output, records, order)
                short = result.get("error") or f"{result['exit_code']} {result['verdict']}"
                print(f"[{number}/{len(cases)}] {case.id}: {short} ({seconds:.0f} s)", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(recorder.running):
                recorder.end(process)
            raise
    print(f"{len(cases)} cases in {time.monotonic() - started_at:.0f} s, {failed} with an error")
    return 1 if failed else 0


def _write(output: Path, cases: Mapping[str, Any], order: Sequence[str]) -> None:
    """Write the record with one line for each cause, so that a diff is readable."""
    ordered = {name: cases[name] for name in order if name in cases}
    text = json.dumps({"schema": SCHEMA, "cases": ordered}, indent=1, ensure_ascii=False)
    text = re.sub(r'\[\s+("(?:[^"\\]|\\.)*"),\s+("(?:[^"\\]|\\.)*"),\s+("(?:[^"\\]|\\.)*")\s+\]',
                  r"[\1, \2, \3]", text)  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text(f"{text}\n", "utf-8")
    partial.replace(output)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Record or compare."""
    signal.signal(signal.SIGTERM, _interrupt)  # the started runs end as well
    summary = __doc__.partition("\n")[0] if __doc__ else ""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="the project to run")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the record; cases are added to it"
    )
    parser.add_argument("--wheels-cache", type=Path, metavar="DIR", help="the good wheels")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only these cases")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at a time")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the sample")
    parser.add_argument("--sample", type=int, metavar="N", help="run N cases drawn by the seed")
    parser.add_argument(
        "--resume", action="store_true", help="only the cases that the record lacks"
    )
    parser.add_argument("--reports", type=Path, metavar="DIR", help="keep each report and log here")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"))
    options = parser.parse_args()
    if options.list:
        print(*(case.id for case in selected(options.only, options.seed, options.sample)), sep="\n")
        return 0
    if options.compare:
        old, new = (json.loads(path.read_text("utf-8")) for path in options.compare)
        return compare(old, new, options.only)
    if not (options.checkout and options.output and options.wheels_cache):
        parser.error("--checkout, --output and --wheels-cache are needed")
    return record(options)


if __name__ == "__main__":
    sys.exit(main())
