"""Generated release notes: the same release always gets the same ones.

GitHub lists the merged pull requests first; this forge has none. GitHub then writes the one line
that is written here.
"""

from __future__ import annotations

from .config import Repository
from .refs import version_key
from .routing import WEB


def previous(tag: str, tags: list[str]) -> str | None:
    """Return the highest version below ``tag``, or None."""
    below = [name for name in tags if version_key(name) < version_key(tag)]
    return max(below, key=version_key, default=None)


def generate(repository: Repository, tag: str, before: str | None) -> str:
    """Return the body for ``tag``, with a link to what changed since the tag ``before``."""
    home = f"https://{WEB}/{repository.full_name}"
    link = f"{home}/compare/{before}...{tag}" if before else f"{home}/commits/{tag}"
    return f"**Full Changelog**: {link}"
