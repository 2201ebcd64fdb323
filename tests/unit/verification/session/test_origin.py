"""The origin of the wheels of a run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from containers import builder, upstream_releases, wheelhouse
from containers.engine import Engine, Run
from containers.workflow_testbed import StartingEvent
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL
from tests.helpers.sample_testbed import ENGINE, release
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.release import Release
from verification.models.subject import Subject
from verification.session import dependencies, origin, release_pipeline
from verification.session.hosts import Host
from verification.session.release_pipeline import PublishedRelease, ReleaseRequest
from verification.session.selection import DEFAULT_SOURCE, Options, Selection, select

HOST = Host(ENGINE, Run(id="0123456789", owner="1"))
PROJECT = '[project]\nname = "quiverdb"\nversion = "1.2.0rc1"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with the source of a package."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def selection(**options: object) -> Selection:
    return select(Options.model_validate(options), origin.ROOT, SUBJECT.platforms)


def test_folder_of_wheels_and_published_release_are_existing_releases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[object, ...]] = []

    def existing(*arguments: object, **named: object) -> Release:
        calls.append((*arguments, *named.values()))
        return release()

    cffi = Path("cffi-2.0-py3-none-any.whl")
    monkeypatch.setattr(dependencies, "files", lambda *_: (cffi,))
    monkeypatch.setattr(wheelhouse, "from_folder", existing)
    monkeypatch.setattr(upstream_releases, "release", existing)
    with_cffi = release().with_dependencies(cffi)
    assert origin.existing_release(selection(wheels=Path("dist")), SUBJECT) == with_cffi
    assert origin.existing_release(selection(release="0.5.0"), SUBJECT) == with_cffi
    assert origin.existing_wheels(selection(release="0.5.0"), SUBJECT) == release()
    assert origin.existing_release(selection(), SUBJECT) is None
    assert calls == [
        (Path("dist"), "quiverdb"),
        *[("0.5.0", "quiverdb", SUBJECT.platforms, SUBJECT.python)] * 2,
    ]


def test_way_to_make_the_wheels_decides_which_images_are_needed() -> None:
    assert origin.required_recipes(selection()) == release_pipeline.IMAGES
    for_linux = origin.required_recipes(selection(machines=("debian-13",)))
    assert for_linux == tuple(builder.recipes(["linux"]))
    assert set(for_linux) < set(origin.required_recipes(selection(pipeline=False)))


# ---- a build ----


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None]]:
    """Replace the builder by a fake. Return its log: platform and named image of each build."""
    log: list[tuple[str, str | None]] = []

    def build(
        engine: Engine,
        _source: Path,
        run: Run,
        *,
        platform: str,
        python: str,
        manylinux_image: str | None,
    ) -> Path:
        assert (engine, run, python) == (HOST.engine, HOST.run, SUBJECT.python)
        log.append((platform, manylinux_image))
        wheel = tmp_path / (LINUX_WHEEL if platform == "linux" else WINDOWS_WHEEL)
        wheel.write_bytes(platform.encode())
        return wheel

    monkeypatch.setattr(builder, "build", build)
    monkeypatch.setattr(dependencies, "files", lambda *_: ())
    return log


def make(selected: Selection) -> tuple[Release, object]:
    with contextlib.ExitStack() as stack:
        return origin.make_release(HOST, selected, SUBJECT, stack)


def test_one_wheel_is_built_for_each_system(
    builds: list[tuple[str, str | None]], source: Path
) -> None:
    wheels, outcome = make(selection(source=source, pipeline=False))
    assert builds == [("linux", None), ("windows", None)]
    assert outcome is None
    assert [file.name for file in wheels.wheels] == [LINUX_WHEEL, WINDOWS_WHEEL]
    assert (wheels.origin, wheels.location, wheels.version) == ("source", str(source), "0.5.0")
    assert wheels.compilers == (builder.compiler("linux"), builder.compiler("windows"))


def test_environment_can_name_the_image_of_the_build(
    builds: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    wheels, _ = make(selection(source=source, machines=("debian-13",)))
    assert builds == [("linux", "quay.example/manylinux")]
    assert wheels.compilers == (builder.compiler("linux", "quay.example/manylinux"),)


def test_python_that_the_builder_does_not_have_is_wrong_use(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = selection(source=source, machines=("debian-13",))
    subject = SUBJECT.model_copy(update={"python": "cp312"})
    with pytest.raises(WrongUse, match=r"--source: .*cp312.*QUIVERDB_E2E_MANYLINUX.*--wheels"):
        origin.existing_release(selected, subject)
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    assert origin.existing_release(selected, subject) is None


@pytest.mark.parametrize(
    ("subject", "image", "expected"),
    [("", "", BuildFailed), ("other", "", TestbedFailure), ("other", "m", BuildFailed)],
    ids=["default", "stand-in builder", "manylinux"],
)
def test_failed_build_of_another_package_counts_only_in_an_image_of_manylinux(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    subject: str,
    image: str,
    expected: type[Exception],
) -> None:
    def build(*_: object, **__: object) -> Path:
        raise BuildFailed("wheel for linux", "fatal error: 'Python.h' file not found", "a.log")

    monkeypatch.setattr(builder, "build", build)
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", image)
    selected = selection(source=source, machines=("debian-13",), subject=subject)
    with pytest.raises(expected, match=r"Python\.h"):
        make(selected)


# ---- the release workflow ----


class Workflow:
    """A fake release workflow that publishes these files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.pushes: list[StartingEvent] = []
        self.actions: list[Path | None] = []
        self._files = files

    def run(
        self,
        engine: Engine,
        owner: Run,
        subject: Subject,
        request: ReleaseRequest,
    ) -> PublishedRelease:
        assert (engine, owner, subject) == (HOST.engine, HOST.run, SUBJECT)
        self.pushes.append(request.event)
        self.actions.append(request.actions_from)
        return PublishedRelease(pipeline_result(), self._files)


