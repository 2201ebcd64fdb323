from __future__ import annotations

import pytest

from containers import upstream_releases
from containers.images import ImageUnavailable
from containers.upstream_releases import IndexFile
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, inspection
from tests.helpers.sample_testbed import release
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release
from verification.session.published_files import published_files

MACOS = "quiverdb-0.5.0-cp313-cp313-macosx_11_0_arm64.whl"


def _listed(name: str, version: str, yanked: str | None = None) -> IndexFile:
    tag = name.removesuffix(".whl").split("-", 2)[-1]
    fits = (tag, ">=3.13")
    return IndexFile(name=name, version=version, url="", sha256="", fits=fits, yanked=yanked)


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


def test_a_published_release_has_the_files_that_the_index_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_releases, "listing", lambda _project: LISTING)
    found = published_files(_release("release"), INSPECTION, "quiverdb", earlier=True)
    assert {file.name for file in found.files} == {LINUX_WHEEL, MACOS}
    assert {file.requires_python for file in found.files} == {">=3.13"}
    assert [file.version for file in found.earlier] == ["0.4.0"]
    assert not found.unknown


@pytest.mark.parametrize("origin", ["release", "wheels"])
def test_without_the_index_the_wheels_are_known(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    def unavailable(_project: str) -> None:
        raise ImageUnavailable("it does not answer")

    monkeypatch.setattr(upstream_releases, "listing", unavailable)
    found = published_files(_release(origin), INSPECTION, "quiverdb", earlier=True)
    assert {file.name for file in found.files} == {file.name for file in release().wheels}
    assert {file.requires_python for file in found.files} == {">=3.12"}
    assert bool(found.unknown) == (origin == "release"), "a folder of wheels is the whole release"


def test_the_index_is_not_asked_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_releases, "listing", lambda _project: pytest.fail("asked"))
    assert not published_files(_release("wheels"), INSPECTION, "quiverdb", earlier=False).earlier
