"""Changed valid files: each reader of an untrusted file raises only the errors that it declares.

The default profile has few examples, the same in each run. `-m long` has many new ones.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from containers.runner.act_log import ActLog, ConductorLine
from tests.helpers import sample_run
from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import elf, macho, property_note, universal_macho
from tests.helpers.mutated import mutated
from tests.helpers.sample_wheels import (
    MEMCPY,
    inspect,
    linux_core,
    linux_wheel,
    windows_api,
    windows_core,
    windows_wheel,
)
from verification.models import lock_file, workflow_file
from verification.models.base import DataError
from verification.models.errors import WrongUse
from verification.models.evidence import parse_evidence
from verification.models.workflow import BadWorkflow
from verification.report import results_json
from verification.reproduction import pasted_report
from verification.scenarios import machines
from verification.session import origin
from verification.subjects import subject
from verification.wheel import binary
from verification.wheel.errors import BadWheel

_ROOT = Path(__file__).parents[2]
_MEMORY = 512 << 20
"""The bytes of memory that a reader may add."""
_RELEASE_WORKFLOW = _ROOT / ".github" / "workflows" / "publish.yml"
_SMALL_WORKFLOW = _ROOT / "tests" / "faults" / "small.yml"
_ACT_LOG = _ROOT / "tests" / "unit" / "containers" / "runner" / "data" / "act-0.2.89.jsonl"
_PASTED = """\
$ pip --version
pip 24.2 from C:\\Python313\\Lib\\site-packages\\pip (python 3.13) on Windows 11, Ubuntu 22.04.3 LTS
Python 3.13.1 (tags/v3.13.1:0671451, Dec  3 2024, 19:06:28) [MSC v.1942 64 bit (AMD64)] on win32
ERROR: No matching distribution found for quiverdb==0.13.5 (from versions: 0.1.0, 0.2.0)
ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by a.so)
"""


class Reader(NamedTuple):
    """A reader of a file, and valid files that hypothesis changes."""

    valid: tuple[bytes, ...]
    read: Callable[[bytes], object]
    declared: tuple[type[Exception], ...] = ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untrusted")


@pytest.fixture(scope="module")
def readers(folder: Path) -> Mapping[str, Reader]:
    return {
        "elf": Reader((linux_core(), _elf_with_notes()), _read_binary),
        "pe": Reader((windows_core(), windows_api(manifest=_MANIFEST)), _read_binary),
        "mach-o": Reader((macho(), universal_macho(macho(), macho())), _read_binary),
        "wheel": Reader(tuple(_wheels(folder)), _wheel_reader(folder), (BadWheel,)),
        **{
            name: Reader((text.encode(),), _file_reader(folder, name), (BadWheel,))
            for name, text in _METADATA.items()
        },
        "subject.toml": Reader(_bytes(subject.DEFAULT_SUBJECT), _subject_reader(folder), _DATA),
        "machines.toml": Reader(_bytes(machines.PATH), _path_reader(folder, machines.load), _DATA),
        "pyproject.toml": Reader((_PYPROJECT,), _pyproject_reader(folder), (WrongUse,)),
        "lock": Reader((_LOCK,), _text_reader(lambda text: lock_file.parse(text, "lock")), _DATA),
        "results.json": Reader((_results(),), _path_reader(folder, results_json.read), _DATA),
        "evidence": Reader(
            (sample_run.evidence().to_json().encode(),),
            lambda data: parse_evidence(data, "evidence"),
            _DATA,
        ),
        "act": Reader(tuple(_act_lines()), _read_act_line),
        "bug report": Reader(
            (_PASTED.encode(),), _text_reader(lambda text: pasted_report.read(text, "quiverdb"))
        ),
        "workflow": Reader(
            (*_bytes(_RELEASE_WORKFLOW), *_bytes(_SMALL_WORKFLOW)),
            _text_reader(lambda text: workflow_file.parse(text, Path("a.yml"))),
            (BadWorkflow,),
        ),
    }


_NAMES = (
    *("elf", "pe", "mach-o", "wheel", "METADATA", "RECORD", "WHEEL", "entry_points.txt"),
    *("subject.toml", "machines.toml", "pyproject.toml", "lock", "results.json", "evidence"),
    *("act", "bug report", "workflow"),
)
_DATA = (DataError,)
_MANIFEST = (
    '<assembly xmlns="urn:schemas-microsoft-com:asm.v1"><dependency><dependentAssembly>'
    '<assemblyIdentity name="a"/></dependentAssembly></dependency></assembly>'
)
_PYPROJECT = b'[project]\nname = "quiverdb"\nversion = "1.0.0"\nrequires-python = ">=3.13"\n'
_LOCK = b"cffi==2.0.0 ; python_version < '4' \\\n    --hash=sha256:" + b"ab" * 32 + b"\n"
_INFO = "quiverdb-1.0.0.dist-info"
_METADATA = {
    "METADATA": "Metadata-Version: 2.4\nName: quiverdb\nVersion: 1.0.0\nRequires-Python: >=3.13\n"
    "Requires-Dist: cffi>=2.0.0; extra == 'x'\nProvides-Extra: x\nLicense-File: LICENSE\n"
    "Description-Content-Type: text/markdown; charset=UTF-8; variant=GFM\n\n# A *text*\n",
    "RECORD": "quiverdb/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
    'quiverdb/_loader.py,sha384=abc,12\n"quoted ""name""",,\n',
    "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: false\n"
    "Tag: cp313-cp313-manylinux_2_28_x86_64\n",
    "entry_points.txt": "[console_scripts]\nrun = quiverdb:main [x]\n\n[group.a]\nb = c.d:e.f\n",
}


