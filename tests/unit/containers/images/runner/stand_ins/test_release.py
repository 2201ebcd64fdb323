"""The stand-in for softprops/action-gh-release with a running forge."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from tests.helpers.forge_server import TOKEN, Forge
from tests.helpers.stand_ins import Action


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Forge) -> Action:
    class Session:
        """Replaces `requests.Session`. All requests go to the running forge."""

        def __init__(self) -> None:
            self.headers: dict[str, str] = {}

        def request(
            self, method: str, url: str, *, timeout: float, **options: Any
        ) -> requests.Response:
            assert timeout
            headers = self.headers | options.pop("headers", {})
            return forge.send(method, url, token=None, headers=headers, **options)

        def get(self, url: str, **options: Any) -> requests.Response:
            return self.request("GET", url, **options)

        def post(self, url: str, **options: Any) -> requests.Response:
            return self.request("POST", url, **options)

    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "quiver-owner/quiver2")
    monkeypatch.setenv("GITHUB_REF", "refs/tags/v0.5.0")
    release = Action("release", "softprops-action-gh-release", tmp_path, monkeypatch)
    monkeypatch.setattr(release.module, "requests", SimpleNamespace(Session=Session))
    (tmp_path / "a.whl").write_bytes(b"first")
    (tmp_path / "b.whl").write_bytes(b"other")
    return release


def sizes(forge: Forge) -> dict[str, int]:
    (release,) = forge.stored_releases()
    return {asset["name"]: asset["size"] for asset in release["assets"]}


def test_release_has_generated_notes_and_files(action: Action, forge: Forge) -> None:
    action.run(token=TOKEN, files="*.whl", generate_release_notes="true")

    (release,) = forge.stored_releases()
    assert (release["tag"], release["draft"], release["prerelease"]) == ("v0.5.0", False, False)
    assert "Full Changelog" in release["body"]
    assert sizes(forge) == {"a.whl": 5, "b.whl": 5}
    assert action.outputs["id"] == str(release["id"])


def test_prerelease_is_published_and_marked(action: Action, forge: Forge) -> None:
    action.run(token=TOKEN, prerelease="true")

    (release,) = forge.stored_releases()
    assert (release["draft"], release["prerelease"]) == (False, True)


def test_draft_is_found_and_published_by_a_second_run(action: Action, forge: Forge) -> None:
    action.run(token=TOKEN, draft="true", body="one")
    action.run(token=TOKEN, draft="false", body="two", append_body="true", name="Five")

    (release,) = forge.stored_releases()
    assert (release["draft"], release["body"], release["name"]) == (False, "one\ntwo", "Five")


@pytest.mark.parametrize(("overwrite", "size"), [("true", 6), ("false", 5)])
def test_overwrite_files_replaces_an_existing_file(
    action: Action, forge: Forge, overwrite: str, size: int
) -> None:
    action.run(token=TOKEN, files="a.whl")
    Path("a.whl").write_bytes(b"second")
    action.run(token=TOKEN, files="a.whl", overwrite_files=overwrite)

    assert sizes(forge) == {"a.whl": size}


def test_fail_on_unmatched_files_fails_for_a_pattern_without_files(
    action: Action, forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r"Pattern '\*\.zip' does not match any files"):
        action.run(token=TOKEN, files="*.zip", fail_on_unmatched_files="true")
    assert forge.stored_releases() == []
    action.run(token=TOKEN, files="*.zip")
    assert "::warning::Pattern '*.zip'" in capsys.readouterr().out


def test_refusal_has_the_words_of_github(action: Action) -> None:
    with pytest.raises(Exception, match=r"failed with status: 401: Bad credentials .*\(GET"):
        action.run(token="wrong")  # noqa: S106


def test_branch_cannot_be_released(action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GITHUB_REF", "refs/heads/main")
    with pytest.raises(Exception, match="GitHub Releases requires a tag"):
        action.run(token=TOKEN)


def test_only_the_exact_word_true_is_true(action: Action, forge: Forge) -> None:
    action.run(token=TOKEN, prerelease="yes", draft="True", make_latest="maybe")

    (release,) = forge.stored_releases()
    assert (release["draft"], release["prerelease"]) == (False, False)


def test_body_is_used_if_body_path_is_missing(action: Action, forge: Forge) -> None:
    action.run(token=TOKEN, body="text", body_path="none.md")
    assert forge.stored_releases()[0]["body"] == "text"


@pytest.mark.parametrize(
    "inputs",
    [
        {"files": "{a,b}.whl"},
        {"files": "!(a).whl"},
        {"previous_tag": "v1"},
        {"discussion_category_name": "News"},
    ],
)
def test_unsupported_input_ends_the_action(
    action: Action, capsys: pytest.CaptureFixture[str], inputs: dict[str, str]
) -> None:
    with pytest.raises(SystemExit):
        action.run(token=TOKEN, **inputs)
    assert "e2e-unsupported" in capsys.readouterr().out
