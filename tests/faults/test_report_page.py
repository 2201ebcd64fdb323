"""The page of a report in Chromium: content, use by keyboard, and HTML planted in the evidence."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containers import images
from containers.browser import IMAGE, Browser, View
from containers.engine import Engine, Run
from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash
from verification.models.evidence import ExerciseStep, StepError, Steps
from verification.models.results import CellResult
from verification.report import card
from verification.report import html as page

NASTY = (
    '</script></title></style>\'"><img src=x onerror="window.planted=1">'
    "<script>window.planted=1</script><a href=javascript:window.planted=1>x</a>"
)


def inspect(browser: Browser, text: str, *options: str) -> dict[str, Any]:
    """Return the observations of a page."""
    script = Path(__file__).with_name("inspect_page.py")
    files = {
        "page/index.html": text.encode("utf-8", "backslashreplace"),
        f"page/{script.name}": script.read_bytes(),
    }
    result = browser.execute(files, ["python", f"page/{script.name}", "page/index.html", *options])
    assert result.code == 0, result.output[-2000:]
    observed: dict[str, Any] = json.loads(result.output.splitlines()[-1])
    return observed


@pytest.fixture(scope="session")
def browser(container_engine: Engine, run: Run) -> Iterator[Browser]:
    try:
        image = images.ensure(container_engine, IMAGE)
    except images.ImageUnavailable as reason:
        pytest.skip(f"not run: no image of the browser: {reason}")
    with Browser(container_engine, image, run) as started:
        yield started


# One worker runs all tests, so that they share the browser and its observations.


@pytest.fixture(scope="session")
def observed(browser: Browser) -> dict[str, Any]:
    """Return the observations on the page of a failed, a verified and an unverified cell."""
    wine = "windows-wine-pip-system"
    run = complete(cell(LINUX, crash()), cell(WINDOWS), cell(wine, reason="no image"))
    evidence = {cell_id: sample_run.evidence(cell_id) for cell_id in (LINUX, WINDOWS)}
    loader = ("err:module:import_dll Library MSVCP140.dll not found",)
    evidence[LINUX] = evidence[LINUX].model_copy(update={"loader": loader})
    return inspect(browser, page.render(run, evidence))


def _ids(*cells: str) -> list[str]:
    return [f"cell-{cell_id}" for cell_id in cells]


ALL = _ids(LINUX, WINDOWS, "windows-wine-pip-system")


def test_page_has_the_verdict_and_each_section(observed: dict[str, Any]) -> None:
    assert "✘ quiverdb 0.5.0" in observed["heading"]
    assert len(observed["sections"]) == len(set(observed["sections"])) >= 7
    assert observed["cells"] == ALL
    assert crash().message in observed["text"]
    assert f"./e2e replay {LINUX}" in observed["text"]


def test_matrix_shows_outcomes_by_sign_name_and_colour(observed: dict[str, Any]) -> None:
    labels, texts = zip(*observed["tiles"], strict=True)
    assert texts == ("✘ venv", "✔ system", "? system")
    cells, outcomes = zip(*(label.split(": ") for label in labels), strict=True)
    assert _ids(*cells) == ALL
    assert len(set(outcomes)) == 3


def test_page_makes_no_request_and_no_message_on_the_console(
    observed: dict[str, Any],
) -> None:
    assert observed["console"] == []
    assert {address.rpartition("/")[2] for address in observed["requests"]} == {"index.html"}
    assert observed["embedded elements"] == 0


def test_axe_reports_no_violation(observed: dict[str, Any]) -> None:
    assert observed["axe"] == {
        "1280 light": [],
        "1280 dark": [],
        "390 light": [],
        "390 dark": [],
    }


def test_page_fits_the_width_of_a_phone(observed: dict[str, Any]) -> None:
    assert observed["width"] == {"1280": 1280, "390": 390}


def test_page_is_searched_and_filtered_by_keyboard(observed: dict[str, Any]) -> None:
    keys = observed["keyboard"]
    assert keys["focus after slash"] == "search"
    assert keys["cells after search"] == _ids(WINDOWS, "windows-wine-pip-system")  # "UV windows"
    assert re.findall(r"\d+", keys["count after search"]) == ["2", "3"]
    assert keys["focus after enter"] == f"cell-{WINDOWS}"
    assert keys["open cells"] == _ids(WINDOWS)
    assert keys["cells after escape"] == ALL
    assert keys["cells after f"] == _ids(LINUX)
    assert keys["pressed filters"] == ["fails"]
    focused = [keys[f"focus after {key}"] for key in ("j", "second j", "k")]
    assert focused == [ALL[0], ALL[1], ALL[0]]
    assert re.findall(r"\d+", keys["count without match"]) == ["0", "3"]
    focus, count = keys["after tile"]  # a tile removes the filter
    assert focus == f"cell-{LINUX}"
    assert re.findall(r"\d+", count) == ["3", "3"]


def test_printed_page_has_every_cell_and_no_tools(observed: dict[str, Any]) -> None:
    assert observed["printed tools"] is False
    assert observed["printed cells"] == ALL
    assert observed["pdf size"] > 10_000


def test_printed_page_has_no_messages_of_the_loader(observed: dict[str, Any]) -> None:
    assert observed["loader messages"] == {"screen": True, "print": False}


def test_card_is_rendered_as_a_picture(browser: Browser) -> None:
    content = card.card(complete(cell(LINUX, crash()), cell(WINDOWS)))
    picture = browser.picture(page.render_card(content), View(width=980, scale=1.5))
    assert picture.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", picture[16:24])  # the first chunk, IHDR
    assert width == 1470
    assert height < 1470, "one screen"
    assert inspect(browser, page.render_card(content), "views-only")["axe"]["390 dark"] == []


def test_planted_html_is_shown_as_text(browser: Browser) -> None:
    planted = crash().model_copy(update=dict.fromkeys(("where", "message", "remedy"), NASTY))
    run = complete(cell(LINUX, planted), cell(WINDOWS, reason=NASTY))
    run = run.model_copy(update={"version": NASTY, "started": NASTY})
    step = ExerciseStep[object](step="fork", error=StepError(type="OSError", message=NASTY))
    evidence = sample_run.evidence(log=NASTY)
    assert evidence.exercise
    exercise = evidence.exercise.model_copy(update={"steps": Steps.model_validate({"fork": step})})
    evidence = evidence.model_copy(update={"exercise": exercise})
    observed = inspect(browser, page.render(run, {LINUX: evidence}), "without-axe")
    assert observed["planted"] == "undefined"
    assert (observed["scripts"], observed["embedded elements"]) == (1, 0)
    assert observed["console"] == []
    assert observed["text"].count(NASTY) > 8


def test_planted_html_is_detected_without_the_protection(browser: Browser) -> None:
    """The checks above fail for a page without escaping and without its security policy."""
    good = page.render(complete(), {})
    policy = good.partition('<meta http-equiv="Content-Security-Policy"')[2].partition(">")[0]
    open_page = good.replace(f'<meta http-equiv="Content-Security-Policy"{policy}>', "")
    planted = "<main><img src=x><script>window.planted=1; console.error('planted')</script>"
    observed = inspect(browser, open_page.replace("<main>", planted, 1), "one-view")
    assert observed["planted"] == "number"
    assert (observed["scripts"], observed["embedded elements"]) == (2, 1)
    assert "error: planted" in observed["console"]
    assert any("image-alt" in violation for violation in observed["axe"]["1280 light"])
    # The policy stops a script that is not escaped.
    protected = inspect(browser, good.replace("<main>", planted, 1), "without-axe")
    assert protected["planted"] == "undefined"
    assert any("Content Security Policy" in message for message in protected["console"])


def test_page_with_a_thousand_cells_is_filtered(
    browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    many: list[CellResult] = []
    for number in range(250):
        for installer, scenario in (("pip", "venv"), ("pip", "user"), ("uv", "venv"), ("uv", "x")):
            cell_id = f"windows{number:03}-{installer}-{scenario}"
            many.append(cell(cell_id, crash(cell_id)) if number % 50 == 7 else cell(cell_id))
    evidence = {result.id: sample_run.evidence(result.id, log="x" * 5000) for result in many}
    text = page.render(complete(*many), evidence)
    observed = inspect(browser, text, "without-axe")
    keys = observed["keyboard"]
    ids = [result.id for result in many]
    assert observed["cells"] == _ids(*ids[: page.MANY_CELLS])
    assert keys["cells after more"] == 2 * page.MANY_CELLS
    assert keys["cells after f"] == _ids(*(result.id for result in many if result.causes))
    uv = [cell_id for cell_id in ids if "-uv-" in cell_id]
    assert keys["cells after search"] == _ids(*uv[: page.MANY_CELLS])
    assert re.findall(r"\d+", keys["count after search"])[:2] == [str(len(uv)), "1000"]
    assert f"./e2e replay {uv[0]}" in keys["open details"], "the details are unpacked"
    (failing, *_) = (result.id for result in many if result.causes)
    focus, _ = keys["after tile"]  # a tile opens a cell that is not shown
    assert focus == f"cell-{failing}"
    assert observed["console"] == []
    measured = {**observed["milliseconds"], "bytes": len(text.encode())}
    print(f"1000 cells: {measured}")
    record_property("1000 cells", json.dumps(measured))


def test_planted_html_in_a_large_page_is_shown_as_text(browser: Browser) -> None:
    cells = [cell(f"windows{n}-uv-venv", reason=NASTY) for n in range(page.MANY_CELLS + 1)]
    evidence = {result.id: sample_run.evidence(result.id, log=NASTY) for result in cells}
    observed = inspect(browser, page.render(complete(*cells), evidence), "without-axe")
    assert NASTY in observed["keyboard"]["open details"]
    assert observed["planted"] == "undefined"
    assert observed["embedded elements"] == 0
    assert observed["console"] == []