def test_release_has_the_wheels_that_the_workflow_published(
    builds: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = Workflow({WINDOWS_WHEEL: b"windows", LINUX_WHEEL: b"linux"})
    monkeypatch.setattr(release_pipeline, "run", workflow.run)
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    with contextlib.ExitStack() as stack:
        selected = selection(source=source, actions_from=source)
        wheels, outcome = origin.make_release(HOST, selected, SUBJECT, stack)
        assert [path.read_bytes() for path in wheels.wheel_paths] == [b"linux", b"windows"]
    assert outcome == pipeline_result()
    assert wheels.compilers == (builder.compiler("linux"), builder.compiler("windows"))
    assert builds == []
    assert [path.exists() for path in wheels.wheel_paths] == [False, False]
    (push,) = workflow.pushes
    assert (push.tags, push.overlays) == (("v1.2.0rc1",), {"bindings/python": source})
    assert workflow.actions == [source]


def test_wheels_are_built_if_the_workflow_published_nothing(
    builds: list[tuple[str, str | None]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_pipeline, "run", Workflow({}).run)
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    wheels, outcome = make(selection(source=source))
    assert wheels.compilers[0] == builder.compiler("linux", "quay.example/manylinux")
    assert [platform for platform, _ in builds] == ["linux", "windows"]
    assert wheels.location == str(source)
    assert outcome == pipeline_result()


@pytest.mark.usefixtures("builds")
def test_default_source_needs_no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow({})
    monkeypatch.setattr(release_pipeline, "run", workflow.run)
    make(selection(source=origin.ROOT / DEFAULT_SOURCE))
    assert workflow.pushes[0].overlays == {}
    assert workflow.pushes[0].root == origin.ROOT


@pytest.mark.parametrize(
    "text",
    ["[project", "", '[project]\nname = "x"\n', '[project]\nversion = "new"\n', "project = 1\n"],
    ids=["no TOML", "empty", "no version", "invalid version", "no table"],
)
def test_source_without_a_version_is_wrong_use(source: Path, text: str) -> None:
    (source / "pyproject.toml").write_text(text)
    with pytest.raises(WrongUse, match=r"pyproject\.toml: "):
        make(selection(source=source))
