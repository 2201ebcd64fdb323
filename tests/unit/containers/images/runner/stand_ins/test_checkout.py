from __future__ import annotations

import importlib

import pytest

checkout = importlib.import_module("stand_ins.checkout")


@pytest.mark.parametrize(
    ("ref", "commit", "full", "specs"),
    [
        ("refs/tags/v1", "", False, ["+refs/tags/v1:refs/tags/v1"]),
        ("refs/heads/main", "", False, ["+refs/heads/main:refs/remotes/origin/main"]),
        ("refs/heads/main", "abc", False, ["+abc:refs/remotes/origin/main"]),
        ("abc", "", False, ["abc"]),
        (
            "refs/tags/v1",
            "",
            True,
            ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"],
        ),
    ],
)
def test_what_is_fetched_is_what_was_asked_for(
    ref: str, commit: str, full: bool, specs: list[str]
) -> None:
    assert checkout._specs(ref, commit, full=full) == specs
