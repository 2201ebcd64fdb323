from __future__ import annotations

import pytest

from containers import upstream_releases
from containers.upstream_releases import IndexFile, UpstreamUnavailable
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, inspection
from tests.helpers.sample_testbed import release
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release
from verification.session.published_files import published_files

MACOS = "quiverdb-0.5.0-cp313-cp313-macosx_11_0_arm64.whl"


def _listed(name: str, version: str, yanked: str | None = None) -> IndexFile:
    tag = name.removesuffix(".whl").split("-", 2)[-1]
    return IndexFile(
        name=name, version=version, url="", sha256="", fits=(tag, ">=3.13"), yanked=yanked
    )


LISTING = (
    _listed(LINUX_WHEEL, "0.5.0"),
    _listed(MACOS, "0.5.0"),
    _listed("quiverdb-0.4.0-py3-none-any.whl", "0.4.0"),
    _listed("quiverdb-0.4.1-py3-none-any.whl", "0.4.1", yanked=""),
    _listed("quiverdb-0.4.2rc1-py3-none-any.whl", "0.4.2rc1"),
    _listed("quiverdb-0.6.0-py3-none-any.whl", "0.6.0"),
)
INSPECTION = ReleaseInspection(
    wheels=tuple(
        inspection(name, sha256).model_copy(update={"requires_python": ">=3.12"})
        for name, sha256 in WHEELS.items()
    )
)


def _release(origin: str) -> Release:
    return release().model_copy(update={"origin": origin})


def test_published_release_has_the_files_that_the_index_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_releases, "listing", lambda _project: LISTING)
    release_files = published_files(_release("release"), INSPECTION, "quiverdb", earlier=True)
    assert {file.name for file in release_files.files} == {LINUX_WHEEL, MACOS}
    assert {file.requires_python for file in release_files.files} == {">=3.13"}
    assert [file.version for file in release_files.earlier] == ["0.4.0"]
    assert not release_files.unknown


@pytest.mark.parametrize("origin", ["release", "wheels"])
def test_release_without_an_answer_of_the_index_has_its_wheels(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    def unavailable(_project: str) -> None:
        raise UpstreamUnavailable("no answer")

    monkeypatch.setattr(upstream_releases, "listing", unavailable)
    release_files = published_files(_release(origin), INSPECTION, "quiverdb", earlier=True)
    assert {file.name for file in release_files.files} == {file.name for file in release().wheels}
    assert {file.requires_python for file in release_files.files} == {">=3.12"}
    # A folder of wheels is the complete release.
    assert bool(release_files.unknown) == (origin == "release")


def test_index_is_not_requested_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_releases, "listing", lambda _project: pytest.fail("a request"))
    assert not published_files(_release("wheels"), INSPECTION, "quiverdb", earlier=False).earlier
