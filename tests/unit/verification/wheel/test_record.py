from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause
from verification.wheel import record
from verification.wheel.archive import open_wheel

RECORD = "quiverdb-1.0.0.dist-info/RECORD"
PY_TYPED = "quiverdb/py.typed,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"


def causes_of(wheel: Path) -> list[tuple[str, object]]:
    """Return the path and the kind of each fault."""
    causes = list(record.causes(open_wheel(wheel)))
    assert {cause.name for cause in causes} <= {"record-mismatch"}
    return [(cause.where, cause.facts["kind"]) for cause in causes]


def edited(folder: Path, out: Path, old: str, new: str) -> Path:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return wheels.mutate(linux_wheel(folder), out, edit={RECORD: change}, fix_record=False)


def test_correct_record_has_no_fault(tmp_path: Path) -> None:
    assert causes_of(linux_wheel(tmp_path)) == []


def test_file_that_record_does_not_list_is_reported(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, add={"quiverdb/new.py": ""}, fix_record=False)
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/new.py")
    assert causes_of(wheel) == [("quiverdb/new.py", "not-listed")]


def test_listed_file_that_does_not_exist_is_reported(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, remove=["quiverdb/py.typed"], fix_record=False
    )
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/py.typed")
    assert causes_of(wheel) == [("quiverdb/py.typed", "not-in-archive")]


def test_changed_file_has_another_hash_and_size(tmp_path: Path, out: Path) -> None:
    path = "quiverdb/__init__.py"
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, edit={path: lambda data: data + b"\n"}, fix_record=False
    )
    assert causes_of(wheel) == [(path, "hash"), (path, "size")]


def test_changed_file_with_the_same_size_has_another_hash(tmp_path: Path, out: Path) -> None:
    path = "quiverdb/__init__.py"
    wheel = wheels.mutate(linux_wheel(tmp_path), out, edit={path: bytes.upper}, fix_record=False)
    assert causes_of(wheel) == [(path, "hash")]


def test_wheel_without_record_is_reported(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[RECORD])
    cause = only_cause(wheel)
    assert (cause.name, cause.where) == ("record-mismatch", wheel.name)
    assert causes_of(wheel) == [(wheel.name, "no-record")]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (PY_TYPED.replace("sha256=", "md5="), "weak-hash"),
        ("quiverdb/py.typed,,0", "weak-hash"),
        (f"{PY_TYPED}\n{PY_TYPED}", "repeated-row"),
        (f"{PY_TYPED},more", "fields"),
        (PY_TYPED[:-2], "fields"),
        (PY_TYPED[:-1] + "1", "size"),
    ],
)
def test_wrong_row_is_reported(tmp_path: Path, out: Path, row: str, kind: str) -> None:
    assert causes_of(edited(tmp_path, out, PY_TYPED, row)) == [("quiverdb/py.typed", kind)]


def test_row_with_a_wrong_name_is_two_faults(tmp_path: Path, out: Path) -> None:
    wheel = edited(tmp_path, out, "quiverdb/py.typed,", 'quiverdb/"py.typed,')
    assert causes_of(wheel) == [
        ('quiverdb/"py.typed', "not-in-archive"),
        ("quiverdb/py.typed", "not-listed"),
    ]


def test_record_that_is_not_csv_is_reported(tmp_path: Path, out: Path) -> None:
    wheel = edited(tmp_path, out, "quiverdb/py.typed", '"quiverdb/py"typed')
    assert causes_of(wheel) == [("RECORD", "not-csv")]


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
def test_equivalent_row_is_accepted(tmp_path: Path, out: Path, new: str) -> None:
    wheel = edited(tmp_path, out, PY_TYPED, new)
    assert inspect(wheel).causes == ()


@pytest.mark.parametrize("suffix", ["jws", "p7s"])
def test_signature_of_record_need_not_be_listed(tmp_path: Path, out: Path, suffix: str) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path), out, add={f"{RECORD}.{suffix}": "x"}, fix_record=False
    )
    assert causes_of(wheel) == []


def test_signature_of_record_may_be_listed_without_a_hash(tmp_path: Path, out: Path) -> None:
    first = wheels.mutate(linux_wheel(tmp_path), out, add={f"{RECORD}.jws": "x"})
    (out / "second").mkdir()
    edit = {RECORD: lambda data: data.replace(*_row(data, b"RECORD.jws"))}
    assert causes_of(wheels.mutate(first, out / "second", edit=edit, fix_record=False)) == []


def _row(data: bytes, name: bytes) -> tuple[bytes, bytes]:
    (row,) = (row for row in data.splitlines() if name in row)
    return row, row.partition(b",")[0] + b",,"


def test_repeated_file_in_the_archive_is_reported(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(wheel, "a") as archive,
    ):
        archive.writestr("quiverdb/py.typed", "")
    assert only_cause(wheel).name == "record-mismatch"
    assert causes_of(wheel) == [("quiverdb/py.typed", "repeated-file")]


def test_file_with_a_wrong_checksum_is_unreadable(tmp_path: Path) -> None:
    path = "quiverdb/data.bin"
    wheel = linux_wheel(tmp_path, {path: b"some content" * 3})
    with zipfile.ZipFile(wheel) as archive:
        member = archive.getinfo(path)
    data = bytearray(wheel.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + 2] ^= 0xFF
    wheel.write_bytes(data)
    assert only_cause(wheel).name == "record-mismatch"
    assert causes_of(wheel) == [(path, "unreadable")]
