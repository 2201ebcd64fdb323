"""Install well-known Windows wheels on the Windows machines, call them, and write a table of it.

The table is docs/reference/windows-wheels.md.
Run ``python3 -m tests.benchmarks.fidelity`` from the repository's root, in the suite's environment.
The wheels and what each must answer are data, in ``fidelity.toml``. It ends with 0 if every wheel
did what it does on Windows or failed by a fault of Wine's that is listed there, with 1 otherwise,
and with the testbed's codes if that failed.
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
WHEELS = Path(__file__).with_name("fidelity.toml")
TABLE = ROOT / "docs" / "reference" / "windows-wheels.md"
MACHINES = ("windows-wine", "windows-wine-vcredist")
"""A clean one, and one that has Microsoft's redistributable besides: their images' recipes."""
_CLEAN = MACHINES[0]
_SECONDS = 300
_STUB = re.compile(r"unimplemented function (\S+?)(?:, aborting| called)", re.IGNORECASE)
_NOT_FOUND = re.compile(r'import_dll Library (\S+) \(which is needed by L"[^"]*?([^"\\]+)"\) not')
# Printed after the call, to show that it was the wheel's own native code: the libraries that are
# loaded from site-packages (psapi.h, EnumProcessModules).
_LOADED = """
import ctypes as _c
_psapi, _k = _c.WinDLL("psapi"), _c.WinDLL("kernel32")
_k.GetCurrentProcess.restype = _c.c_void_p
_found, _size = (_c.c_void_p * 4096)(), _c.c_ulong()
_psapi.EnumProcessModules(
    _c.c_void_p(_k.GetCurrentProcess()), _found, _c.sizeof(_found), _c.byref(_size)
)
_name = _c.create_unicode_buffer(4096)
_own = 0
for _handle in _found[: _size.value // _c.sizeof(_c.c_void_p)]:
    _k.GetModuleFileNameW(_c.c_void_p(_handle), _name, 4096)
    _own += "site-packages" in _name.value.lower()
print("loaded:", _own)
"""


@dataclasses.dataclass(frozen=True)
class Pinned:
    """A file of the package index, by hash."""

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The requirement that only this version meets."""
        return f"{self.name}=={self.version}"


@dataclasses.dataclass(frozen=True)
class Wheel(Pinned):
    """A wheel of ``fidelity.toml``, with the call into its native code and the answer."""

    written: str
    does: str
    call: str
    prints: str
    lacks: tuple[str, ...] = ()
    stub: str | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call did on a machine."""

    code: int
    output: str

    def missing(self) -> list[tuple[str, str]]:
        """Return the libraries that Windows did not find, each with the one that needs it."""
        return [(match[1], match[2]) for match in _NOT_FOUND.finditer(self.output)]

    def loaded(self) -> int:
        """Return how many native libraries the call had loaded from site-packages."""
        found = re.search(r"^loaded: (\d+)", self.output, re.MULTILINE)
        return int(found[1]) if found else 0

    def last(self) -> str:
        """Return the last line of output, or the exit code where there is none."""
        lines = self.output.split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"code {self.code}")


@dataclasses.dataclass(frozen=True)
class Judged:
    """What is to be said of a wheel on a machine."""

    as_on_windows: bool
    told: str
    known: bool = False
    """Whether it is a fault of Wine's that ``fidelity.toml`` lists."""


def load(path: Path = WHEELS) -> tuple[tuple[Wheel, ...], tuple[Pinned, ...]]:
    """Read the wheels, and what they need besides.

    Raises:
        WrongUse: an unknown or a missing key, or a file that is no TOML.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        lines: list[dict[str, Any]] = data.pop("wheel", [])
        wheels = tuple(Wheel(**line | {"lacks": tuple(line.get("lacks", ()))}) for line in lines)
        support = tuple(Pinned(**line) for line in data.pop("support", []))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise WrongUse(f"{path.name}: {error}; mend it as its first lines say") from None
    if data:
        raise WrongUse(f"{path.name}: unknown table {min(data)!r}; there are: support, wheel")
    return wheels, support


def judge(wheel: Wheel, outcome: Outcome, *, clean: bool) -> Judged:
    """Compare what was seen with what the wheel does on such a Windows."""
    answered = outcome.code == 0 and wheel.prints in outcome.output.splitlines()
    works = answered and outcome.loaded() > 0
    missing = outcome.missing()
    needs = ", ".join(f"`{name}` (for `{by}`)" for name, by in missing)
    stub = _STUB.search(outcome.output)
    if wheel.lacks and clean:
        if {name.lower() for name, _ in missing} & {name.lower() for name in wheel.lacks}:
            return Judged(outcome.code != 0, f"fails, as on Windows: no {needs}")
        return Judged(False, "**does not fail for want of what a clean Windows lacks**")
    if works:
        return Judged(True, f"works; {outcome.loaded()} loaded")
    if stub:
        told = f"**fails, Wine's fault**: `{stub[1]}` is a stub there"
        return Judged(False, told, known=stub[1] == wheel.stub)
    if missing:
        return Judged(False, f"**fails**: no {needs}")
    if answered:
        return Judged(False, "**answers without any native library**")
    return Judged(False, f"**fails**: {outcome.last()[:160]}")


def download(pinned: Sequence[Pinned]) -> list[Path]:
    """Return the files, fetched once and by hash with this Python's own pip.

    Raises:
        TestbedFailure: the package index does not give them.
    """
    with tempfile.TemporaryDirectory() as scratch, locked("fidelity"):
        lock = Path(scratch) / "fidelity.txt"
        lines = [f"{one.requirement} --hash=sha256:{one.sha256}\n" for one in pinned]
        lock.write_text("".join(sorted(lines)), "utf-8")
        into = state_folder() / "downloads" / "fidelity"
        with step("fetching the wheels"):
            folder = images.download_wheels(lock, into, python="3.13", platforms=("win_amd64",))
    return sorted(folder.glob("*.whl"))


def outcomes(here: Machine, wheels: Sequence[Wheel]) -> dict[str, Outcome]:
    """Install all wheels on a machine, as its user, and call each in a process of its own.

    Raises:
        TestbedFailure: the machine or the index is at fault.
    """
    # uv, not pip: the same files in a tenth of the time. It does not look into the system's store.
    trust = {"SSL_CERT_FILE": rf"Z:{LAYOUTS['wine'].folder}\ca.pem".replace("/", "\\")}
    command = ["wine", "uv", "pip", "install", "--system", *(one.requirement for one in wheels)]
    installed = here.run(command, environment=trust, seconds=_SECONDS)
    if installed.code:
        raise TestbedFailure("machine-lost", here.spec.name, installed.output[-400:])
    # Not by the wheel's own name: the script's folder comes first where Python looks for modules.
    here.put({f"call-{one.name}.py": f"{one.call}{_LOADED}".encode() for one in wheels})
    found = {}
    for one in wheels:
        script = rf"Z:{LAYOUTS['wine'].folder}\call-{one.name}.py".replace("/", "\\")
        ran = here.run(["wine", "python", script], seconds=60)
        found[one.name] = Outcome(ran.code, ran.output.replace("\r", ""))
    return found


@contextlib.contextmanager
def started(files: Sequence[Path]) -> Iterator[testbed.Testbed]:
    """Start a testbed whose index has these files."""
    run = engine.Run.new()
    found = engine.ensure()
    index, publisher = (images.ensure(found, name) for name in ("index", "publisher"))
    contents = IndexContents(project="quiverdb", files=tuple(files))
    with (
        step("starting the index"),
        testbed.prepare_network(found, run, publisher, prove=False) as network,
        testbed.start(network, index, contents, ()) as bed,
    ):
        yield bed


def table(
    wheels: Sequence[Wheel], judged: dict[str, dict[str, Judged]], facts: dict[str, str]
) -> str:
    """Return the page: what was installed where, and what came of it."""
    rows = [
        f"| {one.requirement.replace('==', ' ')} | {one.written} | {one.does} | "
        + " | ".join(judged[name][one.name].told for name in MACHINES)
        + " |"
        for one in wheels
    ]
    good = sum(judged[name][one.name].as_on_windows for one in wheels for name in MACHINES)
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
            "`python3 -m tests.benchmarks.fidelity` writes this page. The files, hashes and calls "
            "are in `tests/benchmarks/fidelity.toml`. "
            "[Stand-ins](../explanation/stand-ins.md#wine-for-windows) lists the limits.",
            "",
            f"| wheel | native code in | the call | {' | '.join(MACHINES)} |",
            "|---|---|---|" + "---|" * len(MACHINES),
            *rows,
            "",
        ]
    )


def measure() -> ExitCode:
    """Write the table; return whether all is as on Windows.

    Raises:
        TestbedFailure, WrongUse: with what to do about it.
    """
    wheels, support = load()
    files = download([*wheels, *support])
    judged: dict[str, dict[str, Judged]] = {}
    facts = {}
    with started(files) as bed:
        known = next(iter(machines.load().values()))
        for name in MACHINES:
            image = images.ensure(bed.engine, name)
            changes = {"name": name, "title": name, "os": "windows", "image": name}
            spec = known.model_copy(update=changes)
            with step(f"{name}: {len(wheels)} wheels"), bed.machine(spec, image) as here:
                found = outcomes(here, wheels)
                facts["Wine"] = here.run(["wine", "--version"]).output.strip()
                facts[name] = image.tag
            judged[name] = {
                one.name: judge(one, found[one.name], clean=name == _CLEAN) for one in wheels
            }
            for one in wheels:
                print(f"{name}: {one.requirement}: {judged[name][one.name].told}")
    TABLE.write_text(table(wheels, judged, facts), "utf-8")
    good = all(one.as_on_windows or one.known for told in judged.values() for one in told.values())
    return ExitCode.VERIFIED if good else ExitCode.PACKAGE_FAILED


def main() -> int:
    """Run, and tell a failure in one line."""
    try:
        return measure()
    except (TestbedFailure, WrongUse) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
