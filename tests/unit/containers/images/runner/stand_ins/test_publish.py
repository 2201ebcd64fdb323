"""The stand-in for pypa/gh-action-pypi-publish, with fake responses of the index."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import zipfile
from pathlib import Path

import pytest
import requests

from tests.helpers.stand_ins import Action

CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": "repo:o/n"}).encode()).decode().rstrip("=")


def response(status: int, body: object) -> requests.Response:
    fake = requests.Response()
    fake.status_code = status
    fake._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fake


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    publish = Action("publish", "pypa-gh-action-pypi-publish", tmp_path, monkeypatch)
    monkeypatch.setattr(publish.module.identities, "detect_credential", lambda _: f"a.{CLAIMS}.c")
    audience = response(200, {"audience": "index"})
    monkeypatch.setattr(publish.module.requests, "get", lambda *_, **__: audience)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "a.whl").write_bytes(b"a")
    return publish


def twine_commands(
    action: Action, monkeypatch: pytest.MonkeyPatch, exchange: requests.Response, **inputs: str
) -> list[tuple[str, ...]]:
    """Run the stand-in action. `exchange` answers its token request. Return twine's arguments."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(action.module.requests, "post", lambda *_, **__: exchange)
    monkeypatch.setattr(action.module, "_twine", lambda *arguments: commands.append(arguments))
    action.run(**{"repository__url": "https://upload.example/legacy/", **inputs})
    return commands


def test_files_are_checked_and_uploaded_with_the_token_of_the_exchange(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TWINE_USERNAME", "TWINE_PASSWORD", "TWINE_REPOSITORY_URL"):
        monkeypatch.setenv(name, "")
    check, upload = twine_commands(action, monkeypatch, response(200, {"token": "pypi-x"}))

    assert check == ("check", "dist/a.whl")
    options = ("--non-interactive", "--disable-progress-bar", "--verbose")
    assert upload == ("upload", *options, "dist/a.whl")
    assert (os.environ["TWINE_USERNAME"], os.environ["TWINE_PASSWORD"]) == ("__token__", "pypi-x")
    assert os.environ["TWINE_REPOSITORY_URL"] == "https://upload.example/legacy/"
    printed = capsys.readouterr().out
    assert "::add-mask::pypi-x" in printed


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            422,
            {"errors": [{"code": "invalid-publisher", "description": "no"}]},
            "422: `invalid-publisher`: no",
        ),
        (403, {"message": "not enabled"}, "403: not enabled"),
        (200, {"token": 5}, "200: None"),
        (502, b"<html>", "502: <html>"),
    ],
)
def test_refused_exchange_fails_with_the_reasons_of_the_index(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: object,
    reason: str,
) -> None:
    with pytest.raises(Exception, match="Trusted publishing exchange failure") as failure:
        twine_commands(action, monkeypatch, response(status, body))

    assert str(failure.value).endswith(reason)
    prints_claims = '"sub": "repo:o/n"' in capsys.readouterr().out
    assert prints_claims is (status != 200)


def test_error_of_a_job_without_the_permission_names_the_permission(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> str:
        raise action.module.identities.IdentityError("no variables")

    monkeypatch.setattr(action.module.identities, "detect_credential", refuse)
    with pytest.raises(Exception, match=r"no variables.*id-token: write"):
        twine_commands(action, monkeypatch, response(200, {}))


@pytest.mark.parametrize(
    ("inputs", "files"),
    [
        ({"packages_dir": "wheels"}, "wheels/*"),
        ({"packages__dir": "wheels"}, "wheels/*"),
        ({"packages__dir": "wheels", "packages_dir": "dist"}, "wheels/*"),
        ({"packages__dir": "", "packages_dir": "dist"}, "dist/a.whl"),
    ],
)
def test_input_for_the_folder_has_two_names(
    action: Action, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, str], files: str
) -> None:
    exchange = response(200, {"token": "pypi-x"})
    commands = twine_commands(action, monkeypatch, exchange, **inputs)
    assert [command[-1] for command in commands] == [files, files]


