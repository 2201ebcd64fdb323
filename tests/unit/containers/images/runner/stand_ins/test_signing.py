"""Signing by the stand-in for the publish action, with running signing servers."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from pypi_attestations import Attestation, AttestationType

from containers.index import SIGNING_HOST
from tests.helpers.index_front import sha256, wheel
from tests.helpers.oidc import PublishingIndex
from tests.helpers.stand_ins import Action

FILES = (wheel("strict", "1.0"), wheel("strict", "1.0", "py2-none-any"))


@pytest.fixture
def action(
    signing_index: PublishingIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Action:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(signing_index.front.ca))
    signing = Action("signing", "pypa-gh-action-pypi-publish", tmp_path, monkeypatch)
    monkeypatch.setattr(
        signing.module.identities,
        "detect_credential",
        lambda audience: signing_index.token(aud=audience),
    )
    (tmp_path / "dist").mkdir()
    for name, content in FILES:
        (tmp_path / "dist" / name).write_bytes(content)
    (tmp_path / "dist" / "notes.txt").touch()
    return signing


def test_each_file_gets_a_publish_attestation(
    action: Action, signing_index: PublishingIndex
) -> None:
    paths = action.module.attest(Path("dist"), signing_index.front.upload)

    assert [path.name for path in paths] == sorted(
        f"{name}.publish.attestation" for name, _ in FILES
    )
    for (name, content), path in zip(sorted(FILES), paths, strict=True):
        statement = Attestation.model_validate_json(path.read_text("utf-8")).statement
        assert statement["predicateType"] == AttestationType.PYPI_PUBLISH_V1.value
        (subject,) = statement["subject"]
        assert subject == {"name": name, "digest": {"sha256": sha256(content)}}
    assert len({path.read_text("utf-8") for path in paths}) == len(FILES)


def test_file_with_an_attestation_is_refused(
    action: Action, signing_index: PublishingIndex
) -> None:
    existing = Path("dist", f"{FILES[0][0]}.publish.attestation")
    existing.touch()
    with pytest.raises(Exception, match=f"already exist: {existing}"):
        action.module.attest(Path("dist"), signing_index.front.upload)
    assert [path.suffix for path in Path("dist").glob("*.attestation")] == [".attestation"]


def test_folder_with_the_name_of_a_file_is_refused(
    action: Action, signing_index: PublishingIndex
) -> None:
    Path("dist", "folder.whl").mkdir()
    with pytest.raises(Exception, match=r"not files: dist/folder\.whl"):
        action.module.attest(Path("dist"), signing_index.front.upload)


def test_job_without_the_permission_cannot_sign(
    action: Action, signing_index: PublishingIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> str:
        raise action.module.identities.IdentityError("no variables")

    monkeypatch.setattr(action.module.identities, "detect_credential", refuse)
    with pytest.raises(Exception, match=r"no variables.*id-token: write"):
        action.module.attest(Path("dist"), signing_index.front.upload)


def test_forge_without_a_response_is_a_failure_of_the_testbed(
    action: Action,
    signing_index: PublishingIndex,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def disconnect(_: str) -> str:
        raise requests.ConnectionError("no response")

    monkeypatch.setattr(action.module.identities, "detect_credential", disconnect)
    with pytest.raises(SystemExit):
        action.module.attest(Path("dist"), signing_index.front.upload)
    assert 'e2e-failure {"cause": "forge-unreachable"' in capsys.readouterr().out


def test_servers_have_the_host_name_of_the_index(action: Action) -> None:
    assert f"https://{SIGNING_HOST}" == action.module.SERVERS
