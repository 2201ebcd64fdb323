"""The checked choices of a run: the origin of the wheels, the machines, the strictness."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pydantic

from containers import image_registry
from containers.image_registry import ImageRegistry
from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.limits import LimitOptions
from verification.models.machine import MachineSpec, OperatingSystem
from verification.models.report import RunSelection
from verification.models.run import Shard
from verification.models.subject import Platform
from verification.scenarios import machines, profiles
from verification.scenarios.profiles import EarlierReleasesChoice, Profile
from verification.session import hosts, own_tests, shards
from verification.session.checkout import Checkout
from verification.session.hosts import EngineChoice

_WAIT_MINUTES, _MAX_WAIT_MINUTES = 10, 24 * 60
DEFAULT_SOURCE = Path("bindings/python")


class Options(Model):
    """The options of a run, as the user typed them. Folders are absolute."""

    source: Path | None = None
    wheels: Path | None = None
    release: str | None = None
    subject: str = ""
    """The name of the package if the user gave its description with ``--subject``, else empty."""
    subject_file: Path | None = None
    """The file of ``--subject``."""
    profile: str = "gate"
    history: EarlierReleasesChoice | None = None
    machines: tuple[str, ...] = ()
    tests: Path | None = None
    pipeline: bool = True
    actions_from: Path | None = None
    published_by: Path | None = None
    wait: str | None = None
    checkout: Checkout | None = None
    """The checkout of ``--repository``; None without this option."""
    limits: Mapping[str, str] = {}
    """The values of the options for limits, as typed, by the key of the limit."""
    strict: bool = False
    provision: bool = True
    shard: str | None = None
    """The value of ``--shard``."""
    registry: str | None = None
    """The value of ``--registry``."""
    digests: Path | None = None
    """The file of ``--digests``."""
    engines: tuple[str, ...] = ()
    """The values of ``--engine``."""
    engines_file: Path | None = None
    """The file of ``--engines``."""
    keyword: str = ""
    """The value of ``-k``, which narrows the verdict."""
    deselected: tuple[str, ...] = ()
    """The values of ``--deselect``, which narrow the verdict."""


class Selection(Model):
    """The checked choices of one run. Exactly one of `source`, `wheels` and `release` is set."""

    source: Path | None
    wheels: Path | None
    release: str | None
    machines: tuple[MachineSpec, ...]
    narrowed: tuple[str, ...]
    """The options that narrow the verdict, as typed."""
    deselected: tuple[MachineSpec, ...]
    """The machines of the profile that ``--machine`` leaves out."""
    without_platform: tuple[MachineSpec, ...]
    """The machines of the profile for which the subject declares no platform."""
    other_profiles: tuple[MachineSpec, ...]
    """The machines that only other profiles select."""
    strict: bool
    provision: bool
    limits: LimitOptions | None = None
    """The limits of machines and jobs; None for the default ones."""
    shard: Shard | None = None
    """The part of the cells that the run has; None for all cells."""
    registry: ImageRegistry | None = None
    """The registry of the images; None if they are built."""
    engines: tuple[EngineChoice, ...] = ()
    """The engines of the run; empty for the one that Docker's client would use."""
    idle: frozenset[str] = frozenset()
    """The names of the machines whose cells are all in other shards."""
    profile: Profile
    history: EarlierReleasesChoice
    """Which earlier releases the index has."""
    pipeline: bool
    """True if the release workflow runs. The run then verifies the wheels of the workflow."""
    no_pipeline_reason: str
    """Why the release workflow does not run, or empty."""
    actions_from: Path | None
    """A folder with checkouts of the workflow's real actions; None for stand-in actions."""
    published_by: Path | None = None
    """The folder of the report whose files the release must have; None without a comparison."""
    wait_minutes: float = 0
    """How long the run waits until the index serves these files, in minutes."""
    checkout: Checkout | None = None
    """The checkout of ``--repository``; None for the checkout of the suite."""
    tests: Path | None
    """The folder of the package's own tests; None if they do not run."""
    no_tests_reason: str
    """Why the own tests do not run, or empty."""
    tests_named: bool = False
    """True if the user named the folder of the own tests."""
    subject: str
    """The name of the package if the user gave its description with ``--subject``, else empty."""
    subject_file: Path | None = None
    """The file of ``--subject``."""

    @property
    def workflow_only(self) -> bool:
        """True if only the release workflow is verified, without a machine."""
        return self.checkout is not None and not self.subject

    @property
    def prepared_machines(self) -> tuple[MachineSpec, ...]:
        """The machines whose images the run needs."""
        return tuple(spec for spec in self.machines if spec.name not in self.idle)

    @property
    def systems(self) -> tuple[OperatingSystem, ...]:
        """The operating systems of the selected machines: ``linux``, ``windows``."""
        return tuple(sorted({spec.os for spec in self.machines}))

    @property
    def profile_systems(self) -> tuple[OperatingSystem, ...]:
        """The operating systems of the selected and the deselected machines."""
        specs = (*self.machines, *self.deselected)
        return tuple(sorted({spec.os for spec in specs}))

    def to_report(self, *narrowed: str, subject: str) -> RunSelection:
        """Return the choices for the report. `narrowed` are further limits of the verdict."""
        return RunSelection(
            source=str(self.source) if self.source else None,
            wheels=str(self.wheels) if self.wheels else None,
            release=self.release,
            machines=tuple(spec.name for spec in self.machines),
            narrowed=(*self.narrowed, *narrowed),
            strict=self.strict,
            shard=str(self.shard) if self.shard else None,
            registry=self.registry.location if self.registry else None,
            limits=self.limits,
            pipeline=self.pipeline,
            actions_from=str(self.actions_from) if self.actions_from else None,
            published_by=str(self.published_by) if self.published_by else None,
            profile=self.profile.name,
            history=self.history,
            tests=str(self.tests) if self.tests else None,
            subject=subject,
            subject_file=str(self.subject_file) if self.subject_file else None,
            repository=str(self.checkout.event.root) if self.checkout else None,
            workflow=self.checkout.plan.workflow if self.checkout else None,
            event=self.checkout.event.kind if self.checkout else None,
        )


