"""The file of registrations: everything that the form refuses is reported, in one line."""

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
    """Write registrations; a key changed to '' is left out."""
    text = ""
    for change in changes:
        lines = [f"{key} = {value}" for key, value in {**GOOD, **change}.items() if value]
        text += "[[publisher]]\n" + "\n".join(lines) + "\n"
    path = folder / "publishers.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(WrongUse) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_projects_own_file_says_what_was_registered() -> None:
    (publisher,) = load(PUBLISHERS)
    assert publisher.project == "quiverdb"
    assert publisher.repository == "quiver2"
    assert publisher.workflow == "publish.yml"
    assert publisher.environment == "pypi"
    assert publisher.pending
    assert publisher.stand_in_owner


def test_a_registration_is_kept_as_the_index_keeps_it(tmp_path: Path) -> None:
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


def test_without_an_environment_any_or_none_will_do(tmp_path: Path) -> None:
    (publisher,) = load(write(tmp_path, {"environment": ""}))
    assert publisher.environment == ""
    assert "environment" not in publisher.form()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("project", '""', "letters, digits"),
        ("project", '"-quiverdb"', "a letter or digit at both ends"),
        ("project", '"quiver db"', "letters, digits"),
        ("project", '"quivérdb"', "letters, digits"),
        ("project", '"json"', "the name of a module of Python's standard library"),
        ("project", '"Turtle"', "the name of a module of Python's standard library"),
        ("owner", '""', "a user or organisation of GitHub"),
        ("owner", '"-octo"', "a user or organisation of GitHub"),
        ("owner", '"octo_org"', "a user or organisation of GitHub"),
        ("owner", '"octo/quiver2"', "a user or organisation of GitHub"),
        ("owner_id", '"octo"', "a number in quotes"),
        ("owner_id", "42", "owner_id must be a string"),
        ("repository", '""', "without the owner"),
        ("repository", '"octo-org/quiver2"', "without the owner"),
        ("repository", '"quiver 2"', "without the owner"),
        ("repository", '"quiver2\\n"', "without the owner"),
        ("workflow", '""', "must end with .yml or .yaml"),
        ("workflow", '".yml"', "must end with .yml or .yaml"),
        ("workflow", '"publish"', "must end with .yml or .yaml"),
        ("workflow", '"publish.yml "', "must end with .yml or .yaml"),
        ("workflow", '"publish.YML"', "must end with .yml or .yaml"),
        ("workflow", '".github/workflows/publish.yml"', "the file's name only"),
        ("workflow", '"pub\\nlish.yml"', "the file's name only"),
        ("environment", '" pypi"', "must not start or end with a space"),
        ("environment", '"pypi "', "must not start or end with a space"),
        ("environment", '"py\\tpi"', "must not contain control characters"),
        ("environment", '"it\'s"', "must not contain control characters"),
        ("environment", '"a;b"', "must not contain control characters"),
        ("environment", '"a,b"', "must not contain control characters"),
        ("environment", '"a\\\\b"', "must not contain control characters"),
        ("environment", '"a`b"', "must not contain control characters"),
        ("environment", "'a\"b'", "must not contain control characters"),
        ("environment", f'"{"e" * 256}"', "longer than 255 characters"),
        ("environment", "5", "environment must be a string"),
        ("pending", '"yes"', "pending must be true or false"),
        ("pending", "1", "pending must be true or false"),
        ("stand_in_owner", '"no"', "stand_in_owner must be true or false"),
        ("worflow", '"publish.yml"', "unknown key 'worflow'; there are: environment, owner,"),
    ],
)
def test_what_the_form_would_refuse_is_refused(
    tmp_path: Path, key: str, value: str, reason: str
) -> None:
    message = refusal(write(tmp_path, {key: value}))
    assert message.startswith("publishers.toml: publisher 1: ")
    assert key in message
    assert reason in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", '"a"'),
        ("project", '"a.b_c-d9"'),
        ("repository", '"a.b_c-d"'),
        ("workflow", '"release please.yaml"'),
        ("workflow", '"a@b.yml"'),
        ("environment", '"Päckchen / prod"'),
        ("environment", f'"{"e" * 255}"'),
    ],
)
def test_what_the_form_would_take_is_taken(tmp_path: Path, key: str, value: str) -> None:
    (publisher,) = load(write(tmp_path, {key: value}))
    assert getattr(publisher, key)


def test_a_project_in_force_may_be_named_like_a_module(tmp_path: Path) -> None:
    (publisher,) = load(write(tmp_path, {"project": '"dataclasses"', "pending": "false"}))
    assert publisher.project == "dataclasses"


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"environment"}))
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    assert f"publisher 1: missing key '{key}'" in refusal(write(tmp_path, {key: ""}))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    message = refusal(
        write(tmp_path, {"owner": '"-"', "workflow": '"a/b"'}, {"pending": "", "project": '"!"'})
    )
    for fault in (
        "publisher 1: owner '-'",
        "publisher 1: workflow 'a/b'",
        "publisher 2: missing key 'pending'",
        "publisher 2: project '!'",
    ):
        assert fault in message


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
def test_what_is_registered_already_is_refused(
    tmp_path: Path, first: dict[str, str], second: dict[str, str], repeated: bool
) -> None:
    path = write(tmp_path, first, second)
    if repeated:
        assert "octo-org/quiver2 with publish.yml and environment pypi is registered 2 times" in (
            refusal(path)
        )
    else:
        assert len(load(path)) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no publisher; write one [[publisher]]"),
        ("not toml", "Expected"),
        ("publisher = 5", "write [[publisher]]"),
        ("[publisher]\nproject = 'x'", "write [[publisher]]"),
        ("[[publishers]]", "unknown key 'publishers'; write [[publisher]]"),
        ("publisher = [5]", "write [[publisher]]"),
    ],
)
def test_a_file_that_holds_no_registration_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "publishers.toml"
    path.write_text(text, "utf-8")
    assert reason in refusal(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "binary.toml" in refusal(tmp_path / "binary.toml")
