from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path

import pytest
import requests

from tests.helpers.stand_ins import Action

CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": "repo:o/n"}).encode()).decode().rstrip("=")


def answer(status: int, body: object) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return made


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    made = Action("publish", "pypa-gh-action-pypi-publish", tmp_path, monkeypatch)
    monkeypatch.setattr(made.module.identities, "detect_credential", lambda _: f"a.{CLAIMS}.c")
    audience = answer(200, {"audience": "index"})
    monkeypatch.setattr(made.module.requests, "get", lambda *_, **__: audience)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "a.whl").write_bytes(b"a")
    return made


def commands(
    action: Action, monkeypatch: pytest.MonkeyPatch, answered: requests.Response, **inputs: str
) -> list[tuple[str, ...]]:
    """Run it with this answer of the index and these inputs; return the commands of twine."""
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(action.module.requests, "post", lambda *_, **__: answered)
    monkeypatch.setattr(action.module, "_twine", lambda *arguments: ran.append(arguments))
    action.run(**{"repository__url": "https://upload.example/legacy/", **inputs})
    return ran


def test_the_token_of_the_exchange_uploads_what_is_checked(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TWINE_USERNAME", "TWINE_PASSWORD", "TWINE_REPOSITORY_URL"):
        monkeypatch.setenv(name, "")
    check, upload = commands(action, monkeypatch, answer(200, {"token": "pypi-x"}))

    assert check == ("check", "dist/a.whl")
    options = ("--non-interactive", "--disable-progress-bar", "--verbose")
    assert upload == ("upload", *options, "dist/a.whl")
    assert (os.environ["TWINE_USERNAME"], os.environ["TWINE_PASSWORD"]) == ("__token__", "pypi-x")
    assert os.environ["TWINE_REPOSITORY_URL"] == "https://upload.example/legacy/"
    said = capsys.readouterr().out
    assert "::add-mask::pypi-x" in said
    assert "makes no attestations" in said


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            422,
            {"errors": [{"code": "invalid-publisher", "description": "no"}]},
            "the index answered 422: `invalid-publisher`: no",
        ),
        (403, {"message": "not enabled"}, "the index answered 403: not enabled"),
        (200, {"token": 5}, "the index answered 200: None"),
        (502, b"<html>", "the index answered 502: <html>"),
    ],
)
def test_a_refused_exchange_has_the_reasons_of_the_index(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: object,
    reason: str,
) -> None:
    with pytest.raises(Exception, match="Trusted publishing exchange failure") as failure:
        commands(action, monkeypatch, answer(status, body))

    assert str(failure.value).endswith(reason)
    shown = "The claims of this job" in capsys.readouterr().out
    assert shown is (status != 200)


@pytest.mark.parametrize(("attestations", "refused"), [("true", True), ("false", False)])
def test_attestations_of_a_called_workflow_are_refused(
    action: Action, monkeypatch: pytest.MonkeyPatch, attestations: str, refused: bool
) -> None:
    folder = "o/n/.github/workflows"
    claims = {
        "repository": "o/n",
        "workflow_ref": f"{folder}/publish.yml@refs/tags/v1",
        "job_workflow_ref": f"{folder}/upload.yml@refs/tags/v1",
    }
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    monkeypatch.setattr(action.module.identities, "detect_credential", lambda _: f"a.{payload}.c")
    reason = r"publish\.yml.* does not match expected Trusted Publisher \(upload\.yml @ o/n\)"
    with pytest.raises(Exception, match=reason) if refused else contextlib.nullcontext():
        commands(action, monkeypatch, answer(200, {"token": "x"}), attestations=attestations)


def test_a_job_without_the_permission_is_told_so(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> str:
        raise action.module.identities.IdentityError("no variables")

    monkeypatch.setattr(action.module.identities, "detect_credential", refuse)
    with pytest.raises(Exception, match="the job needs `permissions: id-token: write`"):
        commands(action, monkeypatch, answer(200, {}))


@pytest.mark.parametrize(
    ("inputs", "files"),
    [
        ({"packages_dir": "wheels"}, "wheels/*"),
        ({"packages__dir": "wheels"}, "wheels/*"),
        ({"packages__dir": "wheels", "packages_dir": "dist"}, "wheels/*"),
        ({"packages__dir": "", "packages_dir": "dist"}, "dist/a.whl"),
    ],
)
def test_the_folder_may_have_either_name(
    action: Action, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, str], files: str
) -> None:
    ran = commands(action, monkeypatch, answer(200, {"token": "pypi-x"}), **inputs)
    assert [command[-1] for command in ran] == [files, files]


@pytest.mark.parametrize("inputs", [{"skip_existing": "true"}, {"skip__existing": "no"}])
def test_files_that_exist_cannot_be_skipped_here(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inputs: dict[str, str],
) -> None:
    with pytest.raises(SystemExit):
        commands(action, monkeypatch, answer(200, {"token": "pypi-x"}), **inputs)
    assert "e2e-unsupported" in capsys.readouterr().out


def test_a_forge_that_does_not_answer_is_the_testbeds_failure(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(_: str) -> str:
        raise requests.ConnectionError("no answer")

    monkeypatch.setattr(action.module.identities, "detect_credential", lose)
    with pytest.raises(SystemExit):
        commands(action, monkeypatch, answer(200, {}))
    assert 'e2e-failure {"cause": "forge-unreachable"' in capsys.readouterr().out
