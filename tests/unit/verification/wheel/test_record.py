from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause
from verification.models.cause import Cause
from verification.wheel import record
from verification.wheel.archive import open_wheel

RECORD = "quiverdb-1.0.0.dist-info/RECORD"
PY_TYPED = "quiverdb/py.typed,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"


def faults(wheel: Path) -> list[tuple[str, str]]:
    """Return where each fault is, and what was observed there."""
    causes = list(record.faults(open_wheel(wheel)))
    assert {cause.name for cause in causes} <= {"record-mismatch"}
    return [(cause.where, cause.message.partition("; expected")[0]) for cause in causes]


def edited(folder: Path, out: Path, old: str, new: str) -> Path:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return wheels.mutate(linux_wheel(folder), out, edit={RECORD: change}, fix_record=False)


def test_a_good_record_has_no_fault(tmp_path: Path) -> None:
    assert faults(linux_wheel(tmp_path)) == []


def test_an_added_file_that_record_does_not_list_is_named(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, add={"quiverdb/new.py": ""}, fix_record=False)
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/new.py")
    assert faults(wheel) == [("quiverdb/new.py", "is in the archive and not in RECORD")]


def test_a_removed_file_that_record_lists_is_named(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, remove=["quiverdb/py.typed"], fix_record=False
    )
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/py.typed")
    assert faults(wheel) == [("quiverdb/py.typed", "is in RECORD and not in the archive")]


def test_a_changed_file_is_found_by_hash_and_by_size(tmp_path: Path, out: Path) -> None:
    path = "quiverdb/__init__.py"
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, edit={path: lambda data: data + b"\n"}, fix_record=False
    )
    assert faults(wheel) == [
        (path, "does not have the hash that RECORD gives"),
        (path, "has 35 bytes, and RECORD gives 34"),
    ]


def test_a_file_of_another_content_and_the_same_size_is_found(tmp_path: Path, out: Path) -> None:
    path = "quiverdb/__init__.py"
    wheel = wheels.mutate(linux_wheel(tmp_path), out, edit={path: bytes.upper}, fix_record=False)
    assert faults(wheel) == [(path, "does not have the hash that RECORD gives")]


def test_a_wheel_without_record_is_named(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[RECORD])
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", wheel.name)
    assert faults(wheel) == [(wheel.name, "has no RECORD")]


@pytest.mark.parametrize(
    ("new", "where", "observed"),
    [
        (
            PY_TYPED.replace("sha256=", "md5="),
            "quiverdb/py.typed",
            "has the hash 'md5=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' in RECORD",
        ),
        ("quiverdb/py.typed,,0", "quiverdb/py.typed", "has the hash 'of no kind' in RECORD"),
        (f"{PY_TYPED}\n{PY_TYPED}", "quiverdb/py.typed", "is in RECORD 2 times"),
        (f"{PY_TYPED},more", "quiverdb/py.typed", "has 4 fields in RECORD, not three"),
        (PY_TYPED[:-2], "quiverdb/py.typed", "has 2 fields in RECORD, not three"),
        (PY_TYPED[:-1] + "1", "quiverdb/py.typed", "has 0 bytes, and RECORD gives 1"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, out: Path, new: str, where: str, observed: str
) -> None:
    assert faults(edited(tmp_path, out, PY_TYPED, new)) == [(where, observed)]


def test_a_row_with_a_wrong_name_is_two_faults(tmp_path: Path, out: Path) -> None:
    wheel = edited(tmp_path, out, "quiverdb/py.typed,", 'quiverdb/"py.typed,')
    assert faults(wheel) == [
        ('quiverdb/"py.typed', "is in RECORD and not in the archive"),
        ("quiverdb/py.typed", "is in the archive and not in RECORD"),
    ]


def test_a_record_that_is_not_csv_is_named(tmp_path: Path, out: Path) -> None:
    ((where, observed),) = faults(edited(tmp_path, out, "quiverdb/py.typed", '"quiverdb/py"typed'))
    assert (where, observed.startswith("cannot be read (")) == ("RECORD", True)


@pytest.mark.parametrize(
    "new",
    [
        f"{PY_TYPED}\n",  # an empty line
        f"{PY_TYPED[:-1]}",  # no size
        PY_TYPED.replace("uFU,", "uFU=,"),  # with padding
        "quiverdb/py.typed,sha512=z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7"
        "kxvUdBeoGlODJ6-SfaPg,0",
    ],
)
def test_a_row_may_be_written_otherwise(tmp_path: Path, out: Path, new: str) -> None:
    wheel = edited(tmp_path, out, PY_TYPED, new)
    assert inspect(wheel).causes == ()


@pytest.mark.parametrize("suffix", ["jws", "p7s"])
def test_a_signature_of_record_need_not_be_listed(tmp_path: Path, out: Path, suffix: str) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, add={f"{RECORD}.{suffix}": "x"}, fix_record=False
    )
    assert faults(wheel) == []


def test_a_signature_of_record_may_be_listed_without_a_hash(tmp_path: Path, out: Path) -> None:
    first = wheels.mutate(linux_wheel(tmp_path), out, add={f"{RECORD}.jws": "x"})
    (out / "second").mkdir()
    edit = {RECORD: lambda data: data.replace(*_row(data, b"RECORD.jws"))}
    assert faults(wheels.mutate(first, out / "second", edit=edit, fix_record=False)) == []


def _row(data: bytes, name: bytes) -> tuple[bytes, bytes]:
    (row,) = (row for row in data.splitlines() if name in row)
    return row, row.partition(b",")[0] + b",,"


def test_a_file_that_is_in_the_archive_twice_is_named(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(wheel, "a") as archive,
    ):
        archive.writestr("quiverdb/py.typed", "")
    assert only_cause(wheel).name == "record-mismatch"
    assert faults(wheel) == [("quiverdb/py.typed", "is in the archive 2 times")]


def test_a_file_with_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    path = "quiverdb/data.bin"
    wheel = linux_wheel(tmp_path, {path: b"stored as it is" * 3})
    with zipfile.ZipFile(wheel) as archive:
        member = archive.getinfo(path)
    data = bytearray(wheel.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + 2] ^= 0xFF
    wheel.write_bytes(data)
    cause: Cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", path)
    assert "cannot be unpacked (" in cause.message
