"""The options of a run, checked, and what follows from them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import WrongUse
from verification.models.report import RunSelection
from verification.scenarios import machines
from verification.scenarios.profiles import EarlierReleasesChoice
from verification.session.selection import Options, Selection, select

KNOWN = {
    "debian": sample_machine("debian"),
    "ubuntu": sample_machine("ubuntu"),
    "wine": sample_machine("wine", system="windows", scenarios=("system",)),
}
ELSEWHERE = sample_machine("alpine").model_copy(update={"profiles": ("full", "everywhere")})


@pytest.fixture(autouse=True)
def _machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "load", lambda: KNOWN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout with a source in the default folder."""
    folder = tmp_path / "bindings" / "python"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return tmp_path


def _names(selection: Selection) -> list[str]:
    return [spec.name for spec in selection.machines]


def test_by_default_the_own_source_is_verified_on_every_machine(root: Path) -> None:
    selection = select(Options(), root, SUBJECT.platforms)
    assert selection.source == root / "bindings" / "python"
    assert (selection.wheels, selection.release) == (None, None)
    assert _names(selection) == ["debian", "ubuntu", "wine"]
    assert selection.systems == ("linux", "windows")
    assert selection.narrowed == ()
    assert selection.profile.name == "gate"


ORIGINS = {"source": Path("a"), "wheels": Path("b"), "release": "1.0"}


@pytest.mark.parametrize(
    "names", [names for count in (2, 3) for names in itertools.combinations(ORIGINS, count)]
)
def test_source_wheels_and_release_exclude_one_another(root: Path, names: tuple[str, ...]) -> None:
    options = Options.model_validate({name: ORIGINS[name] for name in names})
    words = " and ".join(f"--{name}" for name in names)
    with pytest.raises(WrongUse, match=f"^{words} exclude one another; name one"):
        select(options, root, SUBJECT.platforms)


def test_an_empty_release_is_refused(root: Path) -> None:
    with pytest.raises(WrongUse, match="--release is empty"):
        select(Options(release=" "), root, SUBJECT.platforms)


@pytest.mark.parametrize("options", [Options(wheels=Path("dist")), Options(release="1.0")])
def test_existing_wheels_need_no_source(tmp_path: Path, options: Options) -> None:
    selection = select(options, tmp_path, SUBJECT.platforms)
    assert selection.source is None
    assert (selection.wheels, selection.release) == (options.wheels, options.release)


def test_a_named_source_is_built_instead_of_the_default(root: Path) -> None:
    other = root / "other"
    other.mkdir()
    (other / "pyproject.toml").touch()
    assert select(Options(source=other), root, SUBJECT.platforms).source == other


def test_a_source_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--source .*absent: there is no such folder"):
        select(Options(source=root / "absent"), root, SUBJECT.platforms)


def test_a_source_without_a_project_is_refused(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"there is no pyproject\.toml in it"):
        select(Options(source=root), root, SUBJECT.platforms)


def test_an_unknown_machine_is_answered_with_those_there_are(root: Path) -> None:
    with pytest.raises(
        WrongUse, match="--machine mac: there is no such machine; there are: debian, ubuntu, wine"
    ):
        select(Options(machines=("debian", "mac")), root, SUBJECT.platforms)


def test_named_machines_are_selected_once_in_the_order_of_the_command_line(root: Path) -> None:
    selection = select(Options(machines=("wine", "debian", "wine")), root, SUBJECT.platforms)
    assert _names(selection) == ["wine", "debian"]
    assert select(Options(machines=("ubuntu",)), root, SUBJECT.platforms).systems == ("linux",)


def test_the_machines_of_other_profiles_are_known_unless_they_are_selected(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "load", lambda: {**KNOWN, "alpine": ELSEWHERE})
    selection = select(Options(), root, SUBJECT.platforms)
    assert "alpine" not in _names(selection)
    assert selection.other_profiles == (ELSEWHERE,)
    named = select(Options(machines=("alpine",)), root, SUBJECT.platforms)
    assert (_names(named), named.other_profiles) == (["alpine"], ())
    assert _names(select(Options(profile="full"), root, SUBJECT.platforms)) == ["alpine"]


WINDOWS_ONLY = tuple(p for p in SUBJECT.platforms if p.target.system == "windows")


def test_machines_that_run_no_platform_of_the_subject_are_left_out(root: Path) -> None:
    selection = select(Options(), root, WINDOWS_ONLY)
    assert (_names(selection), selection.systems) == (["wine"], ("windows",))
    assert [spec.name for spec in selection.without_platform] == ["debian", "ubuntu"]
    assert (selection.deselected, selection.narrowed) == ((), ())


def test_a_named_machine_is_selected_whatever_it_runs(root: Path) -> None:
    selection = select(Options(machines=("debian",)), root, WINDOWS_ONLY)
    assert (_names(selection), selection.without_platform) == (["debian"], ())
    assert [spec.name for spec in selection.deselected] == ["ubuntu", "wine"]
    assert selection.profile_systems == ("linux", "windows")


def test_what_narrows_the_verdict_is_listed_as_typed(root: Path) -> None:
    options = Options(machines=("wine",), keyword="import", deselected=("tests/gate/test_a.py",))
    assert select(options, root, SUBJECT.platforms).narrowed == (
        "--machine wine",
        "-k import",
        "without tests/gate/test_a.py",
    )


