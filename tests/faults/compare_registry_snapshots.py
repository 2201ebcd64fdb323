"""Change the Windows registry and compare the snapshots that the probe takes of it.

Runs on a Windows machine, in the folder of probe.py. For each change it prints two differences as
JSON: one from a complete snapshot, and one from a snapshot that reuses the one before the change.
"""

from __future__ import annotations

import json
import winreg
from collections.abc import Callable
from typing import Any

import probe  # type: ignore[import-not-found]

registries: Any = winreg  # on Linux, where mypy runs, the module is empty
USER = registries.HKEY_CURRENT_USER
TOP = r"Software\e2e"
EXCLUDED = (r"HKLM\Software", r"HKLM\System")  # large, and no change here affects them


def write_value(path: str, name: str, value: str) -> None:
    """Write a value. Create its key if necessary."""
    with registries.CreateKey(USER, path) as key:
        registries.SetValueEx(key, name, 0, registries.REG_SZ, value)


def remove_value(path: str, name: str) -> None:
    """Remove a value."""
    with registries.OpenKey(USER, path, 0, registries.KEY_SET_VALUE) as key:
        registries.DeleteValue(key, name)


CHANGES: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "a value is added": lambda: write_value(rf"{TOP}\deep\below", "new", "1"),
    "a value is changed": lambda: write_value(rf"{TOP}\deep\below", "new", "2"),
    "a value is removed": lambda: remove_value(rf"{TOP}\deep\below", "new"),
    "a key is added": lambda: write_value(rf"{TOP}\deep\other\key", "", ""),
    "a key is removed": lambda: registries.DeleteKey(USER, rf"{TOP}\deep\other\key"),
}

if __name__ == "__main__":
    write_value(rf"{TOP}\deep\below", "old", "1")
    differences = {}
    for name, change in CHANGES.items():
        before = probe.RegistrySnapshot(EXCLUDED)
        change()
        complete = probe.RegistrySnapshot(EXCLUDED)
        incremental = probe.RegistrySnapshot(EXCLUDED, before)
        differences[name] = {
            "complete": probe.difference(before.values, complete.values),
            "incremental": probe.difference(before.values, incremental.values),
        }
    print(json.dumps(differences))
