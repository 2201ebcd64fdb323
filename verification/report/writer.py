"""Write all formats of the report from one `Report`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from verification.history.store import History, HistoryError
from verification.models.base import DataError
from verification.models.errors import WrongUse
from verification.models.report import Report
from verification.report import github, html, junit, results_json, verification_md
from verification.report.folder import REPORT_MARKER, FolderState, unusable

PAGE = "index.html"
"""The file name of the page for people."""
_FORMATS: dict[str, Callable[[Path, Report], None]] = {
    "junit.xml": junit.write,
    "VERIFICATION.md": verification_md.write,
    PAGE: html.write,
}
FILES = (results_json.NAME, *_FORMATS)
"""The file names of all formats in the report's folder."""


def begin(folder: Path, report: Report) -> FolderState:
    """Replace an earlier report by `report`, the report of a run that did not finish.

    Returns the earlier state of the folder. The caller restores it after wrong use.

    Raises:
        WrongUse: the folder cannot be written to.
    """
    try:
        before = FolderState.read(folder, (*FILES, REPORT_MARKER))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT_MARKER).touch()
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        write(folder, report)
    except OSError as error:
        raise unusable(folder, error) from None
    return before


@contextlib.contextmanager
def begin_or_restore(folder: Path, report: Report) -> Iterator[None]:
    """Begin a report, and restore the folder if the run ends with wrong use.

    Raises:
        WrongUse: the folder cannot be written to.
    """
    before = begin(folder, report)
    try:
        yield
    except (WrongUse, DataError):
        before.restore()
        raise


def write(folder: Path, report: Report, *, history: History | None = None) -> tuple[str, ...]:
    """Write all formats into ``folder``. Return one remark for each that could not be written.

    ``results.json`` comes first, so that it exists even if another format fails. Each file is
    written completely or not at all. The report of a run that finished and was not interrupted is
    added to ``history``, if it is given.

    Raises:
        OSError: ``results.json`` cannot be written.
    """
    results_json.write(folder / results_json.NAME, report)
    remarks = []
    for name, write_format in _FORMATS.items():
        try:
            _write_file(folder / name, write_format, report)
        except OSError as error:
            remarks.append(f"not written: {folder / name}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  (one format's defect must not hide the verdict)
            remarks.append(
                f"not written because of a defect of the suite: {folder / name}: {error!r}"
            )
    if not report.finished:
        return tuple(remarks)
    remarks += github.announce(report, folder)
    if history and not report.interrupted:
        try:
            history.record(report)
        except HistoryError as error:
            remarks.append(f"not recorded for ./e2e compare: {error}")
    return tuple(remarks)


def _write_file(path: Path, write_format: Callable[[Path, Report], None], report: Report) -> None:
    """Write one format. If that fails, remove the file, which says that the run did not finish."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        write_format(partial, report)
        partial.replace(path)
    except BaseException:
        for file in (partial, path):
            with contextlib.suppress(OSError):
                file.unlink()
        raise
