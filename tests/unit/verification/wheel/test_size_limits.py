"""Each planted bomb is refused by its limit before anything is unpacked; good wheels are not."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from tests.helpers.sample_wheels import linux_wheel
from verification.wheel import size_limits
from verification.wheel.archive import open_wheel
from verification.wheel.errors import WheelTooLarge

INFO = "quiverdb-1.0.0.dist-info"


def met_limit(wheel: Path) -> str:
    """Return the limit that a wheel meets. Nothing of it is unpacked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("a file is unpacked"))
        with pytest.raises(WheelTooLarge) as raised:
            open_wheel(wheel)
    facts = raised.value.facts
    assert raised.value.file == wheel.name
    assert int(facts["value"]) > int(facts["maximum"])  # type: ignore[arg-type]
    return str(facts["limit"])


def announce(wheel: Path, sizes: dict[str, int]) -> Path:
    """Change the sizes of files in the central directory."""
    data = bytearray(wheel.read_bytes())
    for name, size in sizes.items():
        start = data.rindex(name.encode()) - 46  # the name follows the header of 46 bytes
        assert data[start : start + 4] == b"PK\x01\x02"
        data[start + 24 : start + 28] = struct.pack("<L", size)
    wheel.write_bytes(data)
    return wheel


def test_good_wheel_meets_no_limit(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb/zeros": bytes(5 << 20)})
    assert open_wheel(wheel).files["quiverdb/zeros"].size == 5 << 20


def test_largest_wheels_meet_no_limit() -> None:
    members = [zipfile.ZipInfo(f"torch/{number}") for number in range(50_000)]
    for number, member in enumerate(members):
        member.file_size, member.compress_size = 100_000, 40_000
        member.header_offset = number * 50_000
    assert list(size_limits.excesses(members, 50_000 * 50_000)) == []


def test_total_ratio_and_metadata_are_limited_by_the_central_directory(tmp_path: Path) -> None:
    names = [f"data-{number}" for number in range(5)]
    wheel = linux_wheel(tmp_path, dict.fromkeys(names, ""))
    announce(wheel, {names[0]: 300 << 20})
    assert met_limit(wheel) == "ratio"
    announce(wheel, dict.fromkeys(names, (1 << 32) - 2))
    assert met_limit(wheel) == "total"
    for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt"):
        files = {f"{INFO}/entry_points.txt": ""}
        path = announce(linux_wheel(tmp_path, files), {f"{INFO}/{name}": 40 << 20})
        assert met_limit(path) == name


def test_number_of_members_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = linux_wheel(tmp_path)
    monkeypatch.setattr(size_limits, "MAX_MEMBERS", 7)
    assert met_limit(wheel) == "members"


def test_central_directory_is_limited_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = linux_wheel(tmp_path, dict.fromkeys(map(str, range(100)), ""))
    monkeypatch.setattr(size_limits, "MAX_DIRECTORY", 1000)
    monkeypatch.setattr(size_limits, "MAX_MEMBERS", 50)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it is read"))
    with pytest.raises(WheelTooLarge) as raised:
        open_wheel(wheel)
    assert (raised.value.facts["limit"], raised.value.facts["value"]) == ("members", 108)


def test_members_with_the_same_bytes_are_refused(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"first": bytes(100), "other": bytes(100)})
    data = bytearray(wheel.read_bytes())
    first, other = (data.rindex(name) - 46 for name in (b"first", b"other"))
    data[other + 42 : other + 46] = data[first + 42 : first + 46]  # the offset of the header
    wheel.write_bytes(data)
    assert met_limit(wheel) == "overlap"


@pytest.mark.parametrize("size", [99, 101])
def test_file_with_another_size_than_announced_is_unreadable(tmp_path: Path, size: int) -> None:
    """A reader gets at most the announced bytes, so the limits also hold for a wheel that lies."""
    wheel = announce(linux_wheel(tmp_path, {"lie": bytes(100)}), {"lie": size})
    contents = open_wheel(wheel)
    assert list(contents.unreadable) == ["lie"]
    assert "quiverdb/__init__.py" in contents.files
