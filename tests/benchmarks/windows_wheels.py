"""Install well-known Windows wheels on the Windows machines, call them, and write the results.

Run ``python3 -m tests.benchmarks.windows_wheels`` in the root folder of the repository, in the
environment of the suite. ``windows_wheels.toml`` has the wheels and their expected results. The
table of results is docs/reference/windows-wheels.md.

The exit code is 0 if each result is as on Windows, or is a fault of Wine that the file lists. It is
1 otherwise, and 3 or 4 as in other commands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from containers import engine, images, testbed
from containers.index import IndexContents
from containers.machine import Machine
from containers.progress import step
from containers.state import locked, state_folder
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.machine import LAYOUTS
from verification.scenarios import machines

ROOT = Path(__file__).parents[2]
WHEELS = Path(__file__).with_name("windows_wheels.toml")
TABLE = ROOT / "docs" / "reference" / "windows-wheels.md"
MACHINES = ("windows-wine", "windows-wine-vcredist")
"""The recipes of a clean machine, and of one with Microsoft's redistributable."""
_CLEAN = MACHINES[0]
_SECONDS = 300
_STUB = re.compile(r"unimplemented function (\S+?)(?:, aborting| called)", re.IGNORECASE)
_NOT_FOUND = re.compile(r'import_dll Library (\S+) \(which is needed by L"[^"]*?([^"\\]+)"\) not')
# Runs after the call. It prints the number of libraries that are loaded from site-packages, to show
# that native code of a wheel ran (psapi.h, EnumProcessModules).
_PRINT_LOADED = """
import ctypes as _c
_psapi, _k = _c.WinDLL("psapi"), _c.WinDLL("kernel32")
_k.GetCurrentProcess.restype = _c.c_void_p
_handles, _size = (_c.c_void_p * 4096)(), _c.c_ulong()
_psapi.EnumProcessModules(
    _c.c_void_p(_k.GetCurrentProcess()), _handles, _c.sizeof(_handles), _c.byref(_size)
)
_name = _c.create_unicode_buffer(4096)
_number = 0
for _handle in _handles[: _size.value // _c.sizeof(_c.c_void_p)]:
    _k.GetModuleFileNameW(_c.c_void_p(_handle), _name, 4096)
    _number += "site-packages" in _name.value.lower()
print("loaded:", _number)
"""


@dataclasses.dataclass(frozen=True)
class PinnedFile:
    """A file of the package index, with its hash."""

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The requirement that only this version meets."""
        return f"{self.name}=={self.version}"


@dataclasses.dataclass(frozen=True)
class KnownWheel(PinnedFile):
    """A wheel of ``windows_wheels.toml``: a call of its native code and the expected output."""

    languages: str
    description: str
    call: str
    expected_line: str
    missing_libraries: tuple[str, ...] = ()
    stub: str | None = None


@dataclasses.dataclass(frozen=True)
class CallResult:
    """The exit code and the output of a call on a machine."""

    code: int
    output: str

    def missing(self) -> list[tuple[str, str]]:
        """Return pairs: a library that the loader did not find, and the library that needs it."""
        return [(match[1], match[2]) for match in _NOT_FOUND.finditer(self.output)]

    def loaded(self) -> int:
        """Return the number of libraries that the call loaded from site-packages."""
        match = re.search(r"^loaded: (\d+)", self.output, re.MULTILINE)
        return int(match[1]) if match else 0

    def last_line(self) -> str:
        """Return the last line of the output, or the exit code if there is no output."""
        lines = self.output.split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"code {self.code}")


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The result of a wheel on a machine: if it is as on Windows, and the text for the table."""

    as_on_windows: bool
    text: str
    known: bool = False
    """True for a fault of Wine that ``windows_wheels.toml`` lists."""


