"""The installers of installers.toml, and pip and uv of any version."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

from verification.models.base import read_tables
from verification.models.scenario import Installer

PATH = Path(__file__).with_name("installers.toml")
_VERSION = re.compile(r"(pip|uv)-(\d+(?:\.\d+)*)")
_READS_SYSTEM_STORE = Version("24.2")
"""The first pip that trusts the system certificate store (pip's NEWS, 24.2)."""


@functools.cache
def load(path: Path = PATH) -> Mapping[str, Installer]:
    """Return the installers by name, in the order of the file.

    Raises:
        DataError: the file cannot be read, or an installer does not fit the model.
    """
    return read_tables(Installer, path)


def named(name: str) -> Installer:
    """Return an installer by name.

    ``pip-24.3`` and ``uv-0.5.0`` are these versions, installed from the index.

    Raises:
        KeyError: the name is unknown.
    """
    known = load()
    if name in known or not (match := _VERSION.fullmatch(name)):
        return known[name]
    program, version = match.groups()
    changes: dict[str, object] = {
        "name": name,
        "setup": (("python", "-m", "pip", "install", "--quiet", f"{program}=={version}"),),
    }
    if program == "uv":
        return known["uv"].model_copy(update=changes | _as_module(known["uv"]))
    is_new = Version(version) >= _READS_SYSTEM_STORE
    return known["pip" if is_new else "pip-oldest"].model_copy(update=changes)


def program_of(name: str) -> str:
    """Return the program of an installer: pip for every pip-NAME, uv for ``uv-0.5.0``."""
    match = _VERSION.fullmatch(name)
    return match[1] if match else "pip" if name.startswith("pip-") else name


def _as_module(uv: Installer) -> dict[str, object]:
    """Return the commands that start the installed uv. PATH has the machine's uv first."""
    return {
        "install": ("python", "-m", *uv.install),
        "uninstall": ("python", "-m", *uv.uninstall),
        "deviation": f"{uv.deviation}; uv is started with `python -m uv`",
    }
