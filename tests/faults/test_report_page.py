"""The report's page in a real browser: what it shows, how it is used, what is planted in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from containers import images
from containers.commands import ManagedContainer, execute
from containers.engine import Engine, Run
from containers.images import tar_of
from containers.network import new_container
from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash
from verification.models.evidence import ExerciseStep, StepError, Steps
from verification.models.results import CellResult
from verification.models.testbed import Image
from verification.report import html as page

NASTY = (
    '</script></title></style>\'"><img src=x onerror="window.planted=1">'
    "<script>window.planted=1</script><a href=javascript:window.planted=1>x</a>"
)


class Browser(ManagedContainer):
    """Chromium on a container without any network."""

    def __init__(self, engine: Engine, image: Image, run: Run) -> None:
        self._container = new_container(engine, image).with_kwargs(
            network=None,
            network_mode="none",
            labels=run.labels(),
            init=True,
            shm_size="256m",
        )

    def __enter__(self) -> Self:
        self._container.start()
        return self

    def look(self, text: str, *options: str) -> dict[str, Any]:
        """Return what is seen of a page."""
        wrapped = self._container.get_wrapped_container()
        script = Path(__file__).with_name("browser_look.py").read_bytes()
        files = {"index.html": text.encode("utf-8", "backslashreplace"), "look.py": script}
        wrapped.put_archive("/", tar_of(files, "/home/user/look", owner=1000))
        ran = execute(
            wrapped,
            ["timeout", "120", "python", "look/look.py", "look/index.html", *options],
            folder="/home/user",
        )
        assert ran.code == 0, ran.output[-2000:]
        found: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
        return found


@pytest.fixture(scope="session")
def browser(container_engine: Engine, run: Run) -> Iterator[Browser]:
    try:
        image = images.ensure(container_engine, "browser")
    except images.ImageUnavailable as reason:
        pytest.skip(f"unverified: the report's page in a browser: {reason}")
    with Browser(container_engine, image, run) as started:
        yield started


# The tests of one group share a worker, and so a browser and what was seen with it.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="session")
def seen(browser: Browser) -> dict[str, Any]:
    """Return what is seen of a run with a failed, a verified and an unverified cell."""
    wine = "windows-wine-pip-system"
    run = complete(cell(LINUX, crash()), cell(WINDOWS), cell(wine, reason="no image"))
    evidence = {ident: sample_run.evidence(ident) for ident in (LINUX, WINDOWS)}
    return browser.look(page.render(run, evidence))


def _ids(*cells: str) -> list[str]:
    return [f"cell-{ident}" for ident in cells]


ALL = _ids(LINUX, WINDOWS, "windows-wine-pip-system")


def test_the_page_says_the_verdict_and_shows_each_part(seen: dict[str, Any]) -> None:
    assert seen["heading"] == "✘ quiverdb 0.5.0: Failed"
    assert seen["sections"][:6] == [
        "Items",
        "Machines",
        "Causes",
        "Pipeline",
        "Cells",
        "Not verified, and why",
    ]
    assert "How far to trust each stand-in" in seen["sections"]
    assert seen["cells"] == ALL
    assert "was killed by signal 11" in seen["text"]
    assert f"./e2e replay {LINUX}" in seen["text"]


def test_the_matrix_tells_by_sign_and_by_name_as_well_as_by_colour(seen: dict[str, Any]) -> None:
    assert seen["tiles"] == [
        [f"{LINUX}: Fails", "✘"],
        [f"{WINDOWS}: Works", "✔"],
        ["windows-wine-pip-system: Not verified", "?"],
    ]


def test_the_browser_complains_of_nothing_and_is_asked_for_nothing_else(
    seen: dict[str, Any],
) -> None:
    assert seen["complaints"] == []
    assert {address.rpartition("/")[2] for address in seen["asked"]} == {"index.html"}
    assert seen["foreign"] == 0


def test_axe_finds_nothing_wide_or_narrow_light_or_dark(seen: dict[str, Any]) -> None:
    assert seen["axe"] == {
        "1280 light": [],
        "1280 dark": [],
        "390 light": [],
        "390 dark": [],
    }


def test_nothing_is_wider_than_the_screen_of_a_phone(seen: dict[str, Any]) -> None:
    assert seen["width"] == {"1280": 1280, "390": 390}


def test_it_is_searched_and_filtered_by_keyboard(seen: dict[str, Any]) -> None:
    keys = seen["keyboard"]
    assert keys["slash"] == "search"
    assert keys["typed"] == _ids(WINDOWS, "windows-wine-pip-system")  # "UV windows"
    assert keys["count"] == "2 of 3 cells"
    assert keys["into the cells"] == f"cell-{WINDOWS}"
    assert keys["open"] == _ids(WINDOWS)
    assert keys["escaped"] == ALL
    assert keys["failed only"] == _ids(LINUX)
    assert keys["pressed"] == ["fails"]
    assert [keys["first"], keys["second"], keys["back"]] == [ALL[0], ALL[1], ALL[0]]
    assert keys["none"] == "0 of 3 cells"
    assert keys["tile"] == [f"cell-{LINUX}", "3 of 3 cells"]  # a tile shows what was filtered out


def test_it_prints_every_cell_and_no_tools(seen: dict[str, Any]) -> None:
    assert seen["print tools"] is False
    assert seen["print cells"] == ALL
    assert seen["pdf"] > 10_000


def test_html_planted_in_evidence_is_text(browser: Browser) -> None:
    evil = crash().model_copy(update=dict.fromkeys(("where", "message", "remedy"), NASTY))
    run = complete(cell(LINUX, evil), cell(WINDOWS, reason=NASTY))
    run = run.model_copy(update={"version": NASTY, "started": NASTY})
    step = ExerciseStep[object](step="fork", error=StepError(type="OSError", message=NASTY))
    evidence = sample_run.evidence(log=NASTY)
    assert evidence.exercise
    exercise = evidence.exercise.model_copy(update={"steps": Steps.model_validate({"fork": step})})
    evidence = evidence.model_copy(update={"exercise": exercise})
    found = browser.look(page.render(run, {LINUX: evidence}), "without-axe")
    assert found["planted"] == "undefined"
    assert (found["scripts"], found["foreign"]) == (1, 0)
    assert found["complaints"] == []
    assert found["text"].count(NASTY) > 8


def test_the_browser_would_notice_what_was_planted(browser: Browser) -> None:
    """Show that the checks above can fail: the same page with its guards taken away."""
    good = page.render(complete(), {})
    policy = good.partition('<meta http-equiv="Content-Security-Policy"')[2].partition(">")[0]
    open_page = good.replace(f'<meta http-equiv="Content-Security-Policy"{policy}>', "")
    planted = "<main><img src=x><script>window.planted=1; console.error('planted')</script>"
    found = browser.look(open_page.replace("<main>", planted, 1))
    assert found["planted"] == "number"
    assert (found["scripts"], found["foreign"]) == (2, 1)
    assert "error: planted" in found["complaints"]
    assert any("image-alt" in fault for fault in found["axe"]["1280 light"])
    # With its guards, the page does not run a script that got past the escaping.
    guarded = browser.look(good.replace("<main>", planted, 1), "without-axe")
    assert guarded["planted"] == "undefined"
    assert any("Content Security Policy" in told for told in guarded["complaints"])


def test_a_thousand_cells_are_shown_and_filtered(
    browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    many: list[CellResult] = []
    for number in range(250):
        for installer, scenario in (("pip", "venv"), ("pip", "user"), ("uv", "venv"), ("uv", "x")):
            ident = f"machine{number:03}-{installer}-{scenario}"
            many.append(cell(ident, crash(ident)) if number % 50 == 7 else cell(ident))
    evidence = {one.id: sample_run.evidence(one.id, log="x" * 5000) for one in many}
    text = page.render(complete(*many), evidence)
    found = browser.look(text, "without-axe")
    assert len(found["cells"]) == 1000
    assert found["keyboard"]["failed only"] == [f"cell-{one.id}" for one in many if one.causes]
    assert found["complaints"] == []
    told = {**found["milliseconds"], "bytes": len(text.encode())}
    print(f"1000 cells: {told}")
    record_property("1000 cells", json.dumps(told))
