"""``./e2e card``: the output, and the one-line answers to wrong use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.browser import View
from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash
from verification.commands import card as command
from verification.commands.parser import parse
from verification.models.errors import ExitCode, WrongUse
from verification.report import card, html, results_json

RUN = sample_run.report(cell(LINUX, crash()), cell(WINDOWS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a report of a failed run."""
    results_json.write(tmp_path / results_json.NAME, RUN)
    return tmp_path


def _run(*words: str) -> int:
    return command.run(parse(["card", *words])[0])


def test_the_card_is_printed_as_markdown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--from", str(folder)) == ExitCode.VERIFIED
    assert capsys.readouterr().out == card.markdown(card.card(RUN))


def test_the_card_is_written_as_markdown(folder: Path) -> None:
    output = folder / "card.md"
    assert _run("--from", str(folder), "--output", str(output)) == ExitCode.VERIFIED
    assert output.read_text("utf-8") == card.markdown(card.card(RUN))


def test_the_card_is_written_as_a_picture_of_its_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FakeBrowser:
        def picture(self, page: str, _: View) -> bytes:
            assert page == html.render_card(card.card(RUN))
            return b"picture"

    provisions: list[bool] = []

    @contextlib.contextmanager
    def open_browser(*, provision: bool) -> Iterator[FakeBrowser]:
        provisions.append(provision)
        yield FakeBrowser()

    monkeypatch.setattr(command, "open_browser", open_browser)
    output = folder / "card.png"
    _run("--from", str(folder), "--output", str(output), "--no-provision")
    assert output.read_bytes() == b"picture"
    assert provisions == [False]


@pytest.mark.parametrize("name", ["card.pdf", "card", "missing/card.png"])
def test_an_output_that_cannot_be_written_is_wrong_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(command, "open_browser", None)
    with pytest.raises(WrongUse, match="--output") as raised:
        _run("--from", str(folder), "--output", str(folder / name))
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_report_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"results\.json"):
        _run("--from", str(tmp_path))
