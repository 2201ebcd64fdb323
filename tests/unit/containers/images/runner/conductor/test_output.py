from __future__ import annotations

import importlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

output = importlib.import_module("conductor.output")


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    output.say(job={"id": "build"}, text="a\nb")
    (line,) = lines(capsys)
    at = line.pop("at")
    assert isinstance(at, float)
    assert before <= at <= time.time()
    assert line == {"job": {"id": "build"}, "text": "a\nb"}


def test_lines_of_several_threads_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"{number}" * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: output.say(text=text), texts))
    assert sorted(str(line["text"]) for line in lines(capsys)) == texts
