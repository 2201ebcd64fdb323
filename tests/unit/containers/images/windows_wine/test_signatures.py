"""The signatures that the build of the Windows machines accepts."""

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


def tool_output(
    organisation: str, *, has_time_stamp: bool = True, result: str = "Succeeded"
) -> str:
    """Return the output of osslsigncode for a program that this organisation signed."""
    stamp = "Timestamp Server Signature verification: ok\n" if has_time_stamp else ""
    return (
        "Signer's certificate:\n\t------------------\n\tSigner #0:\n"
        f"\t\tSubject: /C=US/O={organisation}/CN=Somebody\n{stamp}{result}\n"
    )


def test_signature_of_the_publisher_is_accepted() -> None:
    assert signatures.fault(tool_output(PYTHON), 0, PYTHON) is None


def test_all_signatures_of_a_program_need_a_time_stamp() -> None:
    twice = tool_output(PYTHON) + tool_output(PYTHON)
    assert signatures.fault(twice, 0, PYTHON) is None
    assert signatures.fault(
        tool_output(PYTHON, has_time_stamp=False) + tool_output(PYTHON), 0, PYTHON
    )


def test_all_signatures_of_a_program_must_be_from_its_publisher() -> None:
    assert signatures.fault(tool_output(PYTHON) + tool_output("Someone Else"), 0, PYTHON)


@pytest.mark.parametrize(
    ("output", "code", "detail"),
    [
        ("No signature found\nFailed\n", 1, ""),
        ("Calculated message digest : AB    MISMATCH!!!\nFailed\n", 1, ""),
        (tool_output("Someone Else"), 0, "/C=US/O=Someone Else"),
        (tool_output(f"{PYTHON} Fans"), 0, f"O={PYTHON} Fans"),
        (tool_output(PYTHON, result="Error: self-signed\nFailed"), 1, "Error: self-signed"),
        (tool_output(PYTHON), 1, ""),
        (tool_output(PYTHON, result="Failed"), 0, ""),
        (tool_output(PYTHON, has_time_stamp=False), 0, ""),
    ],
)
def test_wrong_signature_is_a_fault_with_the_detail(output: str, code: int, detail: str) -> None:
    fault = signatures.fault(output, code, PYTHON)
    assert fault is not None
    assert detail in fault


def test_different_faults_have_different_messages() -> None:
    outputs = (
        ("No signature found\nFailed\n", 1),
        ("Calculated message digest : AB    MISMATCH!!!\nFailed\n", 1),
        (tool_output("Someone Else"), 0),
        (tool_output(PYTHON, result="Failed"), 0),
        (tool_output(PYTHON, has_time_stamp=False), 0),
    )
    faults = {signatures.fault(output, code, PYTHON) for output, code in outputs}
    assert len(faults) == len(outputs)


def test_microsoft_signs_only_two_libraries_of_python() -> None:
    expected = ("python", "microsoft")
    assert signatures.publisher("vcruntime140_1.dll", expected) == MICROSOFT
    assert signatures.publisher("VCRUNTIME140.dll", expected) == MICROSOFT
    assert signatures.publisher("msvcp140.dll", expected) == PYTHON
    assert signatures.publisher("msvcp140.dll", ("microsoft",)) == MICROSOFT
    assert signatures.publisher("vcruntime140.dll", ("python",)) == PYTHON


def test_bundle_without_the_pinned_roots_is_refused() -> None:
    with pytest.raises(ValueError, match="DigiCert Trusted Root G4"):
        signatures.pinned_roots("")


def test_only_the_pinned_roots_of_a_bundle_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, other = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
    digest = hashlib.sha256(signatures.ssl.PEM_cert_to_DER_cert(pinned)).hexdigest()
    monkeypatch.setattr(signatures, "PINNED", {digest: "The root"})
    assert signatures.pinned_roots(f"# comment\n{other}{pinned}") == [pinned.strip()]
    with pytest.raises(ValueError, match="The root"):
        signatures.pinned_roots(other)


