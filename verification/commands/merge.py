"""``./e2e merge``: make one report from the reports of the shards of a run."""

from __future__ import annotations

import argparse
import sys

from containers.state import default_folder
from verification import suite
from verification.commands import common
from verification.models.errors import WrongUse
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import folder, terminal, writer
from verification.session import merge, reporting
from verification.session.user_files import user_path


def run(options: argparse.Namespace) -> int:
    """Merge the reports, write and print the merged one, and return its exit code.

    Raises:
        WrongUse: a report cannot be used, or the report of the merge cannot be written.
    """
    target = common.path_of(options.report) or default_folder(common.ROOT, "report")
    sources = [user_path(name) for name in options.shards]
    if any(folder.would_remove(target, source) for source in sources):
        raise WrongUse(f"--report {target}: this folder has a report to merge; name another one")
    report, shards = merge.merge(sources)
    folder.check(target)
    report = report.model_copy(update={"command": suite.command_line()})
    # A merge that is killed leaves no old verdict, and no verdict without its evidence.
    unfinished = {"finished": False, "verdict": Verdict.UNVERIFIED, "items": (), "cells": ()}
    writer.begin(target, report.model_copy(update=unfinished))
    try:
        folder.clear(target)
        merge.copy_evidence(shards, target)
        report, write_errors = reporting.write(target, report)
    except OSError as error:
        raise folder.unusable(target, error) from None
    remarks = (*reporting.remarks(None, report), *write_errors)
    sys.stdout.write(terminal.for_stdout(report, remarks, target))
    return EXIT_CODES[report.verdict]
