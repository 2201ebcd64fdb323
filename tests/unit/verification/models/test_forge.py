from __future__ import annotations

import dataclasses
from pathlib import Path

import pydantic
import pytest
from forge import config
from forge.refs import Refs
from forge.releases import ReleaseFields, ReleaseStore

from tests.helpers import forge_server
from tests.helpers.forge_server import BUILD, PUBLISH, REPOSITORY, WORKFLOW
from verification.models.forge import ForgeRelease, ForgeRequest, JobIdentity, Repository

LINE = {"time": "2026-01-01T00:00:00Z", "client": "10.0.0.3"}


def test_the_server_reads_the_configuration_that_the_host_writes(tmp_path: Path) -> None:
    settings = config.load(forge_server.configure(tmp_path))
    assert dataclasses.asdict(settings.repository) == REPOSITORY.model_dump()
    assert dataclasses.asdict(settings.run) == WORKFLOW.model_dump()


def test_a_repository_is_public_with_the_branch_main_by_default() -> None:
    repository = Repository(owner="o", name="n", id=1, owner_id=2)
    assert (repository.visibility, repository.default_branch) == ("public", "main")


@pytest.mark.parametrize("identity", [BUILD, PUBLISH, JobIdentity(job="a", claims={"sub": None})])
def test_a_job_is_unchanged_by_json(identity: JobIdentity) -> None:
    assert JobIdentity.model_validate_json(identity.model_dump_json()) == identity


def test_the_host_reads_the_releases_that_the_server_writes(tmp_path: Path) -> None:
    repository = config.load(forge_server.configure(tmp_path)).repository
    store = ReleaseStore(tmp_path, Refs(repository))
    created = store.create(ReleaseFields(tag="v0.5.0", name="Five", target="main"), "true")
    text = (tmp_path / "releases.json").read_text("utf-8")
    (release,) = pydantic.TypeAdapter(tuple[ForgeRelease, ...]).validate_json(text)
    assert (release.id, release.tag, release.name) == (created.id, "v0.5.0", "Five")
    assert (release.latest, release.draft, release.assets) == (True, False, ())


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Repository, REPOSITORY.model_dump()),
        (JobIdentity, BUILD.model_dump()),
        (ForgeRequest, LINE),
    ],
)
def test_an_unknown_field_is_refused(
    model: type[pydantic.BaseModel], fields: dict[str, object]
) -> None:
    model.model_validate(fields)
    with pytest.raises(pydantic.ValidationError, match="other"):
        model.model_validate({**fields, "other": 1})


def test_a_line_of_the_log_is_unchanged_by_json() -> None:
    line = ForgeRequest.model_validate(
        {**LINE, "status": 200, "kids": ("1",), "claims": {"sub": "x", "run_attempt": 2}}
    )
    assert ForgeRequest.model_validate_json(line.model_dump_json()) == line
    assert line.is_served
