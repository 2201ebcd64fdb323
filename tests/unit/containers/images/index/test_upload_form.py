"""The form of an upload, with the answers of the live index."""

from __future__ import annotations

import pytest

from tests.helpers.index_front import PASSWORD, Front, upload_form, wheel
from tests.helpers.live_answers import (
    FORM_ROWS,
    Row,
    assert_answered,
)


@pytest.mark.parametrize("row", FORM_ROWS, ids=lambda row: row.id)
def test_upload_is_answered_as_on_the_live_index(empty: Front, row: Row) -> None:
    assert_answered(empty, row)


def test_file_with_an_empty_content_type_is_refused(front: Front) -> None:
    filename, content = wheel("untyped", "1.0")
    parts = [
        *(
            f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
            for name, value in upload_form(filename, content).items()
            if value
        ),
        b'Content-Disposition: form-data; name="content"; filename="%b"\r\nContent-Type: \r\n\r\n%b'
        % (filename.encode(), content),
    ]
    body = b"".join(b"--b\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"
    response = front.shared_session.post(
        f"{front.upload}/legacy/",
        data=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        auth=("__token__", PASSWORD),
        timeout=30,
    )
    assert (response.status_code, response.reason) == (400, "Invalid distribution file.")


def test_text_field_that_is_a_file_is_refused(front: Front) -> None:
    filename, content = wheel("tuple", "1.0")
    response = front.shared_session.post(
        f"{front.upload}/legacy/",
        data=upload_form(filename, content),
        files={"content": (filename, content), "summary": ("summary.txt", b"text")},
        auth=("__token__", PASSWORD),
        timeout=30,
    )
    assert (response.status_code, response.reason) == (400, "summary: Should not be a tuple.")


def test_upload_without_a_file_is_refused(front: Front) -> None:
    response = front.send_upload(
        None,
        name="absent",
        version="1.0",
        sha256_digest="0" * 64,
        filetype="sdist",
        pyversion="source",
    )
    assert response.status_code == 400
    assert response.reason == "Upload payload does not have a file."


def test_values_unknown_are_left_out(front: Front) -> None:
    file = wheel("unknowns", "1.0")
    assert front.send_upload(file, home_page="UNKNOWN", license=" UNKNOWN ").status_code == 200