@pytest.mark.parametrize("name", _NAMES)
def test_reader_raises_only_the_errors_that_it_declares(
    readers: Mapping[str, Reader], name: str
) -> None:
    _run(readers[name], max_examples=15, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", _NAMES)
def test_reader_raises_only_the_errors_that_it_declares_for_many_files(
    readers: Mapping[str, Reader], name: str
) -> None:
    _run(readers[name], max_examples=1500, derandomize=False)


_NESTED = {"pyproject.toml": b"a = " + b"[" * 5000, "results.json": b"[" * 100_000}
"""Files that are nested too deeply for a recursive parser, by reader."""


@pytest.mark.parametrize("name", ["subject.toml", "machines.toml", *_NESTED, "evidence"])
def test_deeply_nested_file_is_an_error_that_the_reader_declares(
    readers: Mapping[str, Reader], name: str
) -> None:
    nested = _NESTED["pyproject.toml" if name.endswith(".toml") else "results.json"]
    with pytest.raises(readers[name].declared):
        readers[name].read(nested)


def test_all_readers_are_tested(readers: Mapping[str, Reader]) -> None:
    assert sorted(readers) == sorted(_NAMES)


def test_unchanged_files_are_valid(readers: Mapping[str, Reader]) -> None:
    for reader in readers.values():
        for data in reader.valid:
            reader.read(data)


def _run(reader: Reader, **profile: Any) -> None:
    @settings(
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        **profile,
    )
    @given(st.sampled_from(reader.valid).flatmap(mutated))
    def read(data: bytes) -> None:
        with contextlib.suppress(*reader.declared):
            reader.read(data)

    with _limited_memory():
        read()


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Let an allocation of more than `_MEMORY` bytes raise MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + _MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


# ---- the readers ----


def _elf_with_notes() -> bytes:
    return elf(
        soname="a.so",
        needed=["libc.so.6"],
        run_path="$ORIGIN:/x",
        imports=[MEMCPY],
        exports=["f"],
        interposable=["f"],
        note=property_note((0xC000_8002, 7)),
    )


def _read_binary(data: bytes) -> object:
    if binary.format_of(data) is None:
        return None
    content = binary.read(data)
    return content, binary.program_fault(data, content)


def _wheels(folder: Path) -> Iterator[bytes]:
    """Yield a compressed and a stored wheel. Changes of the stored one reach its files."""
    for make in (linux_wheel, windows_wheel):
        wheel = make(folder, {f"{_INFO}/entry_points.txt": _METADATA["entry_points.txt"]})
        yield wheel.read_bytes()
    yield wheels.stored(wheel, folder / "stored.whl").read_bytes()


def _wheel_reader(folder: Path) -> Callable[[bytes], object]:
    names = [f"quiverdb-1.0.0-{tag}.whl" for tag in (wheels.LINUX_TAG, wheels.WINDOWS_TAG)]
    turns = itertools.cycle([folder / "changed" / name for name in names])

    def read(data: bytes) -> object:
        path = next(turns)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return inspect(path, published=False)

    return read


def _file_reader(folder: Path, name: str) -> Callable[[bytes], object]:
    """Return a reader of a wheel with this content of a metadata file."""
    place = folder / name
    place.mkdir()
    good = linux_wheel(folder, {f"{_INFO}/entry_points.txt": ""})

    def read(data: bytes) -> object:
        edit = {f"{_INFO}/{name}": lambda _: data}
        return inspect(wheels.mutate(good, place, edit=edit, fix_record=False), published=False)

    return read


def _path_reader(folder: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path = folder / f"file-{len(list(folder.iterdir()))}"

    def read_path(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return read_path


def _subject_reader(folder: Path) -> Callable[[bytes], object]:
    place = folder / "subject"
    shutil.copytree(subject.DEFAULT_SUBJECT.parent, place)
    path = place / subject.DEFAULT_SUBJECT.name

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return subject.load(path)

    return read


def _pyproject_reader(folder: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        (folder / "pyproject.toml").write_bytes(data)
        return origin._version(folder)

    return read


def _text_reader(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


def _bytes(path: Path) -> tuple[bytes]:
    return (path.read_bytes(),)


def _results() -> bytes:
    return (
        sample_run.complete(sample_run.cell(sample_run.LINUX))
        .model_dump_json(by_alias=True)
        .encode()
    )


def _act_lines() -> Iterator[bytes]:
    yield from (line for line in _ACT_LOG.read_bytes().splitlines() if b'"container"' not in line)


def _read_act_line(data: bytes) -> object:
    """Read a line as the run does. What is not valid is an ordinary line."""
    log = ActLog()
    for marker in ("e2e-unsupported", "e2e-failure"):
        text = data.decode("utf-8", "replace")
        act = {"msg": f"{marker} {text}", "job": "a", "jobID": "a", "stepID": ["0"]}
        log.add(ConductorLine.model_validate({"at": 0, "act": {**act, "raw_output": True}}))
    with contextlib.suppress(ValueError):
        log.add(ConductorLine.model_validate_json(data))
    return log.jobs(workflow_file.load(_SMALL_WORKFLOW))
