"""The checked options of a run."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import WrongUse
from verification.models.limits import LimitOptions
from verification.models.report import RunSelection
from verification.scenarios import machines
from verification.scenarios.profiles import EarlierReleasesChoice
from verification.session import own_tests
from verification.session.checkout import Checkout, CheckoutOptions, read_checkout
from verification.session.selection import Options, Selection, select

SPECS = {
    "debian": sample_machine("debian"),
    "ubuntu": sample_machine("ubuntu"),
    "wine": sample_machine("wine", system="windows", scenarios=("system",)),
}
OTHER_PROFILE = sample_machine("alpine").model_copy(update={"profiles": ("full", "everywhere")})


@pytest.fixture(autouse=True)
def _machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "load", lambda: SPECS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout with a source in the default folder."""
    folder = tmp_path / "bindings" / "python"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return tmp_path


def _names(selection: Selection) -> list[str]:
    return [spec.name for spec in selection.machines]


def test_default_is_the_source_of_the_checkout_on_every_machine(root: Path) -> None:
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
def test_source_wheels_and_release_cannot_be_combined(root: Path, names: tuple[str, ...]) -> None:
    options = Options.model_validate({name: ORIGINS[name] for name in names})
    with pytest.raises(WrongUse) as raised:
        select(options, root, SUBJECT.platforms)
    assert [name for name in ORIGINS if f"--{name}" in str(raised.value)] == list(names)


def test_empty_release_is_wrong_use(root: Path) -> None:
    with pytest.raises(WrongUse, match="--release"):
        select(Options(release=" "), root, SUBJECT.platforms)


@pytest.mark.parametrize("options", [Options(wheels=Path("dist")), Options(release="1.0")])
def test_existing_wheels_need_no_source(tmp_path: Path, options: Options) -> None:
    selection = select(options, tmp_path, SUBJECT.platforms)
    assert selection.source is None
    assert (selection.wheels, selection.release) == (options.wheels, options.release)


def test_named_source_replaces_the_default(root: Path) -> None:
    source = root / "other"
    source.mkdir()
    (source / "pyproject.toml").touch()
    assert select(Options(source=source), root, SUBJECT.platforms).source == source