def select(options: Options, root: Path, platforms: Iterable[Platform]) -> Selection:
    """Check the options and return the choices. `root` is the checkout.

    `platforms` are the platforms of the subject. Without ``--machine``, the run uses the machines
    of the profile that can run one of them.

    Raises:
        WrongUse: the options name two of source, wheels and release, a source that cannot be
            built, an unknown profile or machine, or a folder without tests.
    """
    source = _source(options, root)
    profile = profiles.load()[options.profile]
    specs = machines.load()
    named = _named_machines(options, specs)
    of_profile = [spec for spec in specs.values() if profile.name in spec.profiles]
    systems = {platform.target.machine_system for platform in platforms}
    selected = named or tuple(spec for spec in of_profile if spec.os in systems)
    if options.checkout and not options.subject:
        selected = ()
    _check_builds(options, selected)
    shard = _shard(options)
    not_selected = tuple(spec for spec in of_profile if spec not in selected)
    no_pipeline_reason = _no_pipeline_reason(options, source, shard)
    tests, no_tests_reason = _tests(options, source)
    return Selection(
        source=source,
        wheels=options.wheels,
        release=options.release,
        machines=selected,
        narrowed=_narrowed(options, named, profile),
        deselected=not_selected if named else (),
        without_platform=() if named else not_selected,
        other_profiles=tuple(s for s in specs.values() if s not in (*of_profile, *selected)),
        checkout=options.checkout,
        strict=options.strict,
        shard=shard,
        registry=_registry(options),
        engines=hosts.choices(options.engines, options.engines_file),
        provision=options.provision,
        limits=_limits(options),
        profile=profile,
        history=options.history or profile.history,
        pipeline=not no_pipeline_reason,
        no_pipeline_reason=no_pipeline_reason,
        actions_from=options.actions_from,
        published_by=options.published_by,
        wait_minutes=_wait_minutes(options),
        tests=tests,
        no_tests_reason=no_tests_reason,
        tests_named=options.tests is not None,
        subject=options.subject,
        subject_file=options.subject_file,
    )