@pytest.mark.parametrize(
    ("profile", "history", "narrowed"),
    [
        ("gate", None, ()),
        ("gate", "all", ()),
        ("gate", "none", ("--history none",)),
        ("quick", "none", ()),
    ],
)
def test_a_run_without_the_earlier_releases_of_its_profile_is_narrowed(
    root: Path, profile: str, history: str | None, narrowed: tuple[str, ...]
) -> None:
    options = Options.model_validate({"profile": profile, "history": history})
    assert select(options, root, SUBJECT.platforms).narrowed == narrowed


@pytest.mark.parametrize("yes", [True, False])
def test_the_switches_are_kept(root: Path, yes: bool) -> None:
    selection = select(Options(strict=yes, provision=not yes), root, SUBJECT.platforms)
    assert (selection.strict, selection.provision) == (yes, not yes)


def test_the_choices_as_the_report_has_them(root: Path) -> None:
    options = Options(wheels=Path("dist"), machines=("wine",), strict=True)
    assert select(options, root, SUBJECT.platforms).to_report(
        "1 of 2 cells", subject="quiverdb"
    ) == RunSelection(
        subject="quiverdb",
        source=None,
        wheels="dist",
        release=None,
        machines=("wine",),
        narrowed=("--machine wine", "1 of 2 cells"),
        strict=True,
        pipeline=False,
        actions_from=None,
        profile="gate",
        history="all",
        tests=None,
    )


def test_folders_are_text_in_the_report(root: Path) -> None:
    tests = _tests(root / "own")
    options = Options(tests=tests, actions_from=root)
    reported = select(options, root, SUBJECT.platforms).to_report(subject="quiverdb")
    assert reported.source == str(root / "bindings" / "python")
    assert (reported.tests, reported.actions_from) == (str(tests), str(root))
    assert (reported.pipeline, reported.wheels) == (True, None)


def _tests(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "test_a.py").touch()
    return folder


def test_the_sources_own_tests_are_run(root: Path) -> None:
    without = select(Options(), root, SUBJECT.platforms)
    assert without.tests is None
    assert without.no_tests_reason.endswith("python/tests: there is no such folder")
    own = _tests(root / "bindings" / "python" / "tests")
    other = _tests(root / "other")
    selection = select(Options(), root, SUBJECT.platforms)
    assert (selection.tests, selection.no_tests_reason) == (own, "")
    assert not selection.tests_named
    named = select(Options(tests=other), root, SUBJECT.platforms)
    assert (named.tests, named.tests_named) == (other, True)


def test_the_tests_of_another_version_are_not_run_unless_they_are_named(root: Path) -> None:
    own = _tests(root / "bindings" / "python" / "tests")
    left_out = select(Options(release="1.0"), root, SUBJECT.platforms)
    assert left_out.tests is None
    assert left_out.no_tests_reason.endswith("their own tests were not named by --tests DIR")
    named = select(Options(release="1.0", tests=own), root, SUBJECT.platforms)
    assert (named.tests, named.no_tests_reason) == (own, "")


@pytest.mark.parametrize(
    ("name", "message"), [("x", "there is no such folder"), (".", "there is no test_*.py in it")]
)
def test_a_folder_of_tests_has_some(root: Path, name: str, message: str) -> None:
    with pytest.raises(WrongUse, match=f"--tests .*: {re.escape(message)}; name the folder"):
        select(Options(tests=root / name), root, SUBJECT.platforms)


def test_the_workflow_runs_where_the_whole_source_is_verified(root: Path) -> None:
    selection = select(Options(), root, SUBJECT.platforms)
    assert selection.pipeline
    assert selection.no_pipeline_reason == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(release="1.0"), "the wheels came from elsewhere: no tag was pushed"),
        (Options(wheels=Path("dist")), "the wheels came from elsewhere: no tag was pushed"),
        (Options(machines=("debian",)), "the run is narrowed to debian"),
        (Options(pipeline=False), "left out by --no-pipeline"),
        (Options(profile="quick"), "the profile quick leaves it out"),
    ],
)
def test_the_workflow_is_left_out_for_a_reason(root: Path, options: Options, reason: str) -> None:
    selection = select(options, root, SUBJECT.platforms)
    assert not selection.pipeline
    assert selection.no_pipeline_reason == reason


def test_real_actions_need_a_folder_and_a_workflow_that_runs(root: Path) -> None:
    assert select(Options(actions_from=root), root, SUBJECT.platforms).actions_from == root
    with pytest.raises(WrongUse, match="there is no such folder"):
        select(Options(actions_from=root / "nowhere"), root, SUBJECT.platforms)
    with pytest.raises(WrongUse, match="the release workflow is not run: left out"):
        select(Options(actions_from=root, pipeline=False), root, SUBJECT.platforms)


@pytest.mark.parametrize(("asked", "kept"), [(None, "none"), ("all", "all"), ("none", "none")])
def test_the_history_is_the_profiles_unless_it_is_named(
    root: Path, asked: EarlierReleasesChoice | None, kept: EarlierReleasesChoice
) -> None:
    assert select(Options(profile="quick", history=asked), root, SUBJECT.platforms).history == kept


def test_another_package_must_be_built_already(root: Path) -> None:
    with pytest.raises(WrongUse, match="how other is built is not known here; name --wheels or"):
        select(Options(subject="other"), root, SUBJECT.platforms)
    assert (
        select(Options(subject="other", release="1.0"), root, SUBJECT.platforms).subject == "other"
    )
    assert (
        select(Options(subject="other", wheels=Path("dist")), root, SUBJECT.platforms).subject
        == "other"
    )
    assert select(Options(release="1.0"), root, SUBJECT.platforms).subject == ""