@pytest.mark.parametrize(
    ("inputs", "skips"),
    [
        ({"skip_existing": "true"}, True),
        ({"skip__existing": "no"}, True),
        ({"skip__existing": "False"}, False),
        ({}, False),
    ],
)
def test_skip_existing_is_an_option_of_twine(
    action: Action, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, str], skips: bool
) -> None:
    _, upload = twine_commands(action, monkeypatch, response(200, {"token": "pypi-x"}), **inputs)
    assert ("--skip-existing" in upload) is skips


@pytest.mark.parametrize(
    ("version", "inputs", "verbose"),
    [
        ("v1.14.0", {}, True),
        ("v1.14.0", {"verbose": "False"}, False),
        ("v1.8.14", {}, False),
        ("v1.8.14", {"verbose": "true"}, True),
    ],
)
def test_verbose_is_the_default_of_later_versions(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    inputs: dict[str, str],
    verbose: bool,
) -> None:
    exchange = response(200, {"token": "x"})
    _, upload = twine_commands(action, monkeypatch, exchange, version=version, **inputs)
    assert ("--verbose" in upload) is verbose


@pytest.mark.parametrize(
    ("version", "inputs", "signs"),
    [
        ("v1.14.0", {}, True),
        ("v1.14.0", {"attestations": "false"}, False),
        ("v1.10.3", {}, False),
        ("v1.10.3", {"attestations": "true"}, True),
        ("v1.8.14", {"attestations": "true"}, False),
        ("v1.14.0", {"password": "pypi-x"}, False),
        ("v1.14.0", {"repository__url": "https://upload.example/legacy/"}, False),
    ],
)
def test_attestations_are_made_and_uploaded(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    inputs: dict[str, str],
    signs: bool,
) -> None:
    def attest(folder: Path) -> list[Path]:
        return [folder / "a.whl.publish.attestation"]

    monkeypatch.setattr(action.module, "attest", attest)
    values = {"repository__url": "", **inputs}
    exchange = response(200, {"token": "x"})
    check, upload = twine_commands(action, monkeypatch, exchange, version=version, **values)
    assert check == ("check", "dist/a.whl")
    assert ("--attestations" in upload, "dist/a.whl.publish.attestation" in upload) == (signs,) * 2
    is_ignored = "attestations input ignored" in capsys.readouterr().out
    assert is_ignored is (not signs and {"password", "repository__url"} & inputs.keys() != set())


@pytest.mark.parametrize(
    ("version", "metadata", "supported"),
    [
        ("v1.14.0", "2.4", True),
        ("v1.12.4", "2.5", True),
        ("v1.12.3", "2.4", False),
        ("v1.8.14", "2.3", True),
        ("v1.7.1", "2.1", False),
    ],
)
def test_metadata_of_a_later_time_than_the_version_is_unsupported(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    version: str,
    metadata: str,
    supported: bool,
) -> None:
    with zipfile.ZipFile(tmp_path / "dist" / "a.whl", "w") as wheel:
        wheel.writestr("a-1.dist-info/METADATA", f"Metadata-Version: {metadata}\nName: a\n")
    exchange = response(200, {"token": "x"})
    with contextlib.nullcontext() if supported else pytest.raises(SystemExit):
        twine_commands(action, monkeypatch, exchange, version=version)
    assert ("e2e-unsupported" in capsys.readouterr().out) is not supported


def test_forge_without_a_response_is_a_failure_of_the_testbed(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def disconnect(_: str) -> str:
        raise requests.ConnectionError("no response")

    monkeypatch.setattr(action.module.identities, "detect_credential", disconnect)
    with pytest.raises(SystemExit):
        twine_commands(action, monkeypatch, response(200, {}))
    assert 'e2e-failure {"cause": "forge-unreachable"' in capsys.readouterr().out
