from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sample_machines import sample_machine
from verification.models.errors import WrongUse
from verification.scenarios import machines
from verification.session.selection import Selection, select

KNOWN = {
    spec.name: spec
    for spec in (
        sample_machine("debian"),
        sample_machine("ubuntu"),
        sample_machine("wine", system="windows"),
    )
}


@pytest.fixture(autouse=True)
def _machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "load", lambda: KNOWN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with a source in the default place."""
    folder = tmp_path / "bindings" / "python"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return tmp_path


def _names(selection: Selection) -> list[str]:
    return [spec.name for spec in selection.machines]


def test_by_default_the_own_source_is_verified_on_every_machine(root: Path) -> None:
    selection = select(root=root)
    assert selection.source == root / "bindings" / "python"
    assert (selection.wheels, selection.release) == (None, None)
    assert _names(selection) == ["debian", "ubuntu", "wine"]
    assert selection.systems == ("linux", "windows")
    assert selection.narrowed == ()


@pytest.mark.parametrize("count", [2, 3])
def test_source_wheels_and_release_exclude_one_another(root: Path, count: int) -> None:
    given = {"source": Path("a"), "wheels": Path("b"), "release": "1.0"}
    for names in itertools.combinations(given, count):
        told = " and ".join(f"--{name}" for name in names)
        with pytest.raises(WrongUse, match=f"^{told} exclude one another; name one"):
            select(root=root, **{name: given[name] for name in names})  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", [{"wheels": Path("dist")}, {"release": "1.0"}])
def test_given_wheels_need_no_source(tmp_path: Path, choice: dict[str, Any]) -> None:
    selection = select(root=tmp_path, **choice)
    assert selection.source is None
    assert (selection.wheels is None) == ("wheels" not in choice)
    assert selection.release == choice.get("release")


def test_a_source_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--source .*absent: there is no such folder"):
        select(root=root, source=root / "absent")


def test_a_source_without_a_project_is_refused(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"there is no pyproject\.toml in it"):
        select(root=root, source=root)


def test_an_unknown_machine_is_answered_with_those_there_are(root: Path) -> None:
    with pytest.raises(
        WrongUse, match="--machine mac: there is no such machine; there are: debian, ubuntu, wine"
    ):
        select(root=root, names=["debian", "mac"])


def test_named_machines_are_taken_once_in_the_order_of_their_names_on_the_command_line(
    root: Path,
) -> None:
    selection = select(root=root, names=["wine", "debian", "wine"])
    assert _names(selection) == ["wine", "debian"]
    assert select(root=root, names=["ubuntu"]).systems == ("linux",)


def test_what_narrows_the_verdict_is_told_as_typed(root: Path) -> None:
    selection = select(root=root, names=["wine"], keyword="import")
    assert selection.narrowed == ("--machine wine", "-k import")


@pytest.mark.parametrize("yes", [True, False])
def test_the_switches_are_kept(root: Path, yes: bool) -> None:
    selection = select(root=root, strict=yes, provision=not yes)
    assert (selection.strict, selection.provision) == (yes, not yes)


def test_the_choices_as_data(root: Path) -> None:
    selection = select(root=root, wheels=Path("dist"), names=["wine"], strict=True)
    assert selection.to_dict() == {
        "source": None,
        "wheels": "dist",
        "release": None,
        "machines": ["wine"],
        "narrowed": ["--machine wine"],
        "strict": True,
        "pipeline": False,
        "actions_from": None,
        "profile": "gate",
        "history": "all",
        "tests": None,
    }


def _tests(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "test_a.py").touch()
    return folder


def test_the_sources_own_tests_are_run(root: Path) -> None:
    assert select(root=root).no_tests.endswith("python/tests: there is no such folder")
    own = _tests(root / "bindings" / "python" / "tests")
    other = _tests(root / "other")
    assert (select(root=root).tests, select(root=root).no_tests) == (own, "")
    assert select(root=root, tests=other).tests == other


def test_the_tests_of_another_version_are_not_run_unless_they_are_named(root: Path) -> None:
    own = _tests(root / "bindings" / "python" / "tests")
    left_out = select(root=root, release="1.0")
    assert left_out.tests is None
    assert left_out.no_tests.endswith("their own tests were not named by --tests DIR")
    named = select(root=root, release="1.0", tests=own)
    assert (named.tests, named.no_tests) == (own, "")


def test_a_folder_of_tests_has_some(root: Path) -> None:
    for name, message in (("x", "there is no such folder"), (".", "there is no test_*.py in it")):
        with pytest.raises(WrongUse, match=f"--tests .*: {re.escape(message)}; name the folder"):
            select(root=root, tests=root / name)


def test_the_workflow_runs_where_the_whole_source_is_verified(root: Path) -> None:
    assert select(root=root).pipeline


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"release": "1.0"}, "the wheels came from elsewhere: no tag was pushed"),
        ({"wheels": Path("dist")}, "the wheels came from elsewhere: no tag was pushed"),
        ({"names": ["debian"]}, "the run is narrowed to debian"),
        ({"pipeline": False}, "left out by --no-pipeline"),
        ({"profile": "quick"}, "the profile quick leaves it out"),
    ],
)
def test_the_workflow_is_left_out_for_a_reason(
    root: Path, choice: dict[str, Any], reason: str
) -> None:
    selection = select(root=root, **choice)

    assert not selection.pipeline
    assert selection.no_pipeline == reason


def test_real_actions_need_a_folder_and_a_workflow_that_runs(root: Path) -> None:
    with pytest.raises(WrongUse, match="there is no such folder"):
        select(root=root, actions_from=root / "nowhere")
    with pytest.raises(WrongUse, match="the release workflow is not run: left out"):
        select(root=root, actions_from=root, pipeline=False)


@pytest.mark.parametrize(("asked", "kept"), [(None, "none"), ("all", "all"), ("none", "none")])
def test_the_history_is_the_profiles_unless_it_is_named(
    root: Path, asked: str | None, kept: str
) -> None:
    assert select(root=root, profile="quick", history=asked).history == kept


def test_another_package_must_be_built_already(root: Path) -> None:
    with pytest.raises(WrongUse, match="how other is built is not known here; name --wheels or"):
        select(root=root, subject="other")

    selection = select(root=root, subject="other", release="1.0")
    assert selection.to_dict()["subject"] == "other"
    assert "subject" not in select(root=root, release="1.0").to_dict()
