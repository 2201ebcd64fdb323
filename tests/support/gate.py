"""What a run needs before its first cell: engine, images, wheels and the testbed.

The process that controls the run prepares it once; its workers get the same as plain values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, cast

from containers import builder, engine, images, releases, testbed, wheelhouse
from containers.errors import WrongUse
from containers.images import Image
from containers.progress import say, step
from containers.wheelhouse import Wheelhouse
from tests.support import inspection
from tests.support.diagnosis import Expected
from tests.support.inspection import BadWheel
from tests.support.selection import Selection
from tests.support.subject import Platform, Subject

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
INFRASTRUCTURE = ("index", "publisher")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Everything the cells need, as plain values."""

    testbed: testbed.Testbed
    wheelhouse: Wheelhouse
    machines: dict[str, Image]
    """The image of each machine that can run, by machine name."""
    unavailable: dict[str, str]
    """Why a machine cannot run here, by machine name."""
    infrastructure: tuple[Image, ...]
    no_history: str = ""
    """Why the earlier releases are not on the index; empty if they are, or were not asked for."""

    def expected(self, subject: Subject, system: str) -> Expected:
        """Return what a cell on a machine with this operating system must show."""
        platform = platform_of(subject, system)
        refused = [upload for upload in self.testbed.uploads if upload.code]
        return Expected(
            project=subject.name,
            version=self.wheelhouse.version,
            digests=self.wheelhouse.digests(),
            locked=self.wheelhouse.locked(),
            libraries=platform.libraries,
            refused=_reason(refused[0].output) if refused else "",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the values, for a worker."""
        told = dataclasses.asdict(self)
        told["wheelhouse"] |= {
            key: [str(path) for path in getattr(self.wheelhouse, key)]
            for key in ("wheels", "dependencies", "earlier")
        }
        return told | {"testbed": self.testbed.to_dict()}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Self:
        """Return what the controlling process prepared."""
        paths = {
            key: tuple(Path(path) for path in told["wheelhouse"][key])
            for key in ("wheels", "dependencies", "earlier")
        }
        return cls(
            testbed=testbed.Testbed.from_dict(told["testbed"]),
            wheelhouse=Wheelhouse(**(told["wheelhouse"] | paths)),
            machines={name: Image(**image) for name, image in told["machines"].items()},
            unavailable=told["unavailable"],
            infrastructure=tuple(Image(**image) for image in told["infrastructure"]),
            no_history=told["no_history"],
        )


def platform_of(subject: Subject, system: str) -> Platform:
    """Return the platform that the subject promises for an operating system."""
    return next(p for p in subject.platforms if p.target.system == system)


def _reason(output: str) -> str:
    lines = [_COLOUR.sub("", line).strip() for line in output.splitlines()]
    # With --verbose twine shows the index's answer, and with it the reason.
    told = [line for line in lines if re.search(r"\b[45]\d\d\b.*|Error", line)]
    return " | ".join(dict.fromkeys(told or ["twine failed"]))[:400]


def prepare(selection: Selection, subject: Subject, stack: contextlib.ExitStack) -> Prepared:
    """Do all set-up; what must be undone at the end is put on ``stack``.

    Raises:
        WrongUse: the wheels or the release cannot be used; told before an engine is asked for.
        TestbedFailure: the testbed cannot be had.
        BuildFailed: the subject does not build.
    """
    house = _given(selection, subject)
    found = engine.ensure(provision=selection.provision)
    testbed.use(found)
    client = found.client()
    stack.callback(client.close)
    swept = engine.sweep(client)
    if swept:
        say(f"removed {swept} containers, networks and volumes that earlier runs left")
    run = engine.Run.new()
    stack.callback(engine.sweep, client, run=run.id)
    unavailable: dict[str, str] = {}
    machines: dict[str, Image] = {}
    with ThreadPoolExecutor(3) as pool:
        try:
            built = None if house else pool.submit(_build, selection, found, run)
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
            house = house or (built.result() if built else None)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            engine.sweep(client, run=run.id)  # a build ends with its container
            raise
    assert house is not None
    no_history = ""
    if selection.history == "all":
        try:
            house = _with_history(house, subject, selection)
        except images.Unavailable as reason:
            no_history = str(reason)
            say(f"the index is without the earlier releases: {reason}")
    with step("index: starting it and publishing the release"):
        started = stack.enter_context(
            testbed.start(
                found,
                run,
                testbed.Images(index, publisher),
                wheels=house.wheels,
                dependencies=(*house.dependencies, *house.earlier),
                yanked=house.yanked,
            )
        )
    return Prepared(started, house, machines, unavailable, (index, publisher), no_history)


def _with_history(house: Wheelhouse, subject: Subject, selection: Selection) -> Wheelhouse:
    """Return ``house`` with the earlier releases, and what they depend on with later Pythons.

    Raises:
        Unavailable: they cannot be had.
    """
    found = releases.earlier(subject.name, house.version)
    pythons = {spec.python for spec in selection.machines if spec.os == "linux"} - {"3.13"}
    more = {
        path.name: path
        for python in sorted(pythons)
        for path in wheelhouse.dependencies_for(python)
    }
    known = {path.name for path in house.dependencies}
    every = (*house.dependencies, *(path for name, path in more.items() if name not in known))
    return dataclasses.replace(house, dependencies=every, earlier=found.files, yanked=found.yanked)


def _given(selection: Selection, subject: Subject) -> Wheelhouse | None:
    """Return the wheels that are there already, checked to be wheels; None if they are to build."""
    if selection.wheels:
        house = wheelhouse.from_folder(selection.wheels, subject.name)
    elif selection.release:
        house = wheelhouse.from_release(selection.release, subject.name)
    else:
        return None
    for path in house.wheels:
        try:
            inspection.inspect(path, subject=subject)
        except BadWheel as error:
            raise WrongUse(f"--wheels {path.parent}: {error}") from None
    return house


def _build(selection: Selection, found: engine.Engine, run: engine.Run) -> Wheelhouse:
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
    return wheelhouse.from_files(wheels, place=str(selection.source))


def static(
    prepared: Prepared, subject: Subject, systems: tuple[str, ...]
) -> inspection.SetInspection:
    """Inspect the wheels for ``systems`` alone: what is not selected is not judged."""
    platforms = tuple(platform_of(subject, system) for system in systems)
    narrowed = dataclasses.replace(subject, platforms=platforms)
    wanted = [
        path
        for path in prepared.wheelhouse.wheels
        if any(_fits(path, platform) for platform in platforms)
    ]
    return inspection.inspect_set(wanted, subject=narrowed)


def _fits(path: Path, platform: Platform) -> bool:
    tags = wheelhouse.platforms(path)
    return any(tag == "any" or platform.fits(tag) for tag in tags)
