"""Find out who refused an upload: twine or the index.

A failed upload that neither of them refused says nothing about the package.
"""

from __future__ import annotations

import re

from verification.models.testbed import Upload

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LENGTH = 400


def refusal(upload: Upload) -> str:
    """Return who refused an upload and why; empty if neither did."""
    if not upload.code:
        return ""
    if reason := twine_refusal(upload.output):
        return f"twine refused the file before it was uploaded ({reason})"
    if upload.refusals:
        return f"the index refused the upload ({'; '.join(upload.refusals)[:_LENGTH]})"
    return ""


def failure(upload: Upload) -> str:
    """Return why an upload failed without a refusal; empty if it passed or was refused."""
    if not upload.code or refusal(upload):
        return ""
    reason = _last_record(upload.output) or "no output"
    return f"twine ended with {upload.code}, and the index refused nothing: {reason}"


def twine_refusal(output: str) -> str:
    """Return why twine refused a file before it was uploaded; empty if it did not."""
    record = _last_record(output)
    return record if record.startswith("InvalidDistribution") else ""


def _last_record(output: str) -> str:
    """Return the last error that twine reports, else its last lines, in one line."""
    lines = [" ".join(_COLOUR.sub("", line).split()) for line in output.splitlines()]
    lines = [line for line in lines if line]
    # twine breaks a long record into lines.
    starts = [number for number, line in enumerate(lines) if line.startswith("ERROR ")]
    text = " ".join(lines[starts[-1] :] if starts else lines[-3:])
    return text.removeprefix("ERROR ")[:_LENGTH]
