"""Installers and user environments that users report and no machine has: what replaces them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from verification.models.base import Model, read_tables
from verification.rules.catalogue import checked_template

PATH = Path(__file__).with_name("substitutes.toml")
_WORKAROUND_NAMES = frozenset({"project"})


class Substitute(Model):
    """A table of substitutes.toml."""

    name: str
    title: str
    names: tuple[str, ...]
    installer: str
    """The installer that runs instead; empty for the default one of the machine."""
    runs: bool = True
    """False if nothing can replace it."""
    os: Literal["", "windows"] = ""
    """The operating system that it exists on; empty for all."""
    difference: str
    decisive: bool
    """True if a release can work with one of the two and fail with the other."""
    workaround: Annotated[
        str, pydantic.AfterValidator(lambda text: checked_template(text, _WORKAROUND_NAMES))
    ]
    """What the user can do, with the placeholder {project}; empty if there is nothing to do."""


@functools.cache
def load(path: Path = PATH) -> Mapping[str, Substitute]:
    """Return the substitutes by name, in the order of the file.

    Raises:
        DataError: the file cannot be read, or a table does not fit the model.
    """
    return read_tables(Substitute, path)


def named(text: str) -> Substitute | None:
    """Return the substitute for what a user calls an installer or user environment, or None."""
    name = " ".join(text.lower().split())
    return next((item for item in load().values() if name in (item.name, *item.names)), None)