def test_only_files_that_windows_can_load_are_programs(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.pyd").write_bytes(b"MZ")
    (tmp_path / "b.txt").write_bytes(b"text")
    (tmp_path / "empty.dll").touch()
    assert [path.name for path in signatures.programs(tmp_path)] == ["a.pyd"]


def test_missing_and_additional_programs_are_faults() -> None:
    faults = list(signatures.list_faults({"a.dll", "c.dll"}, "a.dll\nb.dll\n"))
    assert [fault.partition(":")[0] for fault in faults] == ["b.dll", "c.dll"]
    assert list(signatures.list_faults({"a.dll", "b.dll"}, "a.dll\nb.dll\n")) == []


@pytest.mark.parametrize(
    ("organisation", "code", "fault"), [(PYTHON, 0, None), ("Someone Else", 0, "Someone Else")]
)
def test_file_is_verified_with_only_the_given_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, organisation: str, code: int, fault: str | None
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, code, tool_output(organisation), "")

    monkeypatch.setattr(signatures.subprocess, "run", run)
    roots, path = tmp_path / "roots.pem", tmp_path / "a.dll"
    path.write_bytes(b"MZ")
    result = signatures.check(path, roots, PYTHON)
    assert fault in result if fault else result is None
    ((program, *arguments),) = commands
    assert (program, arguments[0]) == ("osslsigncode", "verify")
    options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert options == {"-CAfile": str(roots), "-TSA-CAfile": str(roots), "-in": str(path)}


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (tool_output(PYTHON, has_time_stamp=False), ""),
        (tool_output("Someone Else", has_time_stamp=False), "Someone Else"),
        (tool_output(PYTHON, has_time_stamp=False, result="Failed"), "invalid"),
    ],
    ids=["signed", "other-signer", "invalid"],
)
def test_program_with_an_old_time_stamp_is_checked_at_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, fault: str
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, output, "")

    old, other = tmp_path / "old.dll", tmp_path / "other.dll"
    old.write_bytes(b"MZ old")
    other.write_bytes(b"MZ other")
    digest = hashlib.sha256(b"MZ old").hexdigest()
    monkeypatch.setattr(signatures, "OLD_TIME_STAMPS", {digest: 5})
    monkeypatch.setattr(signatures.subprocess, "run", run)
    result = signatures.check(old, tmp_path / "roots.pem", PYTHON)
    assert fault in result if fault else result is None
    # Without its exact content, the program needs a time stamp.
    assert signatures.check(other, tmp_path / "roots.pem", PYTHON)
    assert [command[command.index("-ignore-crl") :].count("-time") for command in commands] == [
        1,
        0,
    ]
    assert commands[0][commands[0].index("-time") + 1] == "5"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for programs. A fake osslsigncode prints the text of the checked file."""
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


def check_folder(folder: Path, program_list: str, *publishers: str) -> int:
    """Run the script for a folder and return its exit code."""
    path = folder.parent / "programs.txt"
    path.write_text(program_list, "utf-8")
    roots = folder.parent / "roots.pem"
    return int(signatures.main([str(roots), str(path), str(folder), *publishers]))


def test_folder_of_signed_programs_has_no_faults(folder: Path) -> None:
    (folder / "python.exe").write_text(f"MZ\n{tool_output(PYTHON)}", "utf-8")
    (folder / "vcruntime140.dll").write_text(f"MZ\n{tool_output(MICROSOFT)}", "utf-8")
    assert check_folder(folder, "python.exe\nvcruntime140.dll\n", "python", "microsoft") == 0


def test_all_faults_of_a_folder_are_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.dll").write_text(f"MZ\n{tool_output('Someone Else')}", "utf-8")
    (folder / "b.dll").write_text("MZ\n", "utf-8")
    (folder / "c.dll").write_text(f"MZ\n{tool_output(PYTHON)}", "utf-8")
    assert check_folder(folder, "a.dll b.dll gone.dll", "python") == 1
    faults = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert faults == ["gone.dll", "c.dll", "a.dll", "b.dll"]


def test_folder_without_programs_is_an_error(folder: Path) -> None:
    assert check_folder(folder, "", "python") == 1


@pytest.mark.parametrize(
    "recipe", ["windows-wine", "windows-wine-vcredist", "windows-wine-vcredist-old"]
)
def test_recipe_has_a_list_of_its_programs(recipe: str) -> None:
    names = (IMAGES / recipe / "programs.txt").read_text("utf-8").split()
    assert len(names) == len(set(names)) > 10
    assert [name for name in names if not name.endswith((".dll", ".exe", ".pyd"))] == []
