"""What a run needs before its first cell: engine, images, wheels and the testbed.

The process that controls the run prepares it once; its workers get the same as plain values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, cast

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from containers import builder, engine, images, releases, testbed, wheelhouse
from containers import release_workflow as pipelines
from containers.images import MUSL_PLATFORMS
from containers.index import IndexContents, read_files
from containers.progress import PROGRESS, say, step
from verification.models.cause import Cause
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release
from verification.models.subject import Platform, Subject
from verification.models.testbed import Image
from verification.pipeline import execution, policy, provenance, publishers
from verification.pipeline.plan import plan
from verification.pipeline.result import Piped
from verification.rules import Expected
from verification.rules import install_paths as paths
from verification.rules.expectation import differs
from verification.session.selection import DEFAULT_SOURCE, Selection
from verification.subjects import database
from verification.wheel.errors import BadWheel
from verification.wheel.modules import top_level_modules
from verification.wheel.release import inspect_release, narrow
from verification.wheel.tags import declared_platform, is_for, parse_tags, subject_for_wheel

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
INFRASTRUCTURE = ("index", "publisher")
PIPELINE = ("runner", "forge", "builder", "builder-windows")
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Everything the cells need, as plain values."""

    testbed: testbed.Testbed
    wheelhouse: Release
    machines: dict[str, Image]
    """The image of each machine that can run, by machine name."""
    unavailable: dict[str, str]
    """Why a machine cannot run here, by machine name."""
    infrastructure: tuple[Image, ...]
    pipeline: dict[str, Any] | None = None
    """What the release workflow showed, or its testbed's failure; None if it was not run."""
    no_history: str = ""
    """Why the earlier releases are not on the index; empty if they are, or were not asked for."""
    inspection: ReleaseInspection | None = None
    """What is wrong with the wheels; None where nobody asks."""

    def given(self, evidence: Mapping[str, Any]) -> str:
        """Return which wheel of the release the machine was given; empty if none is known.

        The index tells; without one, the tags of what was installed.
        """
        known = [path.name for path in self.wheelhouse.wheels]
        for line in evidence.get("requests", ()):
            whole = line.get("status") == 200 and not line["path"].endswith(".metadata")
            if whole and line.get("file") in known:
                return str(line["file"])
        steps = evidence.get("exercise", {}).get("steps", {})
        told = (steps.get("record", {}).get("value") or {}).get("tags", ())
        tags = parse_tags(told)
        there = paths.distributions(evidence)
        own = []
        for file in known:
            name, version, _, its = parse_wheel_filename(file)
            same = name in there and not differs(there[name]["version"], str(version))
            if same and its == tags:
                own.append(file)
        return own[0] if len(own) == 1 else ""

    def expected(
        self, subject: Subject, system: str, evidence: Mapping[str, Any] | None = None
    ) -> Expected:
        """Return what a cell on a machine with this operating system must show.

        ``evidence`` tells which wheel it was given: the names of libraries may have a Python's ABI.
        """
        platform = platform_of(subject, system)
        wheel = self.given(evidence or {})
        if wheel and not declared_platform(wheel, subject):
            own = subject_for_wheel(wheel, subject)
            fitting = map(own.platform_for, sorted(wheelhouse.platforms(Path(wheel))))
            platform = next(filter(None, fitting), platform)
        return Expected(
            project=subject.name,
            package=subject.import_package,
            version=self.wheelhouse.version,
            digests=self.wheelhouse.digests(),
            locked=self.wheelhouse.locked(),
            libraries=platform.libraries,
            refused=self.refused(),
        )

    def refused(self) -> str:
        """Return who refused the upload of the release and why; empty if all of it was taken."""
        refused = [upload for upload in self.testbed.uploads if upload.code]
        return who_refused(refused[0].output) if refused else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the values, for a worker."""
        return {
            "testbed": self.testbed.model_dump(mode="json"),
            "wheelhouse": self.wheelhouse.model_dump(mode="json"),
            "machines": {name: image.model_dump() for name, image in self.machines.items()},
            "unavailable": self.unavailable,
            "infrastructure": [image.model_dump() for image in self.infrastructure],
            "pipeline": self.pipeline,
            "no_history": self.no_history,
            "inspection": self.inspection and self.inspection.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Self:
        """Return what the controlling process prepared."""
        return cls(
            testbed=testbed.Testbed.model_validate(told["testbed"]),
            wheelhouse=Release.model_validate(told["wheelhouse"]),
            machines={name: Image(**image) for name, image in told["machines"].items()},
            unavailable=told["unavailable"],
            infrastructure=tuple(Image(**image) for image in told["infrastructure"]),
            pipeline=told["pipeline"],
            no_history=told["no_history"],
            inspection=told["inspection"] and ReleaseInspection.model_validate(told["inspection"]),
        )


def platform_of(subject: Subject, system: str) -> Platform:
    """Return the platform that the subject promises for an operating system."""
    return next(p for p in subject.platforms if p.target.system == system)


def who_refused(output: str) -> str:
    """Return who refused an upload and why, from what twine said."""
    lines = [" ".join(_COLOUR.sub("", line).split()) for line in output.splitlines()]
    lines = [line for line in lines if line]
    # Its last record is the error, which a narrow terminal breaks into lines.
    begins = [number for number, line in enumerate(lines) if line.startswith("ERROR ")]
    told = " ".join(lines[begins[-1] :] if begins else lines[-3:]).removeprefix("ERROR ")
    who = "the index refused the upload"
    if told.startswith("InvalidDistribution"):
        who = "twine refused the file before it was uploaded"
    return f"{who} ({told[:400] or 'it said nothing'})"


def piped(told: dict[str, Any]) -> Piped:
    """Return what the release workflow showed, from the plain values."""
    return Piped(
        evidence=told["evidence"],
        static=tuple(Cause(**cause) for cause in told["static"]),
        dynamic=tuple(
            Cause(**cause) for cause in (*told["dynamic"], *told.get("live", {}).get("causes", ()))
        ),
        live=told.get("live", {}),
    )


def images_of(prepared: Prepared) -> dict[str, dict[str, str]]:
    """Return what identifies each image of the run, by its name, as results.json has it."""
    return {
        image.name: {"tag": image.tag, "id": image.id, "created": image.created}
        for image in (*prepared.infrastructure, *prepared.machines.values())
    }


def prepare(
    selection: Selection,
    subject: Subject,
    stack: contextlib.ExitStack,
    *,
    beside: Sequence[Path] = (),
) -> Prepared:
    """Do all set-up; what must be undone at the end is put on ``stack``.

    ``beside`` are further files that the index has.

    Raises:
        WrongUse: the wheels, the release or this Python cannot be used; told before an engine is
            asked for.
        TestbedFailure: the testbed cannot be had.
        BuildFailed: the subject does not build.
    """
    database.check()
    house, inspection = _given(selection, subject)
    found = engine.ensure(provision=selection.provision)
    client = found.client()
    stack.callback(client.close)
    swept = engine.sweep(client)
    if swept:
        say(f"removed {swept} containers, networks and volumes that earlier runs left")
    run = engine.Run.new()
    stack.callback(engine.sweep, client, run=run.id)
    unavailable: dict[str, str] = {}
    machines: dict[str, Image] = {}
    pipeline: dict[str, Any] | None = None
    needed = [*INFRASTRUCTURE, *(spec.image for spec in selection.machines)]
    if not house:
        needed += PIPELINE if selection.pipeline else builder.recipes(selection.systems)
    PROGRESS.expect("image", len(images.missing(found, needed)))
    with ThreadPoolExecutor(4) as pool:
        try:
            make = _release if selection.pipeline else _build
            built = None if house else pool.submit(make, selection, found, run, subject, stack)
            infrastructure = [pool.submit(images.ensure, found, name) for name in INFRASTRUCTURE]
            wanted = {
                spec.image: pool.submit(images.ensure, found, spec.image)
                for spec in selection.machines
            }
            for spec in selection.machines:
                try:
                    machines[spec.name] = wanted[spec.image].result()
                except images.Unavailable as reason:
                    unavailable[spec.name] = str(reason)
            index, publisher = (image.result() for image in infrastructure)
            network = stack.enter_context(testbed.prepare_network(found, run, publisher))
            if built:
                house, pipeline = built.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            engine.sweep(client, run=run.id)  # a build ends with its container
            raise
    assert house is not None
    inspection = inspection or _inspect(house, subject)
    house = house.with_dependencies(*_for_others(selection, subject), *beside)
    no_history = ""
    if selection.history == "all":
        try:
            house = _with_history(house, subject, selection)
        except images.Unavailable as reason:
            no_history = str(reason)
            say(f"the index is without the earlier releases: {reason}")
    if selection.tests:
        house = house.model_copy(update={"tools": wheelhouse.tools()})
    with step("index: starting it and publishing the release"):
        started = stack.enter_context(
            testbed.start(
                network,
                index,
                IndexContents(
                    project=subject.name,
                    files=house.stored,
                    yanked=house.yanked,
                ),
                house.wheel_paths,
            )
        )
    return Prepared(
        started,
        house,
        machines,
        unavailable,
        (index, publisher),
        pipeline,
        no_history,
        inspection,
    )


def _with_history(house: Release, subject: Subject, selection: Selection) -> Release:
    """Return ``house`` with the earlier releases, and with what an installer builds beside them.

    Raises:
        Unavailable: they cannot be had.
    """
    found = releases.earlier(subject.name, house.version)
    if any(spec.refuses for spec in selection.machines):
        # Where no wheel of it fits, an installer builds a dependency from its source.
        house = house.with_dependencies(*_sources(subject))
    return house.model_copy(update={"earlier": found.files, "yanked": found.yanked})


def _for_others(selection: Selection, subject: Subject) -> list[Path]:
    """Return the dependencies for machines that are promised nothing; the live index has them.

    An older release, or a wheel beyond what is promised, finds them there.
    """
    pythons = {spec.python for spec in selection.machines if spec.os == "linux"} - {"3.13"}
    with ThreadPoolExecutor() as pool:
        lock = subject.dependencies
        needed = [
            pool.submit(wheelhouse.dependencies_for, lock, python) for python in sorted(pythons)
        ]
        if any(spec.refuses == "unsupported-platform" for spec in selection.machines):
            needed.append(pool.submit(wheelhouse.dependencies_for, lock, "3.13", MUSL_PLATFORMS))
    return [path for one in needed for path in one.result()]


def _sources(subject: Subject) -> tuple[Path, ...]:
    try:
        return releases.sources(wheelhouse.needed(subject.dependencies))
    except images.Unavailable as reason:
        say(f"the index is without the source of the dependencies: {reason}")
        return ()


def _given(
    selection: Selection, subject: Subject
) -> tuple[Release, ReleaseInspection] | tuple[None, None]:
    """Return the wheels that exist already with their inspection; None if they are to build.

    Raises:
        WrongUse: one of them is no wheel.
    """
    if selection.wheels:
        house = wheelhouse.from_folder(selection.wheels, subject.name, subject.locks)
    elif selection.release:
        house = releases.release(selection.release, subject.name, subject.locks)
    else:
        return None, None
    try:
        return house, _inspect(house, subject)
    except BadWheel as error:
        raise WrongUse(f"--wheels {house.wheel_paths[0].parent}: {error}") from None


def _inspect(house: Release, subject: Subject) -> ReleaseInspection:
    """Inspect each wheel; no other step of a run reads one."""
    return inspect_release(house.wheel_paths, subject, top_level_modules(house.dependencies))


Made = tuple[Release, dict[str, Any] | None]


def _release(
    selection: Selection,
    found: engine.Engine,
    run: engine.Run,
    subject: Subject,
    stack: contextlib.ExitStack,
) -> Made:
    """Push a tag of the source; return the wheels that the release workflow published.

    Where it published none, the wheels are built without it: the machines have their verdict, and
    the pipeline has its own.
    """
    assert selection.source is not None
    version = _version(selection.source)
    own = selection.source.resolve() == (ROOT / DEFAULT_SOURCE).resolve()
    overlays = {} if own else {str(DEFAULT_SOURCE): selection.source}
    static = policy.examine(ROOT, subject=subject).causes
    told: dict[str, Any] = {"static": [cause.model_dump(mode="json") for cause in static]}
    files: dict[str, bytes] = {}
    looked = stack.enter_context(ThreadPoolExecutor(1)).submit(
        provenance.check, publishers.load()[0]
    )
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(functools.partial(images.ensure, found), PIPELINE))
        with pipelines.start(
            found,
            run,
            ROOT,
            [f"v{version}"],
            overlays=overlays,
            actions_from=selection.actions_from,
        ) as pipe:
            (shown,) = pipe.start()
            told["evidence"] = pipe.evidence(shown, subject.name)
            files = read_files(found, pipe.index.id, subject.name)
    except TestbedFailure as failure:
        told["testbed"] = {"name": failure.cause, "where": failure.where, "seen": failure.seen}
    else:
        told["live"] = _live(looked.result())
        causes = execution.diagnose(told["evidence"], plan(), version=version)
        told["dynamic"] = [cause.model_dump(mode="json") for cause in causes]
        if not any(cause.severity == "broken" for cause in causes):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quiverdb-e2e-")))
            for name, content in files.items():
                (folder / name).write_bytes(content)
            wheels = sorted(folder.iterdir())
            return wheelhouse.from_files(wheels, subject.locks, location="the pipeline"), told
    house, _ = _build(selection, found, run, subject, stack)
    return house, told


def _live(finding: provenance.Finding) -> dict[str, Any]:
    return {
        "verdict": str(finding.verdict),
        "reason": finding.reason,
        "version": finding.version,
        "publishers": dict(finding.publishers),
        "causes": [cause.model_dump(mode="json") for cause in finding.causes],
    }


def _version(source: Path) -> str:
    """Return the version that the source says it has.

    Raises:
        WrongUse: it says none.
    """
    path = source / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        return str(Version(project["version"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(f"{path}: no version under [project] can be read: {error}") from None


def _build(
    selection: Selection,
    found: engine.Engine,
    run: engine.Run,
    subject: Subject,
    _stack: contextlib.ExitStack,
) -> Made:
    assert selection.source is not None
    wheels = [
        builder.build(
            found,
            selection.source,
            run,
            platform=cast("builder.Platform", system),
            manylinux_image=os.environ.get("QUIVERDB_E2E_MANYLINUX"),
        )
        for system in selection.systems
    ]
    return wheelhouse.from_files(wheels, subject.locks, location=str(selection.source)), None


def static(prepared: Prepared, subject: Subject, systems: tuple[str, ...]) -> ReleaseInspection:
    """Return what is wrong with the wheels for ``systems`` alone: only these are judged."""
    assert prepared.inspection is not None
    platforms = tuple(platform_of(subject, system) for system in systems)
    return narrow(prepared.inspection, subject.model_copy(update={"platforms": platforms}))


def lost(prepared: Prepared, subject: Subject, system: str) -> list[str]:
    """Return why wheels for an operating system, or all that are unknown, cannot be judged."""
    platforms = (platform_of(subject, system),)
    return [
        f"{name}: {why}"
        for name, why in prepared.wheelhouse.not_fetched.items()
        if not name.endswith(".whl") or is_for(parse_wheel_filename(name)[3], platforms)
    ]
