"""The output of the conductor for the host."""

from __future__ import annotations

import importlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

output = importlib.import_module("conductor.output")


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_line_is_a_json_object_with_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    output.report(job={"id": "build"}, text="a\nb")
    (line,) = lines(capsys)
    at = line.pop("at")
    assert isinstance(at, float)
    assert before <= at <= time.time()
    assert line == {"job": {"id": "build"}, "text": "a\nb"}


def test_lines_of_simultaneous_threads_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"{number}" * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: output.report(text=text), texts))
    assert sorted(str(line["text"]) for line in lines(capsys)) == texts
