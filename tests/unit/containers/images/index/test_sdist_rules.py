"""Source distributions and the answers of the live index."""

from __future__ import annotations

import pytest

from tests.helpers.index_front import Front, sdist
from tests.helpers.live_answers import (
    SDIST_ROWS,
    Row,
    assert_answered,
    tar_with,
)


@pytest.mark.parametrize("row", SDIST_ROWS, ids=lambda row: row.id)
def test_upload_is_answered_as_on_the_live_index(empty: Front, row: Row) -> None:
    assert_answered(empty, row)


def test_second_source_distribution_of_a_release_is_refused(front: Front) -> None:
    assert front.send_upload(sdist("double", "1.0")).status_code == 200
    other = tar_with({"double-1/PKG-INFO": b"", "double-1/x": b""})
    response = front.send_upload(("double-1.tar.gz", other), name="double", version="1")
    assert (response.status_code, response.reason) == (
        400,
        "Only one sdist may be uploaded per release.",
    )