def load(path: Path = WHEELS) -> tuple[tuple[KnownWheel, ...], tuple[PinnedFile, ...]]:
    """Return the wheels, and their dependencies.

    Raises:
        WrongUse: the file is not TOML, or a key is unknown or missing.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        tables: list[dict[str, Any]] = data.pop("wheel", [])
        wheels = tuple(
            KnownWheel(**table | {"missing_libraries": tuple(table.get("missing_libraries", ()))})
            for table in tables
        )
        support = tuple(PinnedFile(**table) for table in data.pop("support", []))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise WrongUse(f"{path.name}: {error}; its first lines describe the keys") from None
    if data:
        raise WrongUse(
            f"{path.name}: unknown table {min(data)!r}; the tables are support and wheel"
        )
    return wheels, support


def judge(wheel: KnownWheel, result: CallResult, *, clean: bool) -> Judgement:
    """Compare the result of a call with the behaviour of the wheel on Windows.

    ``clean`` is True for a machine without Microsoft's redistributable.
    """
    has_answer = result.code == 0 and wheel.expected_line in result.output.splitlines()
    missing = result.missing()
    missing_text = ", ".join(f"`{name}` (for `{user}`)" for name, user in missing)
    stub = _STUB.search(result.output)
    if wheel.missing_libraries and clean:
        if {name.lower() for name, _ in missing} & {
            name.lower() for name in wheel.missing_libraries
        }:
            return Judgement(result.code != 0, f"fails, as on Windows: no {missing_text}")
        return Judgement(False, "**does not fail without a library that a clean Windows lacks**")
    if has_answer and result.loaded() > 0:
        return Judgement(True, f"works; {result.loaded()} loaded")
    if stub:
        text = f"**fails, Wine's fault**: `{stub[1]}` is only a stub"
        return Judgement(False, text, known=stub[1] == wheel.stub)
    if missing:
        return Judgement(False, f"**fails**: no {missing_text}")
    if has_answer:
        return Judgement(False, "**answers without any native library**")
    return Judgement(False, f"**fails**: {result.last_line()[:160]}")


def download(pinned: Sequence[PinnedFile]) -> list[Path]:
    """Download the files with this Python's pip, unless they are in the cache; check their hashes.

    Raises:
        TestbedFailure: the package index does not serve a file.
    """
    with tempfile.TemporaryDirectory() as scratch, locked("windows-wheels"):
        lock = Path(scratch) / "windows-wheels.txt"
        lines = [f"{file.requirement} --hash=sha256:{file.sha256}\n" for file in pinned]
        lock.write_text("".join(sorted(lines)), "utf-8")
        target = state_folder() / "downloads" / "windows-wheels"
        with step("fetching the wheels"):
            folder = images.download_wheels(lock, target, python="3.13", platforms=("win_amd64",))
    return sorted(folder.glob("*.whl"))


def call_all(machine: Machine, wheels: Sequence[KnownWheel]) -> dict[str, CallResult]:
    """Install all wheels on a machine, and run the call of each in a new process.

    The keys of the result are the names of the wheels.

    Raises:
        TestbedFailure: the installation failed.
    """
    # uv needs a tenth of the time of pip. It does not use the system's certificate store.
    environment = {"SSL_CERT_FILE": rf"Z:{LAYOUTS['wine'].folder}\ca.pem".replace("/", "\\")}
    requirements = [wheel.requirement for wheel in wheels]
    command = ["wine", "uv", "pip", "install", "--system", *requirements]
    installation = machine.run(command, environment=environment, seconds=_SECONDS)
    if installation.code:
        raise TestbedFailure("machine-lost", machine.spec.name, installation.output[-400:])
    # Python searches modules first in the folder of the script, so its name must not be a module's.
    scripts = {f"call-{wheel.name}.py": f"{wheel.call}{_PRINT_LOADED}" for wheel in wheels}
    machine.put({name: code.encode() for name, code in scripts.items()})
    results = {}
    for wheel in wheels:
        script = rf"Z:{LAYOUTS['wine'].folder}\call-{wheel.name}.py".replace("/", "\\")
        result = machine.run(["wine", "python", script], seconds=60)
        results[wheel.name] = CallResult(result.code, result.output.replace("\r", ""))
    return results


@contextlib.contextmanager
def start_testbed(files: Sequence[Path]) -> Iterator[testbed.Testbed]:
    """Start a testbed whose index has these files."""
    run = engine.Run.new()
    docker = engine.ensure()
    index, publisher = (images.ensure(docker, name) for name in ("index", "publisher"))
    contents = IndexContents(project="quiverdb", files=tuple(files))
    with (
        step("starting the index"),
        testbed.prepare_network(docker, run, publisher, prove=False) as network,
        testbed.start(network, index, contents, ()) as bed,
    ):
        yield bed


def page(
    wheels: Sequence[KnownWheel],
    judgements: dict[str, dict[str, Judgement]],
    facts: dict[str, str],
) -> str:
    """Return the page with the table of results.

    The keys of ``judgements`` are names of machines, and then names of wheels. ``facts`` are the
    versions in the introduction, by name of the program.
    """
    rows = [
        f"| {wheel.requirement.replace('==', ' ')} | {wheel.languages} | {wheel.description} | "
        + " | ".join(judgements[name][wheel.name].text for name in MACHINES)
        + " |"
        for wheel in wheels
    ]
    good = sum(judgements[name][wheel.name].as_on_windows for wheel in wheels for name in MACHINES)
    versions = "; ".join(f"{key}: {value}" for key, value in facts.items())
    return "\n".join(
        [
            "# Well-known wheels on the Windows machines",
            "",
            "The suite installs these 64-bit wheels with uv from the index of a run and calls "
            f"their native code. **{good} of {len(wheels) * len(MACHINES)}** results are as on "
            "Windows.",
            f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {versions}.",
            "",
            "- *works*: the native code gave the expected answer. The number of native libraries "
            "loaded from the wheel and its dependencies follows.",
            "- *fails, as on Windows*: the wheel needs a library that a clean Windows does not "
            "have and that the wheel does not contain.",
            "- *fails, Wine's fault*: the wheel calls a function that Wine knows by name only. "
            "These machines cannot verify such a package.",
            "",
            "`python3 -m tests.benchmarks.windows_wheels` writes this page. The files, hashes and "
            "calls are in `tests/benchmarks/windows_wheels.toml`. "
            "[Stand-ins](../explanation/stand-ins.md#wine-for-windows) lists the limits, and "
            "[Libraries of a clean Windows](windows-libraries.md) what these machines have.",
            "",
            f"| wheel | native code in | the call | {' | '.join(MACHINES)} |",
            "|---|---|---|" + "---|" * len(MACHINES),
            *rows,
            "",
        ]
    )


def measure() -> ExitCode:
    """Call all wheels on all machines, and write the page.

    Raises:
        TestbedFailure: the engine, the index or a machine failed.
        WrongUse: windows_wheels.toml is not valid.
    """
    wheels, support = load()
    files = download([*wheels, *support])
    judgements: dict[str, dict[str, Judgement]] = {}
    facts = {}
    with start_testbed(files) as bed:
        some_machine = next(iter(machines.load().values()))
        for name in MACHINES:
            image = images.ensure(bed.engine, name)
            changes = {"name": name, "title": name, "os": "windows", "image": name}
            spec = some_machine.model_copy(update=changes)
            with step(f"{name}: {len(wheels)} wheels"), bed.machine(spec, image) as machine:
                results = call_all(machine, wheels)
                facts["Wine"] = machine.run(["wine", "--version"]).output.strip()
                facts[name] = image.tag
            judgements[name] = {
                wheel.name: judge(wheel, results[wheel.name], clean=name == _CLEAN)
                for wheel in wheels
            }
            for wheel in wheels:
                print(f"{name}: {wheel.requirement}: {judgements[name][wheel.name].text}")
    TABLE.write_text(page(wheels, judgements, facts), "utf-8")
    every = [item for by_wheel in judgements.values() for item in by_wheel.values()]
    good = all(item.as_on_windows or item.known for item in every)
    return ExitCode.VERIFIED if good else ExitCode.PACKAGE_FAILED


def main() -> int:
    """Write the page and return the exit code; print a failure in one line."""
    try:
        return measure()
    except (TestbedFailure, WrongUse) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
