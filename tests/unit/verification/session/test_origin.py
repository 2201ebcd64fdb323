"""Where the wheels of a run come from."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from containers import builder, upstream_releases, wheelhouse
from containers.engine import Engine, Run
from containers.workflow_testbed import TagPush
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL
from tests.helpers.sample_testbed import ENGINE, release
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import WrongUse
from verification.models.release import Release
from verification.models.subject import Subject
from verification.session import origin, release_pipeline
from verification.session.prepare import Host
from verification.session.release_pipeline import PublishedRelease
from verification.session.selection import DEFAULT_SOURCE, Options, Selection, select

HOST = Host(ENGINE, Run(id="0123456789", owner="1"))
PROJECT = '[project]\nname = "quiverdb"\nversion = "1.2.0rc1"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with a source."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def selection(**options: object) -> Selection:
    return select(Options.model_validate(options), origin.ROOT, SUBJECT.platforms)


def test_named_wheels_and_a_published_release_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def take(*arguments: object) -> Release:
        asked.append(arguments)
        return release()

    monkeypatch.setattr(wheelhouse, "from_folder", take)
    monkeypatch.setattr(upstream_releases, "release", take)
    assert origin.existing_release(selection(wheels=Path("dist")), SUBJECT) == release()
    assert origin.existing_release(selection(release="0.5.0"), SUBJECT) == release()
    assert origin.existing_release(selection(), SUBJECT) is None
    assert asked == [
        (Path("dist"), "quiverdb", SUBJECT.locks),
        ("0.5.0", "quiverdb", SUBJECT.locks, SUBJECT.platforms),
    ]


def test_what_makes_the_wheels_decides_which_images_are_needed() -> None:
    assert origin.required_recipes(selection()) == release_pipeline.IMAGES
    alone = origin.required_recipes(selection(machines=("debian-13",)))
    assert alone == tuple(builder.recipes(["linux"]))
    assert set(alone) < set(origin.required_recipes(selection(pipeline=False)))


# ---- a build ----


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None]]:
    """Return for each build its platform and the image that was named for it."""
    log: list[tuple[str, str | None]] = []

    def build(
        engine: Engine, _source: Path, run: Run, *, platform: str, manylinux_image: str | None
    ) -> Path:
        assert (engine, run) == (HOST.engine, HOST.run)
        log.append((platform, manylinux_image))
        wheel = tmp_path / (LINUX_WHEEL if platform == "linux" else WINDOWS_WHEEL)
        wheel.write_bytes(platform.encode())
        return wheel

    def none(_locks: Sequence[Path]) -> tuple[Path, ...]:
        return ()

    monkeypatch.setattr(builder, "build", build)
    monkeypatch.setattr(wheelhouse, "dependencies", none)
    return log


def make(asked: Selection) -> tuple[Release, object]:
    with contextlib.ExitStack() as stack:
        return origin.make_release(HOST, asked, SUBJECT, stack)


def test_a_wheel_is_built_for_each_system(
    built: list[tuple[str, str | None]], source: Path
) -> None:
    made, outcome = make(selection(source=source, pipeline=False))
    assert built == [("linux", None), ("windows", None)]
    assert outcome is None
    assert [file.name for file in made.wheels] == [LINUX_WHEEL, WINDOWS_WHEEL]
    assert (made.origin, made.location, made.version) == ("source", str(source), "0.5.0")


def test_the_environment_may_name_another_image_for_the_build(
    built: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    make(selection(source=source, machines=("debian-13",)))
    assert built == [("linux", "quay.example/manylinux")]


# ---- the release workflow ----


class Workflow:
    """A release workflow that publishes these files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.pushes: list[TagPush] = []
        self.actions: list[Path | None] = []
        self._files = files

    def run(
        self, engine: Engine, owner: Run, subject: Subject, push: TagPush, actions: Path | None
    ) -> PublishedRelease:
        assert (engine, owner, subject) == (HOST.engine, HOST.run, SUBJECT)
        self.pushes.append(push)
        self.actions.append(actions)
        return PublishedRelease(pipeline_result(), self._files)


def test_the_wheels_are_those_that_the_workflow_published(
    built: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = Workflow({WINDOWS_WHEEL: b"windows", LINUX_WHEEL: b"linux"})
    monkeypatch.setattr(release_pipeline, "run", workflow.run)
    with contextlib.ExitStack() as stack:
        asked = selection(source=source, actions_from=source)
        made, outcome = origin.make_release(HOST, asked, SUBJECT, stack)
        assert [path.read_bytes() for path in made.wheel_paths] == [b"linux", b"windows"]
    assert outcome == pipeline_result()
    assert built == []
    assert [path.exists() for path in made.wheel_paths] == [False, False], "they are removed"
    (push,) = workflow.pushes
    assert (push.tags, push.overlays) == (("v1.2.0rc1",), {"bindings/python": source})
    assert workflow.actions == [source]


def test_where_the_workflow_published_nothing_the_wheels_are_built(
    built: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_pipeline, "run", Workflow({}).run)
    made, outcome = make(selection(source=source))
    assert [platform for platform, _ in built] == ["linux", "windows"]
    assert made.location == str(source)
    assert outcome == pipeline_result(), "the workflow has its own verdict"


@pytest.mark.usefixtures("built")
def test_the_default_source_is_in_the_checkout_already(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow({})
    monkeypatch.setattr(release_pipeline, "run", workflow.run)
    make(selection(source=origin.ROOT / DEFAULT_SOURCE))
    assert workflow.pushes[0].overlays == {}
    assert workflow.pushes[0].root == origin.ROOT


@pytest.mark.parametrize(
    "text",
    ["[project", "", '[project]\nname = "x"\n', '[project]\nversion = "new"\n', "project = 1\n"],
)
def test_a_source_without_a_version_is_wrong_use(source: Path, text: str) -> None:
    (source / "pyproject.toml").write_text(text)
    with pytest.raises(WrongUse, match=r"pyproject\.toml: no version"):
        make(selection(source=source))
