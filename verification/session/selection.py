"""The selection of a run: the origin of the wheels, the machines, the strictness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec, OperatingSystem
from verification.models.report import RunSelection
from verification.models.subject import Platform
from verification.scenarios import machines, profiles
from verification.scenarios.profiles import EarlierReleasesChoice, Profile
from verification.session import own_tests

DEFAULT_SOURCE = Path("bindings/python")


class Options(Model):
    """The options of a run as they were typed. Folders are absolute."""

    source: Path | None = None
    wheels: Path | None = None
    release: str | None = None
    subject: str = ""
    """The package's name, where the user names a description of it."""
    profile: str = "gate"
    history: EarlierReleasesChoice | None = None
    machines: tuple[str, ...] = ()
    tests: Path | None = None
    pipeline: bool = True
    actions_from: Path | None = None
    strict: bool = False
    provision: bool = True
    keyword: str = ""
    """What ``-k`` says: it narrows the verdict."""
    deselected: tuple[str, ...] = ()
    """What ``--deselect`` names: it narrows the verdict."""


class Selection(Model):
    """The checked choices of one run. Exactly one of source, wheels and release is set."""

    source: Path | None
    wheels: Path | None
    release: str | None
    machines: tuple[MachineSpec, ...]
    narrowed: tuple[str, ...]
    """The options that narrow the verdict, as typed; empty for all that the profile names."""
    deselected: tuple[MachineSpec, ...]
    """The machines of the profile that ``--machine`` leaves out."""
    without_platform: tuple[MachineSpec, ...]
    """The machines of the profile that run no platform of the subject."""
    other_profiles: tuple[MachineSpec, ...]
    """The machines that only other profiles ask for."""
    strict: bool
    provision: bool
    profile: Profile
    history: EarlierReleasesChoice
    """Which earlier releases are on the index as well."""
    pipeline: bool
    """Whether the release workflow runs; its wheels are then the ones that are verified."""
    no_pipeline_reason: str
    """Why it does not run."""
    actions_from: Path | None
    """A folder with checkouts of the workflow's real actions; without one, stand-ins run."""
    tests: Path | None
    """The folder of the package's own tests; None if they do not run."""
    no_tests_reason: str
    """Why they do not run."""
    tests_named: bool = False
    """Whether the user named the folder of the tests."""
    subject: str
    """The package's name, where the user names a description of it."""

    @property
    def systems(self) -> tuple[OperatingSystem, ...]:
        """The operating systems of the selected machines: ``linux``, ``windows``."""
        return tuple(sorted({spec.os for spec in self.machines}))

    @property
    def profile_systems(self) -> tuple[OperatingSystem, ...]:
        """The operating systems of all machines of the profile."""
        specs = (*self.machines, *self.deselected)
        return tuple(sorted({spec.os for spec in specs}))

    def to_report(self, *narrowed: str, subject: str) -> RunSelection:
        """Return the choices as the report has them; `narrowed` adds to what narrows them."""
        return RunSelection(
            source=str(self.source) if self.source else None,
            wheels=str(self.wheels) if self.wheels else None,
            release=self.release,
            machines=tuple(spec.name for spec in self.machines),
            narrowed=(*self.narrowed, *narrowed),
            strict=self.strict,
            pipeline=self.pipeline,
            actions_from=str(self.actions_from) if self.actions_from else None,
            profile=self.profile.name,
            history=self.history,
            tests=str(self.tests) if self.tests else None,
            subject=subject,
        )


