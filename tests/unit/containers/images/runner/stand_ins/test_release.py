"""The stand-in for softprops/action-gh-release with a running forge."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.helpers.forge_server import TOKEN, Forge
from tests.helpers.stand_ins import Action

NOTES = "**Full Changelog**: https://github.com/quiver-owner/quiver2/compare/v0.4.0...v0.5.0"


class ReleaseAction(Action):
    """The stand-in. Its requests go to the running forge, and are recorded."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, forge: Forge) -> None:
        super().__init__("release", "softprops-action-gh-release", folder, monkeypatch)
        self.calls: list[str] = []
        """Each request that is not a GET, as method and path. The ids are replaced."""
        calls = self.calls

        class Session:
            """Replaces `requests.Session`."""

            def __init__(self) -> None:
                self.headers: dict[str, str] = {}

            def request(
                self, method: str, url: str, *, timeout: float, **options: Any
            ) -> requests.Response:
                assert timeout
                if method != "GET":
                    path = urlsplit(url).path.partition("/releases")[2]
                    calls.append(re.sub(r"\d+", "ID", f"{method} {path}").strip())
                headers = self.headers | options.pop("headers", {})
                return forge.send(method, url, token=None, headers=headers, **options)

            def post(self, url: str, **options: Any) -> requests.Response:
                return self.request("POST", url, **options)

        monkeypatch.setattr(
            self.module, "requests", SimpleNamespace(Session=Session, Response=None)
        )

    def run(self, version: str = "", **inputs: str) -> None:
        """Run the action. The patterns of the input `files` have no braces."""
        self.calls.clear()
        patterns = inputs.get("files", "").split()
        matches = [(name, [str(path) for path in sorted(Path().glob(name))]) for name in patterns]
        self._monkeypatch.setattr(sys, "argv", ["release", json.dumps(matches)])
        super().run(version, **{"token": TOKEN, **inputs})


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Forge) -> ReleaseAction:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "quiver-owner/quiver2")
    monkeypatch.setenv("GITHUB_REF", "refs/tags/v0.5.0")
    for name, content in (("a.whl", b"first"), ("b.whl", b"other"), ("ä ö.whl", b"umlaut")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.md").write_text("from a file\n", "utf-8")
    return ReleaseAction(tmp_path, monkeypatch, forge)


def sizes(forge: Forge) -> dict[str, int]:
    (release,) = forge.stored_releases()
    return {asset["name"]: asset["size"] for asset in release["assets"]}


CREATED = ["POST", "PATCH /ID"]
WITH_NOTES = ["POST /generate-notes", *CREATED]


@pytest.mark.parametrize(
    ("version", "inputs", "calls", "page"),
    [
        ("v3.0.0", {}, CREATED, {"draft": False, "body": None, "name": "v0.5.0"}),
        ("v2.6.2", {}, CREATED, {"draft": False, "body": None}),
        ("v2.4.2", {}, ["POST"], {"draft": False, "body": None}),
        ("v3.0.0", {"draft": "true"}, ["POST"], {"draft": True}),
        ("v2.3.2", {"draft": "true"}, ["POST"], {"draft": True}),
        ("v3.0.0", {"prerelease": "true"}, ["POST"], {"draft": False, "prerelease": True}),
        ("v2.5.0", {"prerelease": "true"}, CREATED, {"draft": False, "prerelease": True}),
        ("v3.0.0", {"prerelease": "yes"}, CREATED, {"draft": False, "prerelease": False}),
        ("v3.0.0", {"draft": "True", "make_latest": "maybe"}, CREATED, {"draft": False}),
        ("v3.0.0", {"generate_release_notes": "true"}, WITH_NOTES, {"body": NOTES}),
        ("v2.4.1", {"generate_release_notes": "true"}, ["POST"], {"body": NOTES}),
        (
            "v3.0.0",
            {"generate_release_notes": "true", "body": "Mine\n"},
            WITH_NOTES,
            {"body": f"Mine\n\n\n{NOTES}"},
        ),
        (
            "v3.0.0",
            {"generate_release_notes": "true", "previous_tag": "nightly"},
            WITH_NOTES,
            {"body": NOTES.replace("v0.4.0", "nightly")},
        ),
        (
            "v2.5.3",
            {"generate_release_notes": "true", "previous_tag": "nightly"},
            WITH_NOTES,
            {"body": NOTES},
        ),
        ("v3.0.0", {"body": "text", "body_path": "none.md"}, CREATED, {"body": "text"}),
        ("v3.0.0", {"body": "text", "body_path": "notes.md"}, CREATED, {"body": "from a file\n"}),
        ("v3.0.0", {"tag_name": "refs/tags/v0.6.0"}, CREATED, {"tag": "v0.6.0"}),
        ("v3.0.0", {"name": "Five", "make_latest": "false"}, CREATED, {"latest": False}),
        ("v2.5.0", {"make_latest": "false"}, CREATED, {"latest": True}),
    ],
)
def test_new_release(
    action: ReleaseAction,
    forge: Forge,
    version: str,
    inputs: Mapping[str, str],
    calls: list[str],
    page: Mapping[str, object],
) -> None:
    action.run(version, **inputs)
    (release,) = forge.stored_releases()
    assert action.calls == calls
    assert {key: release[key] for key in page} == page
    assert action.outputs["id"] == str(release["id"])


def test_missing_body_path_fails_in_earlier_versions(action: ReleaseAction, forge: Forge) -> None:
    with pytest.raises(OSError, match=r"none\.md"):
        action.run("v2.4.0", body="text", body_path="none.md")
    assert forge.stored_releases() == []


def test_second_run_doubles_the_notes(action: ReleaseAction, forge: Forge) -> None:
    action.run(generate_release_notes="true")
    action.run(generate_release_notes="true")
    assert forge.stored_releases()[0]["body"] == f"{NOTES}\n\n{NOTES}"


@pytest.mark.parametrize("version", ["v3.0.0", "v2.6.2", "v2.5.1", "v2.5.0", "v2.2.2", "v2.0.0"])
def test_second_run_updates_the_release(action: ReleaseAction, forge: Forge, version: str) -> None:
    action.run(version, body="one")
    action.run(version, body="two", append_body="true", name="Five")
    (release,) = forge.stored_releases()
    assert (release["draft"], release["body"], release["name"]) == (False, "one\ntwo", "Five")


@pytest.mark.parametrize(
    ("version", "releases"),
    [
        # The older draft is published as it is. The new draft is deleted.
        ("v3.0.0", [("draft", False)]),
        ("v2.5.2", [("draft", False)]),
        # The new draft is published. The older one stays.
        ("v2.5.1", [("new", False), ("draft", True)]),
        # The older draft is found and updated.
        ("v2.5.0", [("new", False)]),
        ("v2.3.2", [("new", True)]),
        # The release is published at once. The draft stays.
        ("v2.2.1", [("new", False), ("draft", True)]),
    ],
)
def test_draft_of_a_broken_run(
    action: ReleaseAction, forge: Forge, version: str, releases: list[tuple[str, bool]]
) -> None:
    forge.create("v0.5.0", draft=True, body="draft")
    action.run(version, body="new", files="a.whl")
    assert [(release["body"], release["draft"]) for release in forge.stored_releases()] == releases


@pytest.mark.parametrize(
    ("version", "body"), [("v2.0.6", "draft"), ("v2.0.7", "new"), ("v2.2.0", "new")]
)
def test_existing_draft_of_a_draft(
    action: ReleaseAction, forge: Forge, version: str, body: str
) -> None:
    forge.create("v0.5.0", draft=True, body="draft")
    action.run(version, body="new", draft="true")
    assert [release["body"] for release in forge.stored_releases()] == [body]


@pytest.mark.parametrize(
    ("version", "overwrite", "size"),
    [("v3.0.0", "true", 6), ("v3.0.0", "false", 5), ("v2.3.3", "no", 5), ("v2.3.2", "false", 6)],
)
def test_overwrite_files_replaces_an_existing_file(
    action: ReleaseAction, forge: Forge, version: str, overwrite: str, size: int
) -> None:
    action.run(files="a.whl")
    Path("a.whl").write_bytes(b"second")
    action.run(version, files="a.whl", overwrite_files=overwrite)

    assert sizes(forge) == {"a.whl": size}


@pytest.mark.parametrize(
    ("version", "label"), [("v3.0.0", "ä ö.whl"), ("v2.5.2", "ä ö.whl"), ("v2.5.1", None)]
)
def test_renamed_file_gets_its_name_as_label(
    action: ReleaseAction, forge: Forge, version: str, label: str | None
) -> None:
    action.run(version, files="ä*.whl")
    (asset,) = forge.stored_releases()[0]["assets"]
    assert (asset["name"] == "ä ö.whl", asset["label"]) == (False, label)
    assert [call.startswith("PATCH /assets/") for call in action.calls].count(True) == bool(label)


@pytest.mark.parametrize(("version", "fails"), [("v3.0.0", False), ("v2.5.1", True)])
def test_renamed_file_is_replaced_by_its_label(
    action: ReleaseAction, forge: Forge, version: str, fails: bool
) -> None:
    action.run(version, files="ä*.whl")
    Path("ä ö.whl").write_bytes(b"x")
    if fails:
        with pytest.raises(Exception, match="already_exists"):
            action.run(version, files="ä*.whl")
    else:
        action.run(version, files="ä*.whl")
    assert list(sizes(forge).values()) == [6 if fails else 1]


@pytest.mark.parametrize(("version", "fails"), [("v3.0.0", False), ("v2.4.2", True)])
def test_last_of_several_files_of_one_name_is_kept(
    action: ReleaseAction, forge: Forge, version: str, fails: bool
) -> None:
    Path("sub").mkdir()
    Path("sub/a.whl").write_bytes(b"longer")
    if fails:
        with pytest.raises(Exception, match="already_exists"):
            action.run(version, files="a.whl sub/a.whl")
    else:
        action.run(version, files="a.whl sub/a.whl")
    assert sizes(forge) == {"a.whl": 5 if fails else 6}


def test_outputs_have_the_uploaded_files(action: ReleaseAction) -> None:
    action.run(files="a.whl")
    action.run(files="a.whl b.whl", overwrite_files="false")
    assert [asset["name"] for asset in json.loads(action.outputs["assets"])] == ["b.whl"]


@pytest.mark.parametrize(("version", "exists"), [("v3.0.0", True), ("v2.5.0", False)])
def test_output_of_a_release_without_files_depends_on_the_version(
    action: ReleaseAction, version: str, exists: bool
) -> None:
    action.run(version)
    assert ("assets" in action.outputs) is exists


def test_fail_on_unmatched_files_fails_for_a_pattern_without_files(
    action: ReleaseAction, forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r"Pattern '\*\.zip' does not match any files"):
        action.run(files="*.zip", fail_on_unmatched_files="true")
    assert forge.stored_releases() == []
    action.run(files="*.zip")
    printed = capsys.readouterr().out
    assert "Pattern '*.zip'" in printed
    assert "::warning::" not in printed


def test_refusal_has_the_words_of_github(action: ReleaseAction) -> None:
    with pytest.raises(Exception, match=r"Bad credentials - https://docs"):
        action.run(token="wrong")  # noqa: S106


@pytest.mark.parametrize(("version", "fails"), [("v3.0.0", False), ("v2.5.2", True)])
def test_variable_with_a_token_precedes_the_input_in_earlier_versions(
    action: ReleaseAction, monkeypatch: pytest.MonkeyPatch, version: str, fails: bool
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong")
    if fails:
        with pytest.raises(Exception, match="Bad credentials"):
            action.run(version)
    else:
        action.run(version)


def test_branch_cannot_be_released(action: ReleaseAction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GITHUB_REF", "refs/heads/main")
    with pytest.raises(Exception, match="GitHub Releases requires a tag"):
        action.run()


def test_unsupported_input_ends_the_action(
    action: ReleaseAction, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        action.run("v2.6.2", discussion_category_name="News")
    reported = capsys.readouterr().out
    assert "e2e-unsupported" in reported
    assert "v2.6.2" in reported
