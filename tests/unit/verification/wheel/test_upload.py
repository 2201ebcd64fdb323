"""The rules of the index for uploads, in the inspection of the gate's wheels."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.helpers.sample_wheels import SUBJECT, Files, linux_wheel, windows_wheel
from verification.models.cause import Severity
from verification.wheel.release_inspection import inspect_release
from verification.wheel.wheel_inspection import check_names

INFO = "quiverdb-1.0.0.dist-info"


def refusals(wheel: Path, *, published: bool = False) -> list[tuple[str, Severity]]:
    """Return where and how severe the inspection reports a refused upload."""
    causes = inspect_release([wheel], SUBJECT, published=published).wheels[0].causes
    return [(cause.where, cause.severity) for cause in causes if cause.name == "upload-refused"]


def streamed(path: Path) -> Path:
    """Write the archive again as a program does that cannot seek: with data descriptors."""

    class Pipe(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            block = bytes(data)  # type: ignore[call-overload]
            self.written += block
            return len(block)

    pipe = Pipe()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(pipe, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(pipe.written)
    return path


@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_healthy_wheel_is_accepted(tmp_path: Path, make: object) -> None:
    assert callable(make)
    assert refusals(make(tmp_path)) == []


def test_wheel_with_data_descriptors_is_refused(tmp_path: Path) -> None:
    wheel = streamed(linux_wheel(tmp_path))
    assert refusals(wheel) == [(wheel.name, Severity.BROKEN)]
    (cause,) = inspect_release([wheel], SUBJECT).wheels[0].causes
    assert "data descriptor" in str(cause.facts["reason"])


def test_command_with_a_path_is_refused(tmp_path: Path) -> None:
    files: Files = {f"{INFO}/entry_points.txt": "[console_scripts]\n../sh = quiverdb:main\n"}
    assert refusals(linux_wheel(tmp_path, files))


def test_published_wheel_is_not_uploaded_again(tmp_path: Path) -> None:
    wheel = streamed(linux_wheel(tmp_path))
    assert refusals(wheel, published=True) == []
    (inspection,) = inspect_release([wheel], SUBJECT).wheels
    assert "upload" in check_names(inspection)
    assert "upload" not in check_names(inspection, published=True)
