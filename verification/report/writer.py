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
from verification.report.folder import MARK, FolderState, unusable

_FORMS: dict[str, Callable[[Path, Report], None]] = {
    "junit.xml": junit.write,
    "VERIFICATION.md": verification_md.write,
    "index.html": html.write,
}
FILES = (results_json.NAME, *_FORMS)
"""The names of the forms in the report's folder."""


def begin(folder: Path, report: Report) -> FolderState:
    """Replace an earlier report by `report`, which says that its run did not finish.

    Returns the earlier state of the folder, to restore it if the run turns out to be wrong use.

    Raises:
        WrongUse: the folder cannot be written to.
    """
    try:
        before = FolderState.read(folder, (*FILES, MARK))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        write(folder, report)
    except OSError as error:
        raise unusable(folder, error) from None
    return before


@contextlib.contextmanager
def begin_or_restore(folder: Path, report: Report) -> Iterator[None]:
    """Begin a report; restore the folder if the run turns out to be wrong use.

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
    """Write every form into ``folder``; return a remark on each that could not be written.

    ``results.json`` comes first, so that it exists even if another form fails. Each form is
    written completely or not at all. The report of a run that finished and was not interrupted is
    added to ``history``, if there is one.

    Raises:
        OSError: not even ``results.json`` can be written.
    """
    results_json.write(folder / results_json.NAME, report)
    remarks = []
    for name, form in _FORMS.items():
        try:
            _write_form(folder / name, form, report)
        except OSError as error:
            remarks.append(f"not written: {folder / name}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  (a form's own fault must not take the verdict)
            remarks.append(f"not written, a fault of the suite: {folder / name}: {error!r}")
    if not report.finished:
        return tuple(remarks)
    remarks += github.announce(report, folder)
    if history and not report.interrupted:
        try:
            history.record(report)
        except HistoryError as error:
            remarks.append(f"not kept for ./e2e compare: {error}")
    return tuple(remarks)


def _write_form(path: Path, form: Callable[[Path, Report], None], report: Report) -> None:
    """Write one form. If that fails, also remove the file: it is of the unfinished run."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        form(partial, report)
        partial.replace(path)
    except BaseException:
        for file in (partial, path):
            with contextlib.suppress(OSError):
                file.unlink()
        raise
