"""``./e2e merge``: make one report from the reports of the shards of a run."""

from __future__ import annotations

import argparse
import shutil
import sys

from containers.state import default_folder
from verification import suite
from verification.commands import common
from verification.history.comparison import changes_since
from verification.models.errors import WrongUse
from verification.models.verdict import EXIT_CODES
from verification.report import folder, terminal, writer
from verification.session import merge, reporting
from verification.session.user_files import history_to_write, user_path


def run(options: argparse.Namespace) -> int:
    """Merge the reports, write and print the merged one, and return its exit code.

    Raises:
        WrongUse: a report cannot be used, or the report of the merge cannot be written.
    """
    target = common.path_of(options.report) or default_folder(common.ROOT, "report")
    sources = [user_path(name) for name in options.shards]
    if target.resolve() in [source.resolve() for source in sources]:
        raise WrongUse(f"--report {target}: this folder has a report to merge; name another one")
    report, shards = merge.merge(sources)
    folder.check(target)
    report = report.model_copy(update={"command": suite.command_line()})
    history = history_to_write()
    if history and not report.interrupted:
        report = report.model_copy(update={"changes": changes_since(history, report)})
    try:
        merge.copy_evidence(shards, target)
        write_errors = writer.write(target, report, history=history)
    except OSError as error:
        raise folder.unusable(target, error) from None
    text = terminal.render(
        report,
        (*reporting.remarks(None, report), *write_errors),
        page=target / writer.PAGE,
        width=shutil.get_terminal_size().columns,
        colour=terminal.uses_colour(sys.stdout),
    )
    sys.stdout.write(text)
    return EXIT_CODES[report.verdict]
