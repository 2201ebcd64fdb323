from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from verification.models.release import (
    Release,
    ReleaseFile,
    allows_python,
    project_and_version,
)

WHEEL = ReleaseFile(path=Path("folder/x-1.2.0-py3-none-any.whl"), sha256="0" * 64)


def _release(*dependencies: str, earlier: tuple[str, ...] = ()) -> Release:
    return Release(
        origin="wheels",
        location="folder",
        version="1.2.0",
        wheels=(WHEEL,),
        dependencies=tuple(map(Path, dependencies)),
        earlier=tuple(map(Path, earlier)),
    )


def test_a_file_is_read_with_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ReleaseFile.read(path) == ReleaseFile(path=path, sha256=digest)
    assert ReleaseFile.read(path).name == path.name


def test_locked_versions_have_normalised_names() -> None:
    release = _release("cffi-2.0.0-cp313-cp313-win_amd64.whl", "Typing_Ext-4.1.tar.gz")
    assert release.locked() == {"cffi": "2.0.0", "typing-ext": "4.1"}


@pytest.mark.parametrize("reverse", [False, True])
def test_the_newest_version_of_a_dependency_is_locked(reverse: bool) -> None:
    wheels = sorted(("pip-24.1-py3-none-any.whl", "pip-26.3-py3-none-any.whl"), reverse=reverse)
    assert _release(*wheels).locked() == {"pip": "26.3"}


def test_the_previous_release_is_the_newest_release_with_a_wheel() -> None:
    wheels = ("x-0.9-py3-none-any.whl", "x-0.10-py3-none-any.whl")
    assert _release(earlier=(*wheels, "x-0.11.tar.gz")).previous == "0.10"
    assert _release().previous == ""


def test_additional_dependencies_come_first_without_duplicates() -> None:
    release = _release("a-1-py3-none-any.whl").with_dependencies(
        Path("b-1-py3-none-any.whl"), Path("other/a-1-py3-none-any.whl")
    )
    assert release.dependencies == (Path("b-1-py3-none-any.whl"), Path("a-1-py3-none-any.whl"))


def test_published_wheels_are_stored_and_not_uploaded() -> None:
    built = _release()
    published = built.model_copy(update={"origin": "release"})
    assert (built.stored, built.uploads) == ((), (WHEEL.path,))
    assert (published.stored, published.uploads) == ((WHEEL.path,), ())


def test_the_stored_files_are_all_files_except_the_wheels() -> None:
    release = _release("a-1-py3-none-any.whl", earlier=("x-1.1-py3-none-any.whl",))
    release = release.model_copy(update={"tools": (Path("pytest-9-py3-none-any.whl"),)})
    assert [path.name for path in release.stored] == [
        "a-1-py3-none-any.whl",
        "x-1.1-py3-none-any.whl",
        "pytest-9-py3-none-any.whl",
    ]
    assert release.wheel_paths == (WHEEL.path,)
    assert release.digests() == {WHEEL.name: WHEEL.sha256}


def test_a_release_is_unchanged_by_json() -> None:
    release = _release("a-1-py3-none-any.whl")
    assert Release.model_validate_json(release.model_dump_json()) == release


def test_a_release_is_frozen_and_refuses_unknown_fields() -> None:
    with pytest.raises(pydantic.ValidationError):
        _release().version = "2"
    with pytest.raises(pydantic.ValidationError):
        Release.model_validate({**_release().model_dump(), "other": ()})


def test_name_and_version_are_read_from_a_file_name() -> None:
    assert [str(part) for part in project_and_version(Path("Quiver_DB-1.0-py3-none-any.whl"))] == [
        "quiver-db",
        "1.0",
    ]
    assert [str(part) for part in project_and_version(Path("quiver.db-1.0.tar.gz"))] == [
        "quiver-db",
        "1.0",
    ]


@pytest.mark.parametrize(
    ("requires_python", "full", "is_allowed"),
    [
        (">=3.13", "", True),
        (">=3.13.2", "", True),
        (">=3.14", "", False),
        ("<3.13", "", False),
        (">=3.13.2", "3.13.1", False),
        (">=3.13.2", "3.13.2", True),
        (">=three", "", True),
        ("", "3.13.0rc1", True),
    ],
)
def test_requires_python_allows_a_minor_version(
    requires_python: str, full: str, is_allowed: bool
) -> None:
    assert allows_python(requires_python, "3.13", full) is is_allowed
