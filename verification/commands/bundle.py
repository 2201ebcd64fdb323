"""``./e2e bundle``: a report as one file that can be attached to a public issue."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import zstandard

from verification.commands import common as session
from verification.models.errors import ExitCode, Parser, WrongUse
from verification.report import html as page
from verification.report import results, scrub
from verification.report import verification_md as verification
from verification.report.scrub import Scrubber
from verification.session import replay_inputs as inputs

_LEVEL = 15


def make(
    place: Path, told: dict[str, Any], idents: Sequence[str], scrubber: Scrubber
) -> dict[str, bytes]:
    """Return the members of the bundle by name, scrubbed.

    The page and VERIFICATION.md are made anew from what is scrubbed, so that nothing hides in
    another spelling of it.

    Raises:
        WrongUse: the evidence cannot be read.
    """
    clean = scrubber.data(told)
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-") as scratch:
        folder = Path(scratch)
        results.write_json(folder / "results.json", clean)
        for ident in idents:
            path = place / "evidence" / f"{ident}.json"
            if not path.exists():
                continue  # it did not run; results.json says why
            try:
                evidence = json.loads(path.read_text("utf-8"))
            except ValueError as error:
                raise WrongUse(f"{path}: it cannot be read: {error}") from None
            results.write_json(folder / "evidence" / path.name, scrubber.data(evidence))
        text = verification.render(clean)
        (folder / "VERIFICATION.md").write_text(text, "utf-8", "backslashreplace")
        page.write(folder / "index.html", clean)
        _junit(place / "junit.xml", folder / "junit.xml", scrubber)
        results.write_json(folder / "versions.json", _versions(clean))
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def _absent(cells: Sequence[dict[str, Any]], members: dict[str, bytes]) -> list[str]:
    """Return the cells that ran and whose evidence is not among the members."""
    ran = [cell["id"] for cell in cells if cell["verdict"] != "unverified"]
    return [ident for ident in ran if f"evidence/{ident}.json" not in members]


def _junit(path: Path, into: Path, scrubber: Scrubber) -> None:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314  (the run's own file)
    except (FileNotFoundError, ElementTree.ParseError):
        return  # an interrupted run, or a reproduction, need not have one
    for element in root.iter():
        element.text = scrubber.text(element.text) if element.text else element.text
        element.attrib.pop("hostname", None)
        for key, value in element.attrib.items():
            element.attrib[key] = scrubber.text(value)
    ElementTree.ElementTree(root).write(into, "utf-8", xml_declaration=True)


def _versions(told: dict[str, Any]) -> dict[str, Any]:
    """Return what made the verdict, and what made the bundle."""
    recorded = told.get("inputs", {}).get("suite", "")
    return {
        "form": 1,
        "suite": recorded or inputs.suite(),
        "bundled_by": {"suite": inputs.suite(), "python": platform.python_version()},
        "engine": told.get("engine", {}),
        "images": told.get("images", {}),
        "locked": told.get("locked", {}),
        "quiverdb": told.get("version", ""),
    }


def pack(members: dict[str, bytes], top: str, moment: int) -> bytes:
    """Return a ``.tar.zst``: the same bytes for the same members."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(members.items()):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime, member.mode = len(content), moment, 0o644
            tar.addfile(member, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(raw.getvalue())


def run(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="./e2e bundle",
        description="Pack a report into one .tar.zst that can be attached to a public issue: "
        "results.json, the evidence of the cells, the readable forms and the versions, without "
        "secrets, host names and paths of this machine. Read it before you publish it.",
    )
    parser.add_argument("cell", nargs="*", help="whose evidence (default: every cell's)")
    session.add_report(parser)
    parser.add_argument("-o", dest="output", metavar="FILE.tar.zst", help="where it goes")
    asked = parser.parse_args(arguments)
    place, told = session.load(asked.report)
    cells = session.chosen(told, asked.cell)
    top = f"quiverdb-{told.get('version', 'unknown')}-{told['verdict']}"
    output = session.folder(asked.output or f"{top}.tar.zst")
    assert output is not None
    members = make(place, told, [cell["id"] for cell in cells], scrub.of_host())
    try:
        moment = int(datetime.fromisoformat(told.get("started", "")).timestamp())
    except ValueError:
        moment = 0
    content = pack(members, top, moment)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise WrongUse(f"-o {output}: it cannot be written: {error.strerror}") from None
    print(f"{output}: {len(members)} files, {len(content) / 1000:.0f} kB")
    for name in members:
        print(f"  {name}")
    if absent := _absent(cells, members):
        print(f"missing: the evidence of {', '.join(absent)}: the report's folder has it no more")
    print("Secrets, host names and paths that are known are taken out; read it all the same.")
    return ExitCode.VERIFIED


def main() -> int:
    """Run ``./e2e bundle``."""
    return session.finish(run)


if __name__ == "__main__":
    sys.exit(main())
