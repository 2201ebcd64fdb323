"""``./e2e bundle``: a report as one file that can be attached to a public issue."""

from __future__ import annotations

import argparse
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import zstandard

from verification.commands import common as session
from verification.commands import host_secrets
from verification.models.base import Model
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import EngineRecord, ImageRecord, Report
from verification.models.results import CellResult
from verification.models.verdict import Verdict
from verification.report import html, junit, results, verification_md
from verification.report.scrub import Scrubber
from verification.session import replay_inputs as inputs

_LEVEL = 15


def make(
    source: Path, report: Report, idents: Sequence[str], scrubber: Scrubber
) -> dict[str, bytes]:
    """Return the members of the bundle by name, scrubbed.

    Every form is written again from the scrubbed report, so that nothing is left in it in another
    spelling.

    Raises:
        WrongUse: the evidence cannot be read.
    """
    clean = Report.model_validate(scrubber.data(report.model_dump(mode="json", by_alias=True)))
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-") as scratch:
        folder = Path(scratch)
        for ident in idents:
            path = source / "evidence" / f"{ident}.json"
            if not path.exists():
                continue  # it did not run; results.json says why
            try:
                evidence = json.loads(path.read_text("utf-8"))
            except ValueError as error:
                raise WrongUse(f"{path}: it cannot be read: {error}") from None
            results.write_json(folder / "evidence" / path.name, scrubber.data(evidence))
        results.write(folder / results.NAME, clean)
        junit.write(folder / "junit.xml", clean)
        verification_md.write(folder / "VERIFICATION.md", clean)
        html.write(folder / "index.html", clean)
        results.write_model(folder / "versions.json", _versions(clean))
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def _absent(cells: Sequence[CellResult], members: dict[str, bytes]) -> list[str]:
    """Return the cells that ran and whose evidence is not among the members."""
    ran = [cell.id for cell in cells if cell.verdict is not Verdict.UNVERIFIED]
    return [ident for ident in ran if f"evidence/{ident}.json" not in members]


class Versions(Model):
    """What made the verdict, and what made the bundle."""

    form: int = 1
    suite: str
    bundled_by_suite: str
    bundled_by_python: str
    engine: EngineRecord | None
    images: Mapping[str, ImageRecord]
    locked: Mapping[str, str]
    subject: str
    version: str


def _versions(report: Report) -> Versions:
    return Versions(
        suite=report.inputs.suite if report.inputs else inputs.suite(),
        bundled_by_suite=inputs.suite(),
        bundled_by_python=platform.python_version(),
        engine=report.engine,
        images=report.images,
        locked=report.locked,
        subject=report.selection.subject,
        version=report.version,
    )


def pack(members: dict[str, bytes], top: str, moment: int) -> bytes:
    """Return a ``.tar.zst``: the same bytes for the same members."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(members.items()):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime, member.mode = len(content), moment, 0o644
            tar.addfile(member, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(raw.getvalue())


def run(asked: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    source, report = session.load(asked.report)
    cells = session.chosen(report, asked.cell)
    top = f"{report.selection.subject}-{report.version or 'unknown'}-{report.verdict}"
    output = session.folder(asked.output or f"{top}.tar.zst")
    assert output is not None
    members = make(source, report, [cell.id for cell in cells], host_secrets.scrubber())
    moment = int(datetime.fromisoformat(report.started).timestamp())
    content = pack(members, top, moment)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise WrongUse(f"-o {output}: it cannot be written: {error.strerror}") from None
    print(f"{output}: {len(members)} files, {len(content) / 1000:.0f} kB")
    for name in members:
        print(f"  {name}")
    if absent := _absent(cells, members):
        print(f"missing: the evidence of {', '.join(absent)}: the report's folder no longer has it")
    print("Secrets, host names and paths that are known are taken out; read it all the same.")
    return ExitCode.VERIFIED
