"""Write all formats of the report from one `Report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from verification.history.store import History, HistoryError
from verification.models.report import Report
from verification.report import github, html, junit, results_json, verification_md

_FORMS: dict[str, Callable[[Path, Report], None]] = {
    "junit.xml": junit.write,
    "VERIFICATION.md": verification_md.write,
    "index.html": html.write,
}
FILES = (results_json.NAME, *_FORMS)
"""The names of the forms in the report's folder."""


def remove(folder: Path) -> None:
    """Remove the forms that an earlier run left: what this run does not write is not there."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, report: Report, *, history: History | None = None) -> tuple[str, ...]:
    """Write every form into ``folder``; return a remark on each that could not be written.

    ``results.json`` comes first, so that it is there whatever becomes of the others. A report that
    was not interrupted is added to ``history``, if there is one.

    Raises:
        OSError: not even ``results.json`` can be written.
    """
    results_json.write(folder / results_json.NAME, report)
    remarks = []
    for name, form in _FORMS.items():
        try:
            form(folder / name, report)
        except OSError as error:
            remarks.append(f"not written: {folder / name}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  (a form's own fault must not take the verdict)
            remarks.append(f"not written, a fault of the suite: {folder / name}: {error!r}")
    remarks += github.announce(report, folder)
    if history and not report.interrupted:
        try:
            history.record(report)
        except HistoryError as error:
            remarks.append(f"not kept for ./e2e compare: {error}")
    return tuple(remarks)
