"""Change the Windows registry and look at it as the probe does, a first and a second time.

Runs there, beside probe.py; prints what each look saw of every change, as JSON.
"""

from __future__ import annotations

import json
import winreg
from collections.abc import Callable
from typing import Any

import probe  # type: ignore[import-not-found]

registries: Any = winreg  # mypy checks as on Linux, where it is empty
USER = registries.HKEY_CURRENT_USER
TOP = r"Software\e2e"
LEFT_OUT = (r"HKLM\Software", r"HKLM\System")  # nothing changes there, and they are large


def put(path: str, name: str, value: str) -> None:
    """Write a value, and its key if there is none."""
    with registries.CreateKey(USER, path) as key:
        registries.SetValueEx(key, name, 0, registries.REG_SZ, value)


def drop(path: str, name: str) -> None:
    """Remove a value."""
    with registries.OpenKey(USER, path, 0, registries.KEY_SET_VALUE) as key:
        registries.DeleteValue(key, name)


CHANGES: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "a value is added": lambda: put(rf"{TOP}\deep\below", "new", "1"),
    "a value is changed": lambda: put(rf"{TOP}\deep\below", "new", "2"),
    "a value is removed": lambda: drop(rf"{TOP}\deep\below", "new"),
    "a key is added": lambda: put(rf"{TOP}\deep\other\one", "", ""),
    "a key is removed": lambda: registries.DeleteKey(USER, rf"{TOP}\deep\other\one"),
}

if __name__ == "__main__":
    put(rf"{TOP}\deep\below", "old", "1")
    told = {}
    for name, change in CHANGES.items():
        before = probe.RegistrySnapshot(LEFT_OUT)
        change()
        fresh, again = probe.RegistrySnapshot(LEFT_OUT), probe.RegistrySnapshot(LEFT_OUT, before)
        told[name] = {
            "fresh": probe.difference(before.values, fresh.values),
            "again": probe.difference(before.values, again.values),
        }
    print(json.dumps(told))