def _check_builds(options: Options, selected: Iterable[MachineSpec]) -> None:
    """Check that the suite can build the wheels for the selected machines.

    Raises:
        WrongUse: a machine needs a Windows wheel of another subject than the default one.
    """
    on_windows = [spec.name for spec in selected if spec.os == "windows"]
    if options.subject and options.source and on_windows:
        raise WrongUse(
            f"--source: the suite builds no Windows wheel of {options.subject} for "
            f"{on_windows[0]}; select machines with Linux by --machine, or name existing wheels "
            "with --wheels"
        )


def _source(options: Options, root: Path) -> Path | None:
    """Return the folder to build from, or None if the wheels exist already."""
    origins = (
        ("--source", options.source),
        ("--wheels", options.wheels),
        ("--release", options.release),
    )
    named = [name for name, value in origins if value is not None]
    _check_checkout(options)
    if options.release is not None and not options.release.strip():
        raise WrongUse("--release is empty; write a version such as 0.13.5")
    if len(named) > 1:
        raise WrongUse(f"{' and '.join(named)} cannot be combined; use one of them")
    if options.subject and not named and not options.checkout:
        raise WrongUse(
            f"--subject: name the wheels of {options.subject} with --wheels or --release, or its "
            "source with --source"
        )
    if options.wheels or options.release:
        return None
    folder = options.source or root / DEFAULT_SOURCE
    if options.checkout:
        folder = options.checkout.event.root / options.checkout.plan.package_dir
    if not folder.is_dir():
        raise WrongUse(f"--source {folder}: this folder does not exist; correct the path")
    if not (folder / "pyproject.toml").is_file():
        raise WrongUse(
            f"--source {folder}: this folder has no pyproject.toml; name the folder that has it"
        )
    return folder


def _check_checkout(options: Options) -> None:
    """Check the options that cannot be combined with ``--repository``.

    Raises:
        WrongUse: an option cannot be combined with it.
    """
    if not options.checkout:
        return
    without_subject = not options.subject
    combined = {
        "--source": options.source is not None,
        "--release": options.release is not None,
        "--no-pipeline": not options.pipeline,
        "--machine": without_subject and bool(options.machines),
        "--tests": without_subject and options.tests is not None,
        "--history": without_subject and options.history is not None,
        "-k": without_subject and bool(options.keyword),
    }
    if wrong := next((name for name, is_set in combined.items() if is_set), ""):
        fix = f"remove {wrong}, or describe the package with --subject"
        if wrong in ("--source", "--release", "--no-pipeline"):
            fix = "remove one of them"
        raise WrongUse(f"--repository and {wrong} cannot be combined; {fix}")


def _named_machines(options: Options, specs: Mapping[str, MachineSpec]) -> tuple[MachineSpec, ...]:
    for name in options.machines:
        if name not in specs:
            names = ", ".join(specs)
            raise WrongUse(f"--machine {name}: unknown machine; the machines are {names}")
    return tuple(specs[name] for name in dict.fromkeys(options.machines))


