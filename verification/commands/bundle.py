"""``./e2e bundle``: write a report as one file that can be attached to a public issue."""

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

from verification.commands import common, host_secrets
from verification.models.base import Model
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import EngineRecord, Report
from verification.models.results import CellResult
from verification.models.testbed import ImageRecord
from verification.models.verdict import Verdict
from verification.report import html, junit, results_json, verification_md
from verification.report.scrub import Scrubber
from verification.session import replay_inputs
from verification.session.session import EVIDENCE
from verification.session.user_files import user_path

_LEVEL = 15


def bundle_files(
    source: Path, report: Report, cells: Sequence[CellResult], scrubber: Scrubber
) -> dict[str, bytes]:
    """Return the members of the bundle by name, scrubbed, with the evidence of `cells`.

    Every form is written again from the scrubbed report, so that nothing is left in it in another
    spelling.

    Raises:
        WrongUse: the evidence cannot be read.
    """
    clean = Report.model_validate(scrubber.data(report.model_dump(mode="json", by_alias=True)))
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-") as scratch:
        folder = Path(scratch)
        digests: dict[str, str] = {}
        for cell in cells:
            path = source / EVIDENCE / f"{cell.evidence}.json"
            if not path.exists():
                continue  # it did not run; results.json says why
            try:
                evidence = json.loads(path.read_text("utf-8"))
            except ValueError as error:
                raise WrongUse(f"{path}: it cannot be read: {error}") from None
            text = json.dumps(scrubber.data(evidence), ensure_ascii=False)
            digests[cell.id] = results_json.write_by_content(folder / EVIDENCE, text)
        clean = _with_evidence(clean, digests)
        results_json.write(folder / results_json.NAME, clean)
        junit.write(folder / "junit.xml", clean)
        verification_md.write(folder / "VERIFICATION.md", clean)
        html.write(folder / "index.html", clean)
        results_json.write_model(folder / "versions.json", _versions(clean))
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def _with_evidence(report: Report, digests: Mapping[str, str]) -> Report:
    """Return the report with the names of the scrubbed evidence."""
    cells = tuple(
        cell.model_copy(update={"evidence": digests.get(cell.id, "")}) for cell in report.cells
    )
    return report.model_copy(update={"cells": cells})


def _absent(cells: Sequence[CellResult], folder: Path) -> list[str]:
    """Return the cells that ran and whose evidence is not in the folder of the report."""
    ran = [cell for cell in cells if cell.verdict is not Verdict.UNVERIFIED]
    return [c.id for c in ran if not (folder / EVIDENCE / f"{c.evidence}.json").exists()]


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
        suite=report.inputs.suite if report.inputs else replay_inputs.suite_hash(),
        bundled_by_suite=replay_inputs.suite_hash(),
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


def run(options: argparse.Namespace) -> int:
    """Pack the report; return the exit code."""
    folder, report = common.read_report(options.report)
    cells = common.cells_of(report, options.cell)
    top = f"{report.selection.subject}-{report.version or 'unknown'}-{report.verdict}"
    output = user_path(options.output or f"{top}.tar.zst")
    members = bundle_files(folder, report, cells, host_secrets.scrubber())
    moment = int(datetime.fromisoformat(report.started).timestamp())
    content = pack(members, top, moment)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise WrongUse(f"-o {output}: it cannot be written: {error.strerror}") from None
    print(f"{output}: {len(members)} files, {len(content) / 1000:.0f} kB")
    for name in members:
        print(f"  {name}")
    if absent := _absent(cells, folder):
        print(f"missing: the evidence of {', '.join(absent)}: the report's folder no longer has it")
    print("Secrets, host names and paths that are known are taken out; read it all the same.")
    return ExitCode.VERIFIED
