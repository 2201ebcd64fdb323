"""Reserve one processor for a machine whose programs run on Wine.

Each system call of such a program is a message to wineserver and a reply. On one processor, the
program and wineserver alternate. On two processors, each waits until an idle processor wakes up. On
a virtual machine, this wait is the larger part of the time (tests/benchmarks/wine.py).
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Iterator

from containers.engine import Engine
from containers.engine_client import ENGINE_ERRORS
from containers.state import try_lock


@contextlib.contextmanager
def reserve(engine: Engine) -> Iterator[str]:
    """Reserve a processor of the engine, and yield its number as a value of ``--cpuset-cpus``.

    If all processors are reserved by machines of this user, one of them is shared. The value is
    empty if the engine cannot assign processors, or runs on another computer.
    """
    numbers = _assignable_processors(engine)
    with contextlib.ExitStack() as stack:
        for number in numbers:
            if stack.enter_context(try_lock(f"processor-{number}")):
                yield str(number)
                return
        yield str(random.choice(numbers)) if numbers else ""  # noqa: S311  (no secret)


@functools.cache
def _assignable_processors(engine: Engine) -> tuple[int, ...]:
    if not engine.url.startswith("unix://"):
        return ()
    client = engine.client()
    try:
        info = client.info()
    except ENGINE_ERRORS:
        return ()  # the start of the machine reports the failure
    finally:
        client.close()
    processors = tuple(sorted(os.sched_getaffinity(0)))
    # An engine with other processors than this process refuses their numbers.
    return processors if info.get("CPUSet") and info.get("NCPU") == len(processors) else ()
