"""The engines of a run. Everything that the run starts on them has the run's label."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from containers import engine as engines
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS
from containers.image_registry import ImageRegistry
from containers.progress import print_line
from verification.models.base import Model, read_toml
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.limits import LimitOptions


class EngineChoice(Model):
    """An engine that the user selected with ``--engine`` or ``--engines``."""

    name: str = Field(min_length=1)
    """The name of its Docker context."""
    workers: int | None = Field(default=None, ge=1, le=256)
    """The number of cells that run on it at the same time; None for one and a half per
    processor."""


@dataclass(frozen=True)
class Host:
    """An engine, and the run. Everything that the run starts has the run's label."""

    engine: Engine
    run: Run

    def sweep(self) -> None:
        """Remove everything that the run started."""
        with contextlib.closing(self.engine.client()) as client:
            engines.sweep(client, run=self.run.id)


class _EnginesFile(Model):
    """The file of ``--engines``."""

    engines: tuple[EngineChoice, ...] = Field(min_length=1)


def choices(names: Iterable[str], path: Path | None) -> tuple[EngineChoice, ...]:
    """Return the engines of ``--engine``, and those of the TOML file of ``--engines``.

    Raises:
        WrongUse: an engine is selected twice, or the file does not exist.
        DataError: the file is not valid.
    """
    if path is not None and not path.is_file():
        raise WrongUse(f"--engines {path}: this file does not exist; correct the path")
    selected = [EngineChoice(name=name) for name in names]
    selected += read_toml(_EnginesFile, path).engines if path else ()
    counts = Counter(choice.name for choice in selected)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise WrongUse(f"--engine {twice[0]}: this engine is selected twice; select it once")
    return tuple(selected)


def open_host(
    stack: contextlib.ExitStack, *, provision: bool, limits: LimitOptions | None = None
) -> Host:
    """Find or start an engine, remove the remains of dead runs, and begin a run.

    Closing `stack` removes everything that the run started. `limits` are those of machines and
    jobs; None for the default ones.

    Raises:
        TestbedFailure: there is no engine.
    """
    return _begin(stack, engines.ensure(provision=provision), Run.new(limits))


@dataclass(frozen=True)
class OpenHost:
    """An engine of a run, and what is removed on it at the end of the run."""

    host: Host
    stack: contextlib.ExitStack


def open_hosts(
    stack: contextlib.ExitStack,
    selected: Sequence[EngineChoice],
    registry: ImageRegistry | None,
    *,
    provision: bool,
    limits: LimitOptions | None = None,
) -> tuple[OpenHost, ...]:
    """Do what `open_host` does on each selected engine, or on one if none is selected.

    The first engine builds. Closing `stack` does not fail if one of several engines has ended.

    Raises:
        WrongUse: there is no such context.
        TestbedFailure: an engine does not answer.
    """
    if not selected:
        host = open_host(stack, provision=provision, limits=limits)
        return (OpenHost(_with_registry(host, registry), stack),)
    run = Run.new(limits)
    with ThreadPoolExecutor(len(selected)) as pool:
        found = tuple(
            pool.map(lambda choice: engines.named(choice.name, provision=provision), selected)
        )
    opened = []
    for engine in found:
        own = contextlib.ExitStack()
        stack.callback(_close, own, engine, alone=len(found) == 1)
        opened.append(OpenHost(_with_registry(_begin(own, engine, run), registry), own))
    return tuple(opened)


def _begin(stack: contextlib.ExitStack, engine: Engine, run: Run) -> Host:
    client = engine.client()
    stack.callback(client.close)
    if count := engines.sweep(client):
        place = f" on engine {engine.name}" if engine.name else ""
        print_line(f"removed {count} containers, networks and volumes of earlier runs{place}")
    stack.callback(engines.sweep, client, run=run.id)
    return Host(engine, run)


def _with_registry(host: Host, registry: ImageRegistry | None) -> Host:
    return dataclasses.replace(host, engine=host.engine.model_copy(update={"registry": registry}))


def _close(own: contextlib.ExitStack, engine: Engine, *, alone: bool) -> None:
    """Remove what the run started on an engine. The end of one of several engines is no failure."""
    try:
        own.close()
    except (TestbedFailure, *ENGINE_ERRORS, OSError):
        if alone or engine.answers():
            raise
        print_line(
            f"engine {engine.name} does not answer. The next run that uses it removes what this "
            "run started there"
        )