def select(options: Options, root: Path, platforms: Iterable[Platform]) -> Selection:
    """Check the options and return the choices; `root` is the checkout.

    `platforms` are those of the subject. Without ``--machine``, the machines of the profile that
    run one of them are selected.

    Raises:
        WrongUse: two of source, wheels and release; a source that cannot be built; an unknown
            profile or machine; a folder of tests without any.
    """
    source = _source(options, root)
    profile = profiles.load()[options.profile]
    known = machines.load()
    named = _named_machines(options, known)
    of_profile = [spec for spec in known.values() if profile.name in spec.profiles]
    systems = {platform.target.machine_system for platform in platforms}
    selected = named or tuple(spec for spec in of_profile if spec.os in systems)
    left_out = tuple(spec for spec in of_profile if spec not in selected)
    no_pipeline_reason = _no_pipeline(options, source)
    tests, no_tests_reason = _tests(options, source)
    return Selection(
        source=source,
        wheels=options.wheels,
        release=options.release,
        machines=selected,
        narrowed=_narrowed(options, named, profile),
        deselected=left_out if named else (),
        without_platform=() if named else left_out,
        other_profiles=tuple(s for s in known.values() if s not in (*of_profile, *selected)),
        strict=options.strict,
        provision=options.provision,
        profile=profile,
        history=options.history or profile.history,
        pipeline=not no_pipeline_reason,
        no_pipeline_reason=no_pipeline_reason,
        actions_from=options.actions_from,
        tests=tests,
        no_tests_reason=no_tests_reason,
        tests_named=options.tests is not None,
        subject=options.subject,
    )


def _source(options: Options, root: Path) -> Path | None:
    """Return the folder to build from; None where the wheels exist already."""
    origins = (
        ("--source", options.source),
        ("--wheels", options.wheels),
        ("--release", options.release),
    )
    named = [name for name, value in origins if value is not None]
    if options.release is not None and not options.release.strip():
        raise WrongUse("--release is empty; write a version such as 0.13.5")
    if len(named) > 1:
        raise WrongUse(f"{' and '.join(named)} exclude one another; name one")
    if options.subject and not options.wheels and not options.release:
        raise WrongUse(
            f"--subject: how {options.subject} is built is not known here; "
            "name --wheels or --release"
        )
    if options.wheels or options.release:
        return None
    folder = options.source or root / DEFAULT_SOURCE
    if not folder.is_dir():
        raise WrongUse(f"--source {folder}: there is no such folder")
    if not (folder / "pyproject.toml").is_file():
        raise WrongUse(f"--source {folder}: there is no pyproject.toml in it")
    return folder


def _named_machines(options: Options, known: Mapping[str, MachineSpec]) -> tuple[MachineSpec, ...]:
    for name in options.machines:
        if name not in known:
            raise WrongUse(
                f"--machine {name}: there is no such machine; there are: {', '.join(known)}"
            )
    return tuple(known[name] for name in dict.fromkeys(options.machines))


def _no_pipeline(options: Options, source: Path | None) -> str:
    """Return why the release workflow does not run; empty if it does."""
    reason = ""
    if not source:
        reason = "the wheels came from elsewhere: no tag was pushed"
    elif not options.pipeline:
        reason = "left out by --no-pipeline"
    elif options.profile == "quick":
        reason = "the profile quick leaves it out"
    elif options.machines:
        reason = f"the run is narrowed to {', '.join(dict.fromkeys(options.machines))}"
    if options.actions_from and reason:
        raise WrongUse(f"--actions-from: the release workflow is not run: {reason}")
    if options.actions_from and not options.actions_from.is_dir():
        raise WrongUse(f"--actions-from {options.actions_from}: there is no such folder")
    return reason


def _tests(options: Options, source: Path | None) -> tuple[Path | None, str]:
    """Return the folder of the package's own tests, or None and why they do not run."""
    if options.tests:
        if wrong := own_tests.folder_fault(options.tests):
            raise WrongUse(
                f"--tests {options.tests}: {wrong}; name the folder with the package's own tests"
            )
        return options.tests, ""
    if not source:
        return None, (
            "the wheels came from elsewhere: their own tests were not named by --tests DIR"
        )
    folder = source / "tests"
    wrong = own_tests.folder_fault(folder)
    return (None, f"{folder}: {wrong}") if wrong else (folder, "")


def _narrowed(
    options: Options, named: tuple[MachineSpec, ...], profile: Profile
) -> tuple[str, ...]:
    return (
        *(f"--machine {spec.name}" for spec in named),
        *(["--history none"] if options.history == "none" != profile.history else []),
        *([f"-k {options.keyword}"] if options.keyword else []),
        *(f"without {path}" for path in options.deselected),
    )