def test_missing_source_is_wrong_use(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--source .*absent: "):
        select(Options(source=root / "absent"), root, SUBJECT.platforms)


def test_source_without_a_project_is_wrong_use(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--source .*pyproject\.toml"):
        select(Options(source=root), root, SUBJECT.platforms)


def test_unknown_machine_is_wrong_use_with_the_names_of_all_machines(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--machine mac: .*debian, ubuntu, wine"):
        select(Options(machines=("debian", "mac")), root, SUBJECT.platforms)


def test_named_machines_are_selected_once_in_the_order_of_the_command_line(root: Path) -> None:
    selection = select(Options(machines=("wine", "debian", "wine")), root, SUBJECT.platforms)
    assert _names(selection) == ["wine", "debian"]
    assert select(Options(machines=("ubuntu",)), root, SUBJECT.platforms).systems == ("linux",)


def test_machines_of_other_profiles_are_listed_unless_they_are_selected(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "load", lambda: {**SPECS, "alpine": OTHER_PROFILE})
    selection = select(Options(), root, SUBJECT.platforms)
    assert "alpine" not in _names(selection)
    assert selection.other_profiles == (OTHER_PROFILE,)
    named = select(Options(machines=("alpine",)), root, SUBJECT.platforms)
    assert (_names(named), named.other_profiles) == (["alpine"], ())
    assert _names(select(Options(profile="full"), root, SUBJECT.platforms)) == ["alpine"]


WINDOWS_ONLY = tuple(p for p in SUBJECT.platforms if p.target.system == "windows")


def test_machines_without_a_platform_of_the_subject_are_not_selected(root: Path) -> None:
    selection = select(Options(), root, WINDOWS_ONLY)
    assert (_names(selection), selection.systems) == (["wine"], ("windows",))
    assert [spec.name for spec in selection.without_platform] == ["debian", "ubuntu"]
    assert (selection.deselected, selection.narrowed) == ((), ())


def test_named_machine_is_selected_without_a_platform_of_the_subject(root: Path) -> None:
    selection = select(Options(machines=("debian",)), root, WINDOWS_ONLY)
    assert (_names(selection), selection.without_platform) == (["debian"], ())
    assert [spec.name for spec in selection.deselected] == ["ubuntu", "wine"]
    assert selection.profile_systems == ("linux", "windows")


def test_options_that_narrow_the_verdict_are_listed_as_typed(root: Path) -> None:
    options = Options(machines=("wine",), keyword="import", deselected=("tests/gate/test_a.py",))
    machine, keyword, deselected = select(options, root, SUBJECT.platforms).narrowed
    assert (machine, keyword) == ("--machine wine", "-k import")
    assert "tests/gate/test_a.py" in deselected


@pytest.mark.parametrize(
    ("profile", "history", "narrowed"),
    [
        ("gate", None, ()),
        ("gate", "all", ()),
        ("gate", "none", ("--history none",)),
        ("quick", "none", ()),
    ],
)
def test_run_without_the_earlier_releases_of_its_profile_is_narrowed(
    root: Path, profile: str, history: str | None, narrowed: tuple[str, ...]
) -> None:
    options = Options.model_validate({"profile": profile, "history": history})
    assert select(options, root, SUBJECT.platforms).narrowed == narrowed


@pytest.mark.parametrize("strict", [True, False])
def test_strict_and_provision_are_those_of_the_options(root: Path, strict: bool) -> None:
    selection = select(Options(strict=strict, provision=not strict), root, SUBJECT.platforms)
    assert (selection.strict, selection.provision) == (strict, not strict)


def test_limits_are_the_default_ones_and_those_of_the_options(root: Path) -> None:
    assert select(Options(), root, SUBJECT.platforms).limits is None
    options = Options(limits={"memory_mib": "256", "cpus": "0.5"})
    selection = select(options, root, SUBJECT.platforms)
    expected = LimitOptions(memory_mib=256, cpus=0.5)
    assert selection.limits == expected
    assert selection.to_report(subject="quiverdb").limits == expected


@pytest.mark.parametrize(
    ("key", "word", "option"),
    [
        ("memory_mib", "63", "--memory 63"),
        ("processes", "many", "--processes many"),
        ("cpus", "0", "--cpus 0"),
        ("disk_mib", "1.5", "--disk 1.5"),
    ],
)
def test_limit_that_is_too_small_or_no_number_is_wrong_use(
    root: Path, key: str, word: str, option: str
) -> None:
    with pytest.raises(WrongUse, match=f"^{re.escape(option)}: ") as raised:
        select(Options(limits={key: word}), root, SUBJECT.platforms)
    assert "\n" not in str(raised.value)


def test_report_has_the_choices(root: Path) -> None:
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


def test_folders_are_strings_in_the_report(root: Path) -> None:
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


def test_own_tests_are_those_of_the_source_or_the_named_ones(root: Path) -> None:
    folder = root / "bindings" / "python" / "tests"
    without_tests = select(Options(), root, SUBJECT.platforms)
    assert without_tests.tests is None
    assert str(folder) in without_tests.no_tests_reason
    _tests(folder)
    selection = select(Options(), root, SUBJECT.platforms)
    assert (selection.tests, selection.no_tests_reason) == (folder, "")
    assert not selection.tests_named
    named_folder = _tests(root / "other")
    named = select(Options(tests=named_folder), root, SUBJECT.platforms)
    assert (named.tests, named.tests_named) == (named_folder, True)


def test_own_tests_of_the_source_are_not_used_for_a_release(root: Path) -> None:
    folder = _tests(root / "bindings" / "python" / "tests")
    without_tests = select(Options(release="1.0"), root, SUBJECT.platforms)
    assert without_tests.tests is None
    assert "--tests" in without_tests.no_tests_reason
    named = select(Options(release="1.0", tests=folder), root, SUBJECT.platforms)
    assert (named.tests, named.no_tests_reason) == (folder, "")


@pytest.mark.parametrize("name", ["missing", "."])
def test_named_folder_without_tests_is_wrong_use(root: Path, name: str) -> None:
    folder = root / name
    with pytest.raises(WrongUse) as raised:
        select(Options(tests=folder), root, SUBJECT.platforms)
    assert str(raised.value).startswith(f"--tests {folder}: {own_tests.folder_fault(folder)}")


def test_workflow_runs_for_the_source_on_all_machines(root: Path) -> None:
    selection = select(Options(), root, SUBJECT.platforms)
    assert selection.pipeline
    assert selection.no_pipeline_reason == ""


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (Options(release="1.0"), "wheels"),
        (Options(wheels=Path("dist")), "wheels"),
        (Options(machines=("debian",)), "debian"),
        (Options(pipeline=False), "--no-pipeline"),
        (Options(profile="quick"), "quick"),
    ],
    ids=["release", "wheels", "machine", "option", "profile"],
)
def test_workflow_that_does_not_run_has_a_reason(root: Path, options: Options, word: str) -> None:
    selection = select(options, root, SUBJECT.platforms)
    assert not selection.pipeline
    assert word in selection.no_pipeline_reason


def test_real_actions_need_a_folder_and_the_workflow(root: Path) -> None:
    assert select(Options(actions_from=root), root, SUBJECT.platforms).actions_from == root
    with pytest.raises(WrongUse, match=r"--actions-from .*nowhere"):
        select(Options(actions_from=root / "nowhere"), root, SUBJECT.platforms)
    with pytest.raises(WrongUse, match=r"--actions-from: .*--no-pipeline"):
        select(Options(actions_from=root, pipeline=False), root, SUBJECT.platforms)


def test_comparison_needs_a_release_and_waits_ten_minutes(root: Path) -> None:
    options = Options(release="1.0", published_by=root)
    selection = select(options, root, SUBJECT.platforms)

    assert (selection.published_by, selection.wait_minutes) == (root, 10)
    assert selection.to_report(subject="quiverdb").published_by == str(root)
    with pytest.raises(WrongUse, match=r"--published-by: .*--release"):
        select(Options(published_by=root), root, SUBJECT.platforms)
    with pytest.raises(WrongUse, match=r"--published-by: .*--release"):
        select(Options(published_by=root, wheels=root), root, SUBJECT.platforms)


@pytest.mark.parametrize("wait", ["0", "0.5", "1440"])
def test_wait_is_a_number_of_minutes(root: Path, wait: str) -> None:
    options = Options(release="1.0", published_by=root, wait=wait)

    assert select(options, root, SUBJECT.platforms).wait_minutes == float(wait)


@pytest.mark.parametrize("wait", ["", "-1", "ten", "nan", "inf", "1441"])
def test_wait_of_another_form_is_wrong_use(root: Path, wait: str) -> None:
    with pytest.raises(WrongUse, match=r"^--wait "):
        select(Options(release="1.0", published_by=root, wait=wait), root, SUBJECT.platforms)


def test_wait_needs_a_comparison(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"^--wait: .*--published-by"):
        select(Options(release="1.0", wait="5"), root, SUBJECT.platforms)


@pytest.mark.parametrize(("option", "history"), [(None, "none"), ("all", "all"), ("none", "none")])
def test_profile_decides_the_history_without_an_option(
    root: Path, option: EarlierReleasesChoice | None, history: EarlierReleasesChoice
) -> None:
    selection = select(Options(profile="quick", history=option), root, SUBJECT.platforms)
    assert selection.history == history


@pytest.fixture
def other_source(root: Path) -> Path:
    """Return the source of another package, with tests."""
    folder = root / "other"
    _tests(folder / "tests")
    (folder / "pyproject.toml").touch()
    return folder


def test_source_of_another_package_has_no_workflow_and_only_named_tests(
    root: Path, other_source: Path
) -> None:
    options = Options(subject="other", source=other_source)
    linux = tuple(p for p in SUBJECT.platforms if p.target.machine_system == "linux")
    selection = select(options, root, linux)
    assert (selection.source, selection.pipeline, selection.tests) == (other_source, False, None)
    assert "other" in selection.no_pipeline_reason
    assert "--tests" in selection.no_tests_reason
    tests = other_source / "tests"
    named = select(options.model_copy(update={"tests": tests}), root, linux)
    assert named.tests == tests


def test_source_of_another_package_is_not_built_for_windows(root: Path, other_source: Path) -> None:
    options = Options(subject="other", source=other_source)
    with pytest.raises(WrongUse, match=r"--source: .*wine.*--machine.*--wheels"):
        select(options, root, SUBJECT.platforms)
    named = options.model_copy(update={"machines": ("debian",)})
    assert _names(select(named, root, SUBJECT.platforms)) == ["debian"]


def test_another_package_needs_wheels_or_its_own_source(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"--subject: .*other.*--wheels.*--release.*--source"):
        select(Options(subject="other"), root, SUBJECT.platforms)
    for options in (
        Options(subject="other", release="1.0"),
        Options(subject="other", wheels=Path("dist")),
    ):
        assert select(options, root, SUBJECT.platforms).subject == "other"
    assert select(Options(release="1.0"), root, SUBJECT.platforms).subject == ""


@pytest.fixture
def checkout(root: Path) -> Checkout:
    """Return a checkout with the package of `root`."""
    folder = root / ".github" / "workflows"
    folder.mkdir(parents=True)
    steps = "[{uses: pypa/gh-action-pypi-publish@release/v1}]"
    text = f"on: push\njobs: {{a: {{runs-on: ubuntu-latest, steps: {steps}}}}}\n"
    (folder / "publish.yml").write_text(text)
    project = root / "bindings" / "python" / "pyproject.toml"
    project.write_text('[project]\nname = "a"\nversion = "1.0"\n')
    return read_checkout(CheckoutOptions(root=root))


def test_checkout_without_a_subject_has_only_its_workflow(root: Path, checkout: Checkout) -> None:
    selection = select(Options(checkout=checkout), root, SUBJECT.platforms)
    assert (selection.workflow_only, selection.pipeline) == (True, True)
    assert (selection.machines, selection.systems) == ((), ())
    assert selection.source == root / "bindings" / "python"
    selected = selection.to_report(subject="a")
    assert (selected.repository, selected.workflow, selected.event) == (
        str(root),
        "publish.yml",
        "tag",
    )


def test_checkout_with_a_subject_has_its_machines_too(root: Path, checkout: Checkout) -> None:
    options = Options(checkout=checkout, subject="a", wheels=root)
    selection = select(options, root, SUBJECT.platforms)
    assert (selection.workflow_only, selection.pipeline) == (False, True)
    assert selection.systems
    assert (selection.source, selection.wheels) == (None, root)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("--source", {"source": Path("a")}),
        ("--release", {"release": "1.0"}),
        ("--no-pipeline", {"pipeline": False}),
        ("--machine", {"machines": ("debian",)}),
        ("--tests", {"tests": Path("a")}),
        ("--history", {"history": "none"}),
        ("-k", {"keyword": "uv"}),
    ],
)
def test_option_that_does_not_fit_a_checkout_is_wrong_use(
    root: Path, checkout: Checkout, name: str, value: dict[str, object]
) -> None:
    options = Options.model_validate({"checkout": checkout, **value})
    with pytest.raises(WrongUse, match=f"(?=.*--repository)(?=.*{name} )") as error:
        select(options, root, SUBJECT.platforms)
    assert "\n" not in str(error.value)
