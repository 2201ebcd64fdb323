"""The installers of installers.toml, and pip of any version."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

from verification.models.base import read_tables
from verification.models.scenario import Installer

PATH = Path(__file__).with_name("installers.toml")
_PIP_VERSION = re.compile(r"pip-(\d+(?:\.\d+)*)")
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
    """Return an installer by name. ``pip-24.3`` is that version of pip, installed from the index.

    Raises:
        KeyError: the name is unknown.
    """
    known = load()
    if name in known or not (match := _PIP_VERSION.fullmatch(name)):
        return known[name]
    pip = known["pip" if Version(match[1]) >= _READS_SYSTEM_STORE else "pip-oldest"]
    setup = (("python", "-m", "pip", "install", "--quiet", f"pip=={match[1]}"),)
    return pip.model_copy(update={"name": name, "setup": setup})
