"""Lists in pages."""

from __future__ import annotations

import pytest

from tests.helpers.forge_server import Forge

API = "https://api.github.com/repos/quiver-owner/quiver2"


def test_pages_are_linked_as_clients_follow_them(forge: Forge) -> None:
    for number in range(5):
        forge.create(f"v1.{number}")
    seen = []
    url: str | None = f"{API}/releases?per_page=2"
    first = forge.send("GET", url or "")
    assert set(first.links) == {"next", "last"}
    assert first.links["last"]["url"].endswith("per_page=2&page=3")
    while url:
        shown = forge.send("GET", url)
        seen += [one["tag_name"] for one in shown.json()]
        url = shown.links.get("next", {}).get("url")
    assert seen == [f"v1.{number}" for number in (4, 3, 2, 1, 0)]
    last = forge.send("GET", f"{API}/releases?per_page=2&page=3")
    assert set(last.links) == {"prev", "first"}
    assert "Link" not in forge.api("GET", "/releases").headers


@pytest.mark.parametrize("query", ["per_page=0", "per_page=-1", "page=x", "per_page=1e9", "page=²"])
def test_a_page_that_is_no_number_is_the_first(forge: Forge, query: str) -> None:
    forge.create("v1.0")
    shown = forge.api("GET", f"/releases?{query}")
    assert (shown.status_code, len(shown.json())) == (200, 1)


def test_a_page_beyond_the_end_is_empty(forge: Forge) -> None:
    shown = forge.api("GET", "/releases?page=999999")
    assert (shown.status_code, shown.json()) == (200, [])
