"""twine without its query of the live index."""

from __future__ import annotations

import runpy
import sys

import pytest
import twine.__main__
from twine.repository import Repository

from tests.helpers.stand_ins import RUNNER


def test_twine_runs_without_its_query_for_existing_files(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = []

    def main() -> str:
        answers.append(Repository.package_is_uploaded(None, None))  # type: ignore[arg-type]
        return "the error of twine"

    query = Repository.package_is_uploaded
    monkeypatch.setattr(twine.__main__, "main", main)
    monkeypatch.setattr(sys, "path", [*sys.path, str(RUNNER)])
    with pytest.raises(SystemExit, match="the error of twine"):
        runpy.run_module("stand_ins.twine_upload", run_name="__main__")
    assert answers == [False]
    assert Repository.package_is_uploaded is query
