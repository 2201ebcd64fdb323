"""Which programs the image of the Windows machines accepts as their publisher's own."""

from __future__ import annotations

import hashlib
import stat
import subprocess
from pathlib import Path

import pytest
import trustme

from tests.helpers.image_scripts import IMAGES, load_script

signatures = load_script("windows-wine", "signatures")
PYTHON = "Python Software Foundation"
MICROSOFT = "Microsoft Corporation"


def verified(organisation: str, *, stamped: bool = True, end: str = "Succeeded") -> str:
    """Return what osslsigncode prints for a program that this organisation signed."""
    stamp = "Timestamp Server Signature verification: ok\n" if stamped else ""
    return (
        "Signer's certificate:\n\t------------------\n\tSigner #0:\n"
        f"\t\tSubject: /C=US/O={organisation}/CN=Somebody\n{stamp}{end}\n"
    )


def test_a_signature_by_its_publisher_is_accepted() -> None:
    assert signatures.fault(verified(PYTHON), 0, PYTHON) is None


def test_every_signature_of_a_program_needs_a_time_stamp() -> None:
    twice = verified(PYTHON) + verified(PYTHON)
    assert signatures.fault(twice, 0, PYTHON) is None
    assert signatures.fault(verified(PYTHON, stamped=False) + verified(PYTHON), 0, PYTHON)


def test_every_signature_of_a_program_is_by_its_publisher() -> None:
    assert signatures.fault(verified(PYTHON) + verified("Someone Else"), 0, PYTHON)


@pytest.mark.parametrize(
    ("output", "code", "fault"),
    [
        ("No signature found\nFailed\n", 1, "no signature"),
        ("Calculated message digest : AB    MISMATCH!!!\nFailed\n", 1, "changed after"),
        (verified("Someone Else"), 0, "signed by /C=US/O=Someone Else"),
        (verified(f"{PYTHON} Fans"), 0, f"O={PYTHON} Fans"),
        (verified(PYTHON, end="Error: self-signed\nFailed"), 1, "does not hold: Error: self-"),
        (verified(PYTHON), 1, "does not hold"),
        (verified(PYTHON, end="Failed"), 0, "does not hold"),
        (verified(PYTHON, stamped=False), 0, "no time stamp"),
    ],
)
def test_a_signature_is_refused(output: str, code: int, fault: str) -> None:
    assert fault in (signatures.fault(output, code, PYTHON) or "")


def test_python_brings_two_libraries_of_microsofts_and_no_more() -> None:
    expected = ("python", "microsoft")
    assert signatures.publisher("vcruntime140_1.dll", expected) == MICROSOFT
    assert signatures.publisher("VCRUNTIME140.dll", expected) == MICROSOFT
    assert signatures.publisher("msvcp140.dll", expected) == PYTHON
    assert signatures.publisher("msvcp140.dll", ("microsoft",)) == MICROSOFT
    assert signatures.publisher("vcruntime140.dll", ("python",)) == PYTHON


def test_a_bundle_without_the_pinned_roots_is_refused() -> None:
    with pytest.raises(ValueError, match="DigiCert Trusted Root G4"):
        signatures.pinned_roots("")


def test_only_the_pinned_roots_of_a_bundle_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, other = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
    digest = hashlib.sha256(signatures.ssl.PEM_cert_to_DER_cert(pinned)).hexdigest()
    monkeypatch.setattr(signatures, "PINNED", {digest: "The root"})
    assert signatures.pinned_roots(f"# comment\n{other}{pinned}") == [pinned.strip()]
    with pytest.raises(ValueError, match="The root"):
        signatures.pinned_roots(other)


def test_only_what_windows_could_load_counts_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.pyd").write_bytes(b"MZ")
    (tmp_path / "b.txt").write_bytes(b"text")
    (tmp_path / "empty.dll").touch()
    assert [path.name for path in signatures.programs(tmp_path)] == ["a.pyd"]


def test_a_program_that_is_missing_and_an_additional_one_are_faults() -> None:
    faults = list(signatures.strays({"a.dll", "c.dll"}, "a.dll\nb.dll\n"))
    assert [fault.partition(":")[0] for fault in faults] == ["b.dll", "c.dll"]
    assert list(signatures.strays({"a.dll", "b.dll"}, "a.dll\nb.dll\n")) == []


@pytest.mark.parametrize(
    ("organisation", "code", "fault"), [(PYTHON, 0, None), ("Someone Else", 0, "Someone Else")]
)
def test_a_file_is_verified_against_the_roots_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, organisation: str, code: int, fault: str | None
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, code, verified(organisation), "")

    monkeypatch.setattr(signatures.subprocess, "run", run)
    roots, path = tmp_path / "roots.pem", tmp_path / "a.dll"
    result = signatures.check(path, roots, PYTHON)
    assert fault in result if fault else result is None
    ((program, *words),) = commands
    assert (program, words[0]) == ("osslsigncode", "verify")
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options == {"-CAfile": str(roots), "-TSA-CAfile": str(roots), "-in": str(path)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of programs. The program that checks a signature prints the file's text."""
    certificate = trustme.CA().cert_pem.bytes().decode()
    digest = hashlib.sha256(signatures.ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    monkeypatch.setattr(signatures, "PINNED", {digest: "The root"})
    (tmp_path / "roots.pem").write_text(certificate, "utf-8")
    tool = tmp_path / "bin" / "osslsigncode"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nfor word; do :; done\ntail -n +2 "$word"\n', "utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    (tmp_path / "programs").mkdir()
    return tmp_path / "programs"


def check_folder(folder: Path, listed: str, *publishers: str) -> int:
    """Run the script for this folder; return its exit code."""
    path = folder.parent / "programs.txt"
    path.write_text(listed, "utf-8")
    roots = folder.parent / "roots.pem"
    return int(signatures.main([str(roots), str(path), str(folder), *publishers]))


def test_a_folder_of_signed_programs_passes(folder: Path) -> None:
    (folder / "python.exe").write_text(f"MZ\n{verified(PYTHON)}", "utf-8")
    (folder / "vcruntime140.dll").write_text(f"MZ\n{verified(MICROSOFT)}", "utf-8")
    assert check_folder(folder, "python.exe\nvcruntime140.dll\n", "python", "microsoft") == 0


def test_every_fault_of_a_folder_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.dll").write_text(f"MZ\n{verified('Someone Else')}", "utf-8")
    (folder / "b.dll").write_text("MZ\n", "utf-8")
    (folder / "c.dll").write_text(f"MZ\n{verified(PYTHON)}", "utf-8")
    assert check_folder(folder, "a.dll b.dll gone.dll", "python") == 1
    faults = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert faults == ["gone.dll", "c.dll", "a.dll", "b.dll"]


def test_a_folder_without_programs_fails(folder: Path) -> None:
    assert check_folder(folder, "", "python") == 1


@pytest.mark.parametrize(
    "recipe", ["windows-wine", "windows-wine-vcredist", "windows-wine-vcredist-old"]
)
def test_every_recipe_lists_its_programs(recipe: str) -> None:
    listed = (IMAGES / recipe / "programs.txt").read_text("utf-8").split()
    assert len(listed) == len(set(listed)) > 10
    assert [name for name in listed if not name.endswith((".dll", ".exe", ".pyd"))] == []
