from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.release_workflow import PLANNED, WORKFLOW, repository
from verification.models.errors import WrongUse
from verification.pipeline.repository_files import load


def test_real_files_are_read(tmp_path: Path) -> None:
    files = load(repository(tmp_path), PLANNED)

    assert files.workflows == ("publish.yml",)
    assert files.workflow is not None
    assert files.workflow.name == "Publish"
    assert files.fault == ""
    assert files.project.is_tested
    assert set(files.project.build) == {"cp313-manylinux_x86_64", "cp313-win_amd64"}
    assert files.project.written_version == files.project.version


def test_selection_may_be_a_string_or_a_list(tmp_path: Path) -> None:
    text = "[project]\nversion = '1'\n[tool.cibuildwheel]\nbuild = 'a b'\nskip = ['c']\n"
    project = load(repository(tmp_path, project=text), PLANNED).project

    assert (project.build, project.skip) == (("a", "b"), ("c",))
    assert not project.is_tested


def test_with_version_replaces_the_first_version(tmp_path: Path) -> None:
    text = '[project]\nversion = "1.0"\n[tool.x]\nversion = "2.0"\n'
    project = load(repository(tmp_path, project=text), PLANNED).project

    assert project.with_version("3.0") == text.replace("1.0", "3.0")


def test_missing_workflow_is_none_without_a_fault(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / ".github/workflows/publish.yml").rename(root / ".github/workflows/release.yaml")

    files = load(root, PLANNED)

    assert (files.workflow, files.fault, files.workflows) == (None, "", ("release.yaml",))


def test_fault_of_an_invalid_workflow_starts_with_its_file_name(tmp_path: Path) -> None:
    files = load(repository(tmp_path, WORKFLOW.read_text("utf-8") + "x: 1\n"), PLANNED)

    assert files.workflow is None
    assert files.fault.startswith("publish.yml:")


def test_folder_without_the_package_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"bindings/python/pyproject\.toml.*No such file"):
        load(tmp_path, PLANNED)


def test_project_without_a_version_is_wrong_use(tmp_path: Path) -> None:
    root = repository(tmp_path, project="[project]\nname = 'quiverdb'\n")

    with pytest.raises(WrongUse, match=r"bindings/python/pyproject\.toml.*`version`"):
        load(root, PLANNED)


@pytest.mark.parametrize(
    ("text", "version", "from_tag"),
    [
        ("[tool.poetry]\nversion = '1.2'\n", "1.2", False),
        ("[project]\ndynamic = ['version']\n", "", False),
        ("[project]\ndynamic = ['version']\n[tool.setuptools_scm]\n", "", True),
        ("[project]\ndynamic = ['version']\n[tool.hatch.version]\nsource = 'vcs'\n", "", True),
        ("[build-system]\nrequires = ['setuptools-scm>=8']\n", "", True),
        ("[build-system]\nrequires = ['setuptools']\n", "", False),
    ],
)
def test_version_may_be_elsewhere_or_come_from_the_tag(
    text: str, version: str, from_tag: bool, tmp_path: Path
) -> None:
    project = load(repository(tmp_path, project=text), PLANNED).project

    assert (project.version, project.version_from_tag) == (version, from_tag)


def test_versions_of_all_projects_are_read(tmp_path: Path) -> None:
    root = repository(tmp_path, project="[project]\nversion = '1'\n")
    (root / "pyproject.toml").write_text("[project]\nversion = '2'\n")

    assert load(root, PLANNED).versions == {
        "pyproject.toml": "2",
        "bindings/python/pyproject.toml": "1",
    }
