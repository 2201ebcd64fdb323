"""Looks at a report's page in a real browser as its reader does, and prints what was seen as JSON.

Runs in the image ``browser``: Debian's Chromium, without a network. The arguments are the page and,
for a large one, ``without-axe``: axe takes minutes for it, and the small one has the same parts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = (1280, 390)
_SHOWN = "[...document.querySelectorAll('details.cell')].filter(c => !c.hidden).map(c => c.id)"
_FOCUS = """(() => {
  const e = document.activeElement; return e.id || (e.parentElement && e.parentElement.id) || '';
})()"""
_FILTER = """text => {
  const search = document.getElementById('search');
  const began = performance.now();
  search.value = text;
  search.dispatchEvent(new Event('input'));
  document.body.getBoundingClientRect();
  return performance.now() - began;
}"""
_LOADED = """(() => {
  document.body.getBoundingClientRect();
  return performance.getEntriesByType('navigation')[0].duration;
})()"""


def look(browser: Browser, address: str, folder: Path, *, axe: bool) -> dict[str, Any]:
    """Return everything that was seen of the page."""
    complaints: list[str] = []
    asked: list[str] = []
    found: dict[str, Any] = {"complaints": complaints, "asked": asked, "axe": {}, "width": {}}
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}"))
            page.on("pageerror", lambda e: complaints.append(f"error: {e}"))
            page.on("request", lambda r: asked.append(r.url))
            page.goto(address)
            page.screenshot(path=folder / f"{width}-{scheme}.png")
            found["axe"][f"{width} {scheme}"] = _axe(page) if axe else "not asked"
            found["width"][str(width)] = page.evaluate("document.documentElement.scrollWidth")
            page.close()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}"))
    page.goto(address)
    found["milliseconds"] = {
        "load": page.evaluate(_LOADED),
        "filter": page.evaluate(_FILTER, "windows"),
        "filter back": page.evaluate(_FILTER, ""),
    }
    return found | _content(page) | {"keyboard": _keyboard(page)} | _print(page)


def _axe(page: Page) -> list[str]:
    # Closed, and with everything open that can be.
    told = []
    for opened in (False, True):
        if opened:
            page.evaluate(
                "[...document.querySelectorAll('details')].slice(0, 60).forEach(d => d.open = true)"
            )
        for fault in Axe().run(page).response["violations"]:
            nodes = [node["html"][:120] for node in fault["nodes"][:3]]
            told.append(f"{fault['id']}: {fault['help']}: {nodes}")
    return told


def _content(page: Page) -> dict[str, Any]:
    return {
        "title": page.title(),
        "heading": page.inner_text("h1"),
        "sections": page.evaluate("[...document.querySelectorAll('h2')].map(h => h.innerText)"),
        "cells": page.evaluate(_SHOWN),
        "tiles": page.evaluate(
            "[...document.querySelectorAll('.tile')].map(t => [t.ariaLabel, t.innerText])"
        ),
        "text": page.evaluate("document.body.textContent"),
        "foreign": page.evaluate(
            "document.querySelectorAll('img, iframe, object, embed, link, form').length"
        ),
        "scripts": page.evaluate("document.scripts.length"),
        "planted": page.evaluate("typeof window.planted"),
    }


def _keyboard(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = {}
    press = page.keyboard.press
    press("/")
    found["slash"] = page.evaluate(_FOCUS)
    page.keyboard.type("UV windows")
    found["typed"] = page.evaluate(_SHOWN)
    found["count"] = page.inner_text("#count")
    press("Enter")
    found["into the cells"] = page.evaluate(_FOCUS)
    press("Enter")
    found["open"] = page.evaluate(
        "[...document.querySelectorAll('details.cell[open]')].map(c=>c.id)"
    )
    press("Escape")
    found["escaped"] = page.evaluate(_SHOWN)
    press("f")
    found["failed only"] = page.evaluate(_SHOWN)
    found["pressed"] = page.evaluate(
        "[...document.querySelectorAll('button[aria-pressed=true]')].map(b=>b.dataset.outcome)"
    )
    press("f")
    press("j")
    found["first"] = page.evaluate(_FOCUS)
    press("j")
    found["second"] = page.evaluate(_FOCUS)
    press("k")
    found["back"] = page.evaluate(_FOCUS)
    page.keyboard.type("//nothing has this")
    found["none"] = page.inner_text("#count")
    tile = page.locator(".tile").first
    tile.focus()
    press("Enter")
    # Not wait_for_function: the page's own policy refuses the evaluation of a string.
    page.locator("details.cell[open]:not([hidden])").first.wait_for(state="attached")
    found["tile"] = [page.evaluate(_FOCUS), page.inner_text("#count")]
    return found


def _print(page: Page) -> dict[str, Any]:
    page.emulate_media(media="print")
    found = {
        "print tools": page.is_visible(".tools"),
        "print cells": page.evaluate(_SHOWN),
    }
    return found | {"pdf": len(page.pdf(format="A4", page_ranges="1-3"))}


if __name__ == "__main__":
    path = Path(sys.argv[1]).resolve()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        print(
            json.dumps(look(started, path.as_uri(), path.parent, axe="without-axe" not in sys.argv))
        )
        started.close()
