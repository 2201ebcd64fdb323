"""``./e2e bundle``: write a report as one file that can be attached to a public issue."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shlex
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
_ROOT = Path(__file__).parents[2]
_PATH_OPTIONS = {
    *("source", "wheels", "subject_file", "tests", "actions_from", "published_by", "repository"),
}
"""The fields of `RunSelection` that are paths on the user's machine."""


def bundle_files(
    source: Path, report: Report, cells: Sequence[CellResult], scrubber: Scrubber
) -> dict[str, bytes]:
    """Return the scrubbed files of the bundle by name, with the evidence of `cells`.

    All formats of the report are written from the scrubbed data, because the existing files may
    contain a secret in another encoding.

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
                continue  # the cell did not run; results.json has the reason
            try:
                evidence = json.loads(path.read_text("utf-8"))
            except (ValueError, RecursionError) as error:
                raise WrongUse(f"{path}: this evidence is not valid JSON: {error}") from None
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


def user_paths(report: Report) -> dict[str, str]:
    """Return the paths that the user gave to the run, with their replacements.

    A path in the checkout is not among them.
    """
    selection = report.selection.model_dump(include=_PATH_OPTIONS, exclude_none=True)
    paths = {
        str(form): f"[{name.replace('_', '-')}]"
        for name, path in selection.items()
        for form in (path, os.path.normpath(path), Path(path).resolve())
    }
    for word in shlex.split(report.command)[1:]:
        value = word.partition("=")[2] if word.startswith("--") else word
        if "/" in value and "://" not in value:
            paths.setdefault(value, "[path]")
    return {
        path: name
        for path, name in paths.items()
        if not path.startswith(f"{_ROOT}/") and Path(path).name
    }


def _with_evidence(report: Report, digests: Mapping[str, str]) -> Report:
    """Return the report with the digests of the scrubbed evidence. Their keys are cell ids."""
    cells = tuple(
        cell.model_copy(update={"evidence": digests.get(cell.id, "")}) for cell in report.cells
    )
    return report.model_copy(update={"cells": cells})


def _without_evidence(cells: Sequence[CellResult], folder: Path) -> list[str]:
    """Return the ids of the cells that ran and have no evidence in the folder of the report."""
    executed = [cell for cell in cells if cell.verdict is not Verdict.UNVERIFIED]
    return [c.id for c in executed if not (folder / EVIDENCE / f"{c.evidence}.json").exists()]


class Versions(Model):
    """The versions of everything that produced the verdict and the bundle."""

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


def pack(files: Mapping[str, bytes], folder: str, mtime: int) -> bytes:
    """Return a ``.tar.zst`` with these files in a folder. Equal arguments give equal bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = len(content), mtime, 0o644
            tar.addfile(member, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(raw.getvalue())


def run(options: argparse.Namespace) -> int:
    """Write the bundle and return the exit code."""
    folder, report = common.read_report(options.report)
    cells = common.cells_of(report, options.cell)
    name = f"{report.selection.subject}-{report.version or 'unknown'}-{report.verdict}"
    output = user_path(options.output or f"{name}.tar.zst")
    scrubber = host_secrets.scrubber(paths=user_paths(report))
    files = bundle_files(folder, report, cells, scrubber)
    started_at = int(datetime.fromisoformat(report.started).timestamp())
    content = pack(files, name, started_at)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise WrongUse(f"-o {output}: this file cannot be written: {error.strerror}") from None
    print(f"{output}: {len(files)} files, {len(content) / 1000:.0f} kB")
    for path in files:
        print(f"  {path}")
    if missing := _without_evidence(cells, folder):
        print(f"missing: the report's folder has no evidence of {', '.join(missing)}")
    print("Known secrets, host names and paths are removed. Read the bundle before you publish it.")
    return ExitCode.VERIFIED