def _no_pipeline_reason(options: Options, source: Path | None, shard: Shard | None) -> str:
    """Return why the release workflow does not run, or an empty string."""
    reason = ""
    if options.checkout:
        pass  # --repository always runs the workflow
    elif not source:
        reason = "the wheels exist already, and --repository names no checkout"
    elif options.subject:
        reason = f"--repository names no checkout of {options.subject}"
    elif not options.pipeline:
        reason = "--no-pipeline leaves it out"
    elif options.profile == "quick":
        reason = "the profile quick leaves it out"
    elif options.machines:
        reason = f"the run is narrowed to {', '.join(dict.fromkeys(options.machines))}"
    elif shard and not shard.has_workflow:
        reason = f"shard 1/{shard.total} runs it"
    if options.actions_from and reason:
        raise WrongUse(
            f"--actions-from: the release workflow does not run: {reason}; remove this option"
        )
    if options.actions_from and not options.actions_from.is_dir():
        raise WrongUse(
            f"--actions-from {options.actions_from}: this folder does not exist; correct the path"
        )
    return reason


def _shard(options: Options) -> Shard | None:
    """Return the shard of the run; None for all cells.

    Raises:
        WrongUse: the value is not a shard, or it cannot be combined with another option.
    """
    if options.shard is None:
        return None
    if options.keyword or options.deselected:
        raise WrongUse("--shard and -k cannot be combined; select cells with --machine")
    if options.checkout:
        raise WrongUse(
            "--shard and --repository cannot be combined; verify the workflow in a separate run"
        )
    return shards.parse(options.shard)


def _registry(options: Options) -> ImageRegistry | None:
    """Return the registry of the images; None if they are built.

    Raises:
        WrongUse: the options do not name a registry and a list of its images.
    """
    if options.registry is None:
        if options.digests:
            raise WrongUse("--digests: name the registry with --registry")
        return None
    return image_registry.load(options.registry, options.digests or image_registry.DIGESTS)


def _limits(options: Options) -> LimitOptions | None:
    """Return the limits of machines and jobs; None if no option sets one.

    Raises:
        WrongUse: a value is not a number, or too small for an installation.
    """
    if not options.limits:
        return None
    try:
        return LimitOptions.model_validate(options.limits)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = str(fault["loc"][0])
        option = f"--{key.removesuffix('_mib')} {options.limits[key]}"
        smallest = fault.get("ctx", {}).get("ge")
        hint = f"write at least {smallest}" if smallest else "write a number"
        raise WrongUse(f"{option}: not a limit; {hint}") from None


def _wait_minutes(options: Options) -> float:
    """Return how long the run waits for the files of `--published-by`, in minutes.

    Raises:
        WrongUse: an option is missing or wrong.
    """
    if options.published_by and options.release is None:
        raise WrongUse("--published-by: name the published release with --release")
    if options.wait is None:
        return _WAIT_MINUTES
    if not options.published_by:
        raise WrongUse("--wait: only --published-by waits; remove this option")
    try:
        minutes = float(options.wait)
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= _MAX_WAIT_MINUTES:
        raise WrongUse(
            f"--wait {options.wait}: not a number of minutes from 0 to {_MAX_WAIT_MINUTES}"
        )
    return minutes


def _tests(options: Options, source: Path | None) -> tuple[Path | None, str]:
    """Return the folder of the package's own tests, or None and why they do not run."""
    if options.tests:
        if fault := own_tests.folder_fault(options.tests):
            raise WrongUse(f"--tests {options.tests}: {fault}")
        return options.tests, ""
    if options.checkout and not options.subject:
        return None, "only the release workflow is verified; --subject describes the package"
    if not source:
        return None, "the wheels exist already, and --tests names no folder with their own tests"
    if options.subject:
        return None, f"--tests names no folder with the tests of {options.subject}"
    folder = source / "tests"
    fault = own_tests.folder_fault(folder)
    return (None, f"{folder}: {fault}") if fault else (folder, "")


def _narrowed(
    options: Options, named: tuple[MachineSpec, ...], profile: Profile
) -> tuple[str, ...]:
    return (
        *(f"--machine {spec.name}" for spec in named),
        *([f"--shard {options.shard}"] if options.shard else []),
        *(["--history none"] if options.history == "none" != profile.history else []),
        *([f"-k {options.keyword}"] if options.keyword else []),
        *(f"without {path}" for path in options.deselected),
    )
