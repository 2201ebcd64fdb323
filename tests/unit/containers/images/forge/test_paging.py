"""Pages of a list."""

from __future__ import annotations

import pytest

from tests.helpers.forge_server import Forge

API = "https://api.github.com/repos/quiver-owner/quiver2"


def test_links_lead_through_all_pages(forge: Forge) -> None:
    for number in range(5):
        forge.create(f"v1.{number}")
    tags = []
    url: str | None = f"{API}/releases?per_page=2"
    first = forge.send("GET", url or "")
    assert set(first.links) == {"next", "last"}
    assert first.links["last"]["url"].endswith("per_page=2&page=3")
    while url:
        page = forge.send("GET", url)
        tags += [release["tag_name"] for release in page.json()]
        url = page.links.get("next", {}).get("url")
    assert tags == [f"v1.{number}" for number in (4, 3, 2, 1, 0)]
    last = forge.send("GET", f"{API}/releases?per_page=2&page=3")
    assert set(last.links) == {"prev", "first"}
    assert "Link" not in forge.api("GET", "/releases").headers


@pytest.mark.parametrize("query", ["per_page=0", "per_page=-1", "page=x", "per_page=1e9", "page=²"])
def test_invalid_number_selects_the_first_page(forge: Forge, query: str) -> None:
    forge.create("v1.0")
    page = forge.api("GET", f"/releases?{query}")
    assert (page.status_code, len(page.json())) == (200, 1)


def test_page_after_the_last_one_is_empty(forge: Forge) -> None:
    page = forge.api("GET", "/releases?page=999999")
    assert (page.status_code, page.json()) == (200, [])
