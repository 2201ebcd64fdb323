"""The metadata in the form of an upload, with the answers of the live index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.index_front import Front
from tests.helpers.live_answers import (
    METADATA_ROWS,
    NAME,
    Row,
    assert_answered,
    members,
    packed,
    send,
    without_page,
)
from verification.models.cause import Severity
from verification.wheel import upload
from verification.wheel.archive import open_wheel


@pytest.mark.parametrize("row", METADATA_ROWS, ids=lambda row: row.id)
def test_upload_is_answered_as_on_the_live_index(empty: Front, row: Row) -> None:
    assert_answered(empty, row)


@pytest.mark.parametrize(
    "row",
    # No client sends a field twice.
    [row for row in METADATA_ROWS if not row.answer.count("has invalid data")],
    ids=lambda row: row.id,
)
def test_inspection_and_index_refuse_the_same_metadata(
    empty: Front, tmp_path: Path, row: Row
) -> None:
    raw = {"metadata_version": "2.1", "name": "rows", "version": "1.0", **row.changes}
    titles = {"classifiers": "Classifier", "project_urls": "Project-URL"}
    description = raw.pop("description", "")
    lines = [
        f"{titles.get(key, key.replace('_', '-').title())}: {value}\n"
        for key, values in raw.items()
        for value in ([values] if isinstance(values, str) else values)
        if value
    ]
    text = "".join(lines).replace("one\ntwo", "one\n        two") + f"\n{description}"
    path = tmp_path / NAME
    path.write_bytes(packed(members(METADATA=text.encode())))
    (cause,) = upload.causes(open_wheel(path))
    assert (cause.name, cause.severity) == ("upload-refused", Severity.BROKEN)
    answer = without_page(send(empty, row).reason).rstrip(".")
    reason = str(cause.facts["reason"]).rstrip(".")
    # A list of allowed values has no fixed order.
    assert reason.partition("[")[0] == answer.partition("[")[0]
