"""Generated release notes. They are a function of the tags.

They contain the last line of GitHub's notes. GitHub lists the merged pull requests before it; this
forge has none.
"""

from __future__ import annotations

from .config import Repository
from .refs import version_key
from .routing import WEB


def previous(tag: str, tags: list[str]) -> str | None:
    """Return the tag with the highest version below that of ``tag``, or None."""
    below = [name for name in tags if version_key(name) < version_key(tag)]
    return max(below, key=version_key, default=None)


def generate(repository: Repository, tag: str, before: str | None) -> str:
    """Return the notes for ``tag``: a link to the changes since the tag ``before``."""
    web = f"https://{WEB}/{repository.full_name}"
    link = f"{web}/compare/{before}...{tag}" if before else f"{web}/commits/{tag}"
    return f"**Full Changelog**: {link}"
