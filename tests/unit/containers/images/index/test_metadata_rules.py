"""Metadata fields that the index refuses, with the messages of the default index."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.index_front import (
    Front,
    metadata,
    sha256,
    wheel,
)

FAILS = "The description failed to render "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            metadata("inner", "1.0", classifier="Programming Language :: Klingon"),
            "'Programming Language :: Klingon' is not a valid classifier. See",
        ),
        (
            metadata("inner", "1.0", classifier="Private :: Do Not Upload"),
            "'Private :: Do Not Upload' is not a valid classifier.",
        ),
        (
            metadata("inner", "1.0", classifier="Natural Language :: Ukranian"),
            "The classifier 'Natural Language :: Ukranian' has been deprecated, use one of "
            "['Natural Language :: Ukrainian'] instead.",
        ),
        (
            metadata("inner", "1.0", project_url="Home, ftp://example.invalid/"),
            "'ftp://example.invalid/' is not a valid url.",
        ),
        (metadata("inner", "1.0", project_url="Home, none"), "'none' is not a valid url."),
        (metadata("inner", "1.0", project_url="Home"), "Must have a URL."),
        (metadata("inner", "1.0", project_url=", https://example.invalid/"), "Must have a label."),
        (
            metadata("inner", "1.0", project_url=f"{'x' * 33}, https://example.invalid/"),
            f"'{'x' * 33}' must be 32 characters or less.",
        ),
        (metadata("inner", "1.0", home_page="unknown"), "'unknown' is not a valid url."),
        (metadata("inner", "1.0", download_url="here"), "'here' is not a valid url."),
        (
            metadata("inner", "1.0", author_email="nobody"),
            "'nobody' is not a valid email address: ",
        ),
        (
            metadata("inner", "1.0", maintainer_email="Some One <one@example>"),
            "'one@example' is not a valid email address: ",
        ),
        (
            metadata("inner", "1.0", summary="x" * 513),
            "'summary' field must be 512 characters or less.",
        ),
        (metadata("inner", "1.0", summary="one\n        two"), "'summary' must be a single line."),
        (
            metadata("inner", "1.0", provides_dist="other @ https://example.invalid/"),
            "Can't have direct dependency: 'other @ https://example.invalid/'.",
        ),
        (metadata("inner", "1.0", obsoletes_dist="other ="), "'other =' is invalid: "),
        (
            metadata(
                "inner", "1.0", metadata_version="2.4", license="MIT", license_expression="MIT"
            ),
            "License is deprecated when License-Expression is present.",
        ),
        (
            metadata("inner", "1.0", description_content_type="text/html"),
            "'description-content-type' must be one of ",
        ),
        (
            metadata("inner", "1.0", description_content_type="text/x-rst") + "\n.. nowhere::\n",
            f"{FAILS}for 'text/x-rst'. See https://127.0.0.1/help/#description-content-type for",
        ),
        (
            metadata("inner", "1.0") + "\nA title\n=====\n",
            f"{FAILS}in the default format of reStructuredText. See ",
        ),
        (
            # The description contains only a comment.
            metadata("inner", "1.0", description_content_type="text/x-rst") + "\n.. hidden\n",
            f"{FAILS}for 'text/x-rst'.",
        ),
        (
            metadata("inner", "1.0", classifier="None", summary="x" * 513),
            "'None' is not a valid classifier.",
        ),
    ],
)
def test_metadata_that_the_default_index_refuses_is_refused_with_its_reason(
    front: Front, text: str, reason: str
) -> None:
    file = wheel("inner", "1.0", text=text)
    response = front.send_upload(file)
    assert response.status_code == 400
    assert reason in response.reason
    assert not (front.store / file[0]).exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"classifier": ["Programming Language :: Python :: 3.13", "Typing :: Typed"]},
        {"project_url": f"{'x' * 32}, https://example.invalid/a?b=c#d"},
        {"home_page": "http://example.invalid"},
        {"author_email": "Some One <one@example.com>"},
        # The default index does not check lists of addresses.
        {"author_email": "one@example.com, two"},
        {"summary": "x" * 512},
        {"description_content_type": "text/markdown; charset=UTF-8; variant=CommonMark"},
        {"description_content_type": "text/plain"},
        # setuptools wrote this field before a specification had it. The file may be missing.
        {"license_file": "LICENSE.txt"},
    ],
    ids=str,
)
def test_metadata_that_the_default_index_accepts_is_accepted(
    front: Front, fields: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"accepted-{sha256(request.node.name.encode())[:8]}"
    text = metadata(name, "1.0", **fields) + "\n# About\n\n`x`_ <b>\n"
    if "description_content_type" not in fields:
        text = metadata(name, "1.0", **fields) + "\nAbout\n=====\n\n*It works.*\n"
    response = front.send_upload(wheel(name, "1.0", text=text), name=name)
    assert (response.status_code, response.reason) == (200, "OK")
