"""Reserve one processor for a machine whose programs run on Wine.

Every system call of such a program is a message to wineserver and an answer. On one processor, the
program and wineserver alternate. On two processors, each waits until an idle processor wakes up. On
a virtual machine, this wait is the larger part of the time: tests/benchmarks/wine.py measures it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Iterator

import docker.errors
import requests

from containers.engine import Engine
from containers.state import try_lock


@contextlib.contextmanager
def reserve(engine: Engine) -> Iterator[str]:
    """Hold a processor of the engine's, by its number as ``--cpuset-cpus`` takes it.

    It is one that no other machine of this user holds, while there is one. It is empty where the
    engine cannot keep a machine to a processor, or runs on another computer.
    """
    numbers = _usable(engine)
    with contextlib.ExitStack() as stack:
        for number in numbers:
            if stack.enter_context(try_lock(f"processor-{number}")):
                yield str(number)
                return
        yield str(random.choice(numbers)) if numbers else ""  # noqa: S311  (no secret)


@functools.cache
def _usable(engine: Engine) -> tuple[int, ...]:
    if not engine.url.startswith("unix://"):
        return ()
    client = engine.client()
    try:
        info = client.info()
    except (docker.errors.DockerException, requests.RequestException):
        return ()  # what comes next tells
    finally:
        client.close()
    ours = tuple(sorted(os.sched_getaffinity(0)))
    # An engine that was given other processors than we refuses ours.
    return ours if info.get("CPUSet") and info.get("NCPU") == len(ours) else ()
