"""Wheels and the answers of the live index. The inspection gives the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.index_front import Front, wheel
from tests.helpers.live_answers import (
    ARCHIVE_ROWS,
    FOLDER,
    NAME_ROWS,
    Row,
    assert_answered,
    members,
    packed,
    send,
    without_page,
)
from verification.wheel import upload
from verification.wheel.archive import open_wheel
from verification.wheel.errors import BadWheel


@pytest.mark.parametrize("row", [*NAME_ROWS, *ARCHIVE_ROWS], ids=lambda row: row.id)
def test_upload_is_answered_as_on_the_live_index(empty: Front, row: Row) -> None:
    assert_answered(empty, row)


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in (*NAME_ROWS, *ARCHIVE_ROWS)
        # These rows have a form that METADATA contradicts.
        if row.id not in {"METADATA of another version", "damaged METADATA"}
    ],
    ids=lambda row: row.id,
)
def test_inspection_and_index_give_the_same_answer(empty: Front, tmp_path: Path, row: Row) -> None:
    path = tmp_path / row.filename
    path.write_bytes(wheel("rows", "1.0")[1] if row.content is None else row.content)
    response = send(empty, row)
    try:
        reasons = [cause.facts["reason"] for cause in upload.causes(open_wheel(path))]
    except BadWheel:
        assert response.status_code == 400
        return
    answer = [] if response.ok else [without_page(response.reason)]
    assert reasons == answer


@pytest.mark.parametrize(
    ("content", "mails"),
    [
        (packed(members(RECORD=b"more,,\n")), ["wheel-record-mismatch"]),
        (packed(members()), None),
        (packed({**members(), f"{FOLDER}/RECORD.jws": b""}), None),
    ],
    ids=["differs", "equal", "signature"],
)
def test_mail_about_record_is_logged(empty: Front, content: bytes, mails: list[str] | None) -> None:
    assert send(empty, Row("mail", content=content)).status_code == 200
    uploads = [line["upload"] for line in empty.lines(status=200) if "upload" in line]
    assert uploads[-1].get("mails") == mails
