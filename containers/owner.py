"""The owner of a container, network, volume or folder: the process that made it."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN_OWNER_HOURS = 12


def identity(pid: int) -> str:
    """Return the label ``BOOT:NAMESPACE:PID:START`` of a running process.

    Raises:
        OSError: there is no such process.
    """
    # The system reuses process ids. Together with the boot, the pid namespace and the start
    # time an id is unique. The start time is field 22 of stat (proc(5)). The name of the program
    # in parentheses comes before it.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    started = stat.rpartition(")")[2].split()[19]
    return f"{boot}:{namespace}:{pid}:{started}"


def is_dead(owner: str, age_hours: float) -> bool:
    """Return True if the process that owns a container, network, volume or folder has ended.

    ``owner`` is the label of `identity`. A process of another boot or pid namespace is not
    visible. It counts as ended if the owned object is older than 12 hours; ``age_hours`` is
    the age of the object.
    """
    current = identity(os.getpid()).split(":")
    parts = owner.split(":")
    if len(parts) != 4:
        return True
    if parts[:2] != current[:2]:
        return age_hours > _UNKNOWN_OWNER_HOURS
    try:
        return identity(int(parts[2])) != owner
    except (OSError, ValueError):
        return True
