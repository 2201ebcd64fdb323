"""The pictures of the documents are those that `tests.helpers.pictures` makes."""

from __future__ import annotations

import struct

import pytest

from tests.helpers import pictures


@pytest.mark.parametrize("name", pictures.VIEWS)
def test_picture_has_the_size_of_its_view(name: str) -> None:
    picture, view = (pictures.DOCS / name).read_bytes(), pictures.VIEWS[name]

    assert len(picture) <= pictures.MAX_BYTES
    width, height = struct.unpack(">II", picture[16:24])  # the first chunk, IHDR
    assert (width, height) == (view.width * view.scale, view.height * view.scale)
