"""Use a report's page in Chromium as a reader does, and print the observations as JSON.

Runs in the image ``browser``, without a network. The first argument is the page. The option
``without-axe`` leaves out axe, which takes minutes for a large page. The option ``one-view`` uses
only the first width and the first colour scheme. The option ``views-only`` leaves out what only the
page of a run has: cells and their search.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_SHOWN_CELLS = (
    "[...document.querySelectorAll('details.cell')].filter(c => !c.hidden).map(c => c.id)"
)
_FOCUSED_ID = """(() => {
  const e = document.activeElement; return e.id || (e.parentElement && e.parentElement.id) || '';
})()"""
_FILTER_TIME = """text => {
  const search = document.getElementById('search');
  const began = performance.now();
  search.value = text;
  search.dispatchEvent(new Event('input'));
  document.body.getBoundingClientRect();
  return performance.now() - began;
}"""
_LOAD_TIME = """(() => {
  document.body.getBoundingClientRect();
  return performance.getEntriesByType('navigation')[0].duration;
})()"""


def inspect_page(
    browser: Browser, address: str, folder: Path, *, axe: bool, views: int | None = None
) -> dict[str, Any]:
    """Open the page in each view and use it. Return the observations by kind.

    A view is one width and one colour scheme. ``views`` limits the number of views.
    """
    console: list[str] = []
    requests: list[str] = []
    observed: dict[str, Any] = {"console": console, "requests": requests, "axe": {}, "width": {}}
    for width, scheme in list(itertools.product(WIDTHS, SCHEMES))[:views]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda m: console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: console.append(f"error: {e}"))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(address)
        page.screenshot(path=folder / f"{width}-{scheme}.png")
        observed["axe"][f"{width} {scheme}"] = _axe(page) if axe else "left out"
        observed["width"][str(width)] = page.evaluate("document.documentElement.scrollWidth")
        page.close()
    if "views-only" in sys.argv:
        return observed
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda m: console.append(f"{m.type}: {m.text}"))
    page.goto(address)
    observed["milliseconds"] = {
        "load": page.evaluate(_LOAD_TIME),
        "filter": page.evaluate(_FILTER_TIME, "windows"),
        "clear filter": page.evaluate(_FILTER_TIME, ""),
    }
    return observed | _content(page) | {"keyboard": _keyboard(page)} | _print(page)


def _axe(page: Page) -> list[str]:
    """Return the violations that axe reports, with all `details` elements closed and then open."""
    violations = []
    for opened in (False, True):
        if opened:
            page.evaluate(
                "[...document.querySelectorAll('details')].slice(0, 60).forEach(d => d.open = true)"
            )
        for rule in Axe().run(page).response["violations"]:
            nodes = [node["html"][:120] for node in rule["nodes"][:3]]
            violations.append(f"{rule['id']}: {rule['help']}: {nodes}")
    return violations


def _content(page: Page) -> dict[str, Any]:
    return {
        "title": page.title(),
        "heading": page.inner_text("h1"),
        "sections": page.evaluate("[...document.querySelectorAll('h2')].map(h => h.innerText)"),
        "cells": page.evaluate(_SHOWN_CELLS),
        "tiles": page.evaluate(
            "[...document.querySelectorAll('.tile')].map(t => [t.ariaLabel, t.innerText])"
        ),
        "text": page.evaluate("document.body.textContent"),
        "embedded elements": page.evaluate(
            "document.querySelectorAll('img, iframe, object, embed, link, form').length"
        ),
        "scripts": page.evaluate("document.scripts.length"),
        "planted": page.evaluate("typeof window.planted"),
    }


def _keyboard(page: Page) -> dict[str, Any]:
    observed: dict[str, Any] = {}
    press = page.keyboard.press
    press("/")
    observed["focus after slash"] = page.evaluate(_FOCUSED_ID)
    page.keyboard.type("UV windows")
    observed["cells after search"] = page.evaluate(_SHOWN_CELLS)
    observed["count after search"] = page.inner_text("#count")
    press("Enter")
    observed["focus after enter"] = page.evaluate(_FOCUSED_ID)
    press("Enter")
    observed["open cells"] = page.evaluate(
        "[...document.querySelectorAll('details.cell[open]')].map(c=>c.id)"
    )
    page.locator("details.cell[open] h3").first.wait_for()  # a large page unpacks the details
    observed["open details"] = page.locator("details.cell[open]").first.inner_text()
    press("Escape")
    observed["cells after escape"] = page.evaluate(_SHOWN_CELLS)
    press("f")
    observed["cells after f"] = page.evaluate(_SHOWN_CELLS)
    observed["pressed filters"] = page.evaluate(
        "[...document.querySelectorAll('button[aria-pressed=true]')].map(b=>b.dataset.outcome)"
    )
    press("f")
    more = page.locator("#more")
    if more.count() and more.is_visible():
        more.click()
        observed["cells after more"] = len(page.evaluate(_SHOWN_CELLS))
        press("Escape")
    press("j")
    observed["focus after j"] = page.evaluate(_FOCUSED_ID)
    press("j")
    observed["focus after second j"] = page.evaluate(_FOCUSED_ID)
    press("k")
    observed["focus after k"] = page.evaluate(_FOCUSED_ID)
    page.keyboard.type("//nothing has this")
    observed["count without match"] = page.inner_text("#count")
    tile = page.locator(".tile").first
    tile.focus()
    press("Enter")
    # wait_for_function evaluates a string, and the policy of the page refuses that.
    page.locator("details.cell[open]:not([hidden])").first.wait_for(state="attached")
    observed["after tile"] = [page.evaluate(_FOCUSED_ID), page.inner_text("#count")]
    return observed


def _print(page: Page) -> dict[str, Any]:
    page.evaluate("document.querySelectorAll('.noise').forEach(e => e.parentElement.open = true)")
    loader = page.locator(".noise")
    on_screen = loader.count() > 0 and loader.first.is_visible()
    page.emulate_media(media="print")
    observed = {
        "printed tools": page.is_visible(".tools"),
        "printed cells": page.evaluate(_SHOWN_CELLS),
        "loader messages": {
            "screen": on_screen,
            "print": loader.count() > 0 and loader.first.is_visible(),
        },
    }
    return observed | {"pdf size": len(page.pdf(format="A4", page_ranges="1-3"))}


if __name__ == "__main__":
    path = Path(sys.argv[1]).resolve()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        axe = "without-axe" not in sys.argv
        views = 1 if "one-view" in sys.argv else None
        result = inspect_page(chromium, path.as_uri(), path.parent, axe=axe, views=views)
        print(json.dumps(result))
        chromium.close()
