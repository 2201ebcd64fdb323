"""Tests of publishers.toml: one line lists all values that the web form of the index refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.release_workflow import PUBLISHERS
from verification.models.errors import WrongUse
from verification.models.publisher import TrustedPublisher
from verification.pipeline.publishers import load

GOOD = {
    "project": '"quiverdb"',
    "owner": '"octo-org"',
    "owner_id": '"42"',
    "repository": '"quiver2"',
    "workflow": '"publish.yml"',
    "environment": '"pypi"',
    "pending": "true",
}


def write(folder: Path, *changes: dict[str, str]) -> Path:
    """Write a file with a registration for each change. An empty value removes its key."""
    text = ""
    for change in changes:
        lines = [f"{key} = {value}" for key, value in {**GOOD, **change}.items() if value]
        text += "[[publisher]]\n" + "\n".join(lines) + "\n"
    path = folder / "publishers.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path) -> str:
    """Return the message for a file that is refused."""
    with pytest.raises(WrongUse) as refused:
        load(path)
    message = str(refused.value)
    assert path.name in message
    assert "\n" not in message
    return message


def test_file_of_the_subject_is_read() -> None:
    (publisher,) = load(PUBLISHERS)
    assert publisher.project == "quiverdb"
    assert publisher.repository == "quiver2"
    assert publisher.workflow == "publish.yml"
    assert publisher.environment == "pypi"
    assert publisher.pending
    assert publisher.stand_in_owner


def test_registration_is_normalized_like_on_the_index(tmp_path: Path) -> None:
    change = {"project": '"Quiver_DB"', "environment": '"PyPI"', "owner": '"Octo-Org"'}
    assert load(write(tmp_path, change)) == (
        TrustedPublisher(
            project="quiver-db",
            owner="Octo-Org",
            owner_id="42",
            repository="quiver2",
            workflow="publish.yml",
            environment="pypi",
            pending=True,
        ),
    )


def test_environment_is_optional(tmp_path: Path) -> None:
    (publisher,) = load(write(tmp_path, {"environment": ""}))
    assert publisher.environment == ""
    assert "environment" not in publisher.form()


INVALID = {
    "project": ('""', '"-quiverdb"', '"quiver db"', '"quivérdb"', '"json"', '"Turtle"'),
    "owner": ('""', '"-octo"', '"octo_org"', '"octo/quiver2"'),
    "owner_id": ('"octo"', "42"),
    "repository": ('""', '"octo-org/quiver2"', '"quiver 2"', '"quiver2\\n"'),
    "workflow": (
        '""',
        '".yml"',
        '"publish"',
        '"publish.yml "',
        '"publish.YML"',
        '".github/workflows/publish.yml"',
        '"pub\\nlish.yml"',
    ),
    "environment": (
        '" pypi"',
        '"pypi "',
        '"py\\tpi"',
        '"it\'s"',
        '"a;b"',
        '"a,b"',
        '"a\\\\b"',
        '"a`b"',
        "'a\"b'",
        f'"{"e" * 256}"',
        "5",
    ),
    "pending": ('"yes"', "1"),
    "stand_in_owner": ('"no"',),
    "worflow": ('"publish.yml"',),
}


@pytest.mark.parametrize("key", INVALID)
def test_value_that_the_form_refuses_is_refused_with_its_key(tmp_path: Path, key: str) -> None:
    for value in INVALID[key]:
        message = refusal(write(tmp_path, {key: value}))
        assert key in message, value


VALID = {
    "project": ('"a"', '"a.b_c-d9"'),
    "repository": ('"a.b_c-d"',),
    "workflow": ('"release please.yaml"', '"a@b.yml"'),
    "environment": ('"Päckchen / prod"', f'"{"e" * 255}"'),
}


@pytest.mark.parametrize("key", VALID)
def test_value_that_the_form_accepts_is_accepted(tmp_path: Path, key: str) -> None:
    for value in VALID[key]:
        (publisher,) = load(write(tmp_path, {key: value}))
        assert getattr(publisher, key), value


def test_active_project_may_have_the_name_of_a_module(tmp_path: Path) -> None:
    (publisher,) = load(write(tmp_path, {"project": '"dataclasses"', "pending": "false"}))
    assert publisher.project == "dataclasses"


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"environment"}))
def test_missing_key_is_refused(tmp_path: Path, key: str) -> None:
    assert f"'{key}'" in refusal(write(tmp_path, {key: ""}))


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    message = refusal(
        write(tmp_path, {"owner": '"-"', "workflow": '"a/b"'}, {"pending": "", "project": '"!"'})
    )
    for key_or_value in ("owner", "'-'", "workflow", "'a/b'", "'pending'", "project", "'!'"):
        assert key_or_value in message


@pytest.mark.parametrize(
    ("first", "second", "repeated"),
    [
        ({}, {}, True),
        ({}, {"project": '"other"'}, True),
        ({}, {"environment": '"PYPI"'}, True),
        ({}, {"environment": ""}, False),
        ({}, {"workflow": '"other.yml"'}, False),
        ({}, {"pending": "false"}, False),
        ({"pending": "false"}, {"pending": "false"}, True),
        ({"pending": "false"}, {"pending": "false", "project": '"other"'}, False),
    ],
)
def test_repeated_registration_is_refused(
    tmp_path: Path, first: dict[str, str], second: dict[str, str], repeated: bool
) -> None:
    path = write(tmp_path, first, second)
    if repeated:
        message = refusal(path)
        for value in ("octo-org/quiver2", "publish.yml", "pypi"):
            assert value in message
    else:
        assert len(load(path)) == 2


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "[[publisher]]"),
        ("not toml", "line 1"),
        ("publisher = 5", "[[publisher]]"),
        ("[publisher]\nproject = 'x'", "[[publisher]]"),
        ("[[publishers]]", "[[publisher]]"),
        ("publisher = [5]", "[[publisher]]"),
    ],
)
def test_file_without_a_registration_is_refused(tmp_path: Path, text: str, fix: str) -> None:
    path = tmp_path / "publishers.toml"
    path.write_text(text, "utf-8")
    assert fix in refusal(path)


def test_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert refusal(tmp_path / "binary.toml")
