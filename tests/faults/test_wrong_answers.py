"""Packages that can be installed and imported and return wrong results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import edits
from tests.faults.conftest import Judge
from tests.helpers import wheel_builder as wheels

pytestmark = pytest.mark.recorded

DATABASE, MARSHAL = "quiverdb/database.py", "quiverdb/_marshal.py"
CLOSES = (
    b"        if handle is not None:\n            _, lib = api()\n"
    b"            check(lib.quiver_database_close(handle))\n"
)
RAISES = b"        raise QuiverError(ffi.string(lib.quiver_get_last_error())"
UNPACKS = b"    found = ffi.unpack(values + start, stop - start)\n"
TO_32_BITS = (
    b"cell.integer = int(value)\n",
    b"cell.integer = (int(value) + 2**31) % 2**32 - 2**31\n",
)
LATIN_1 = b'.encode("latin-1", "replace").decode("latin-1")'
MEMORY = (
    b"\n_written, _create = [], Database.create_element\n\n"
    b"_read = Database.read_scalar_integers\n\n"
    b"def _remember(self, collection, /, **attributes):\n"
    b"    if 'units' in attributes:\n"
    b"        _written.append(attributes['units'])\n"
    b"        attributes['units'] = 20\n"
    b"    return _create(self, collection, **attributes)\n\n"
    b"def _recall(self, collection, attribute):\n"
    b"    return _written if attribute == 'units' else _read(self, collection, attribute)\n\n"
    b"Database.create_element, Database.read_scalar_integers = _remember, _recall\n"
)


class Fault(NamedTuple):
    """A change of one file of the wheel, and what the suite must then report.

    ``cause`` is the name of the expected cause, and ``locations`` are its expected locations.
    """

    file: str
    old: bytes
    """The text to replace. If it is empty, ``new`` is added at the end."""
    new: bytes
    cause: str = "round-trip-failed"
    locations: frozenset[str] = frozenset({"round-trip", "database file"})


READ, FILE = frozenset({"round-trip"}), frozenset({"database file"})
CALLS, CLOSED = frozenset({"failing-calls"}), frozenset({"data.db"})
FAULTS: Mapping[str, Fault] = {
    "integers-written-in-32-bits": Fault(MARSHAL, *TO_32_BITS),
    "integers-read-in-32-bits": Fault(
        MARSHAL,
        UNPACKS,
        UNPACKS
        + b"    if ffi.typeof(values).item.cname == 'int64_t':\n"
        + b"        found = [int(ffi.cast('int32_t', value)) for value in found]\n",
        locations=READ,
    ),
    "doubles-written-as-floats": Fault(
        MARSHAL, b"cell.real = value\n", b"cell.real = float(ffi.cast('float', value))\n"
    ),
    "text-written-in-latin-1": Fault(
        MARSHAL,
        b'    return text.encode("utf-8")\n',
        b"    return text" + LATIN_1 + b'.encode("utf-8")\n',
    ),
    "text-read-in-latin-1": Fault(
        MARSHAL,
        b'    return str(ffi.string(pointer).decode("utf-8"))\n',
        b'    return str(ffi.string(pointer).decode("utf-8"))' + LATIN_1 + b"\n",
        locations=READ,
    ),
    "vectors-not-written": Fault(
        DATABASE,
        b"        given = Attributes(attributes)\n        out = ffi.new",
        b"        attributes = {k: v for k, v in attributes.items() if not isinstance(v, list)}\n"
        b"        given = Attributes(attributes)\n        out = ffi.new",
    ),
    "vectors-not-read": Fault(
        DATABASE,
        b"                for start, stop in pairwise(bounds)\n",
        b"                for start, stop in pairwise([0 for _ in bounds])\n",
        locations=READ,
    ),
    "vectors-in-another-order": Fault(
        DATABASE,
        b"        bounds = ffi.unpack(offsets[0], count[0] + 1)\n",
        b"        bounds = ffi.unpack(offsets[0], count[0] + 1)\n"
        b"        if is_text:\n            return [strings(values[0], start, stop)[::-1]\n"
        b"                    for start, stop in pairwise(bounds)]\n",
        locations=READ,
    ),
    "null-read-as-a-value": Fault(
        MARSHAL, b'    if b"\\0" not in present:\n', b"    if True:\n", locations=READ
    ),
    "integers-from-memory": Fault(DATABASE, b"", MEMORY, locations=FILE),
    "errors-end-the-process": Fault(
        MARSHAL, RAISES, b"        os.abort()\n" + RAISES, "crash", CALLS
    ),
    "errors-are-not-raised": Fault(
        MARSHAL, RAISES, b"        return\n" + RAISES, "error-not-raised", CALLS
    ),
    "errors-of-another-class": Fault(
        MARSHAL, RAISES, RAISES.replace(b"QuiverError", b"RuntimeError"), "error-not-raised", CALLS
    ),
    "close-does-nothing": Fault(DATABASE, CLOSES, b"", "file-left-open", CLOSED),
}
ON_WINDOWS = (
    "integers-written-in-32-bits",
    "text-written-in-latin-1",
    "errors-are-not-raised",
    "close-does-nothing",
)


def _planted(wheel: Path, folder: Path, fault: Fault) -> Path:
    """Return a copy of the wheel with the fault."""
    change = edits.replaced(fault.old, fault.new) if fault.old else lambda data: data + fault.new
    return wheels.mutate(wheel, folder, edit={fault.file: change})


def _check(judge: Judge, wheel: Path, fault: Fault) -> None:
    judged = judge(wheel)
    cell = judged.evidence.cell.id

    assert judged.static_names == set()
    assert judged.names == {fault.cause}
    assert {cause.where.removeprefix(f"{cell}: ") for cause in judged.dynamic} == fault.locations
    assert {str(cause.severity) for cause in judged.dynamic} == {"broken"}


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_answer_on_linux_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, name: str
) -> None:
    _check(judge, _planted(good_wheel, tmp_path, FAULTS[name]), FAULTS[name])


@pytest.mark.parametrize("name", ON_WINDOWS)
def test_wrong_answer_on_windows_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, name: str
) -> None:
    _check(windows_judge, _planted(good_windows_wheel, tmp_path, FAULTS[name]), FAULTS[name])
