"""The identity of the files of a real action: the commit of a checkout, or a hash of the files."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from containers.runner.git_repository import git_output
from verification.models.base import Model

_COMMIT = re.compile(r"[0-9a-f]{40}")


class ActionIdentity(Model):
    """The identity of the files in the folder of an action."""

    text: str
    """``commit HASH`` if the folder is a git checkout without changes, else ``sha256 HASH``."""
    version: str = ""
    """The most exact tag of the commit, or an empty string."""


def identify(folder: Path) -> ActionIdentity:
    """Return the identity of the files in a folder.

    A file that git ignores is a change too, because the action can run it.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if commit and _git(folder, "status", "--porcelain", "--ignored") == "":
        tags = (_git(folder, "tag", "--points-at", commit) or "").split()
        return ActionIdentity(text=f"commit {commit}", version=max(tags, key=len, default=""))
    return ActionIdentity(text=f"sha256 {_content_hash(folder)}")


def pinned_commit(folder: Path, ref: str) -> str:
    """Return the commit that ``ref`` names. Empty if the checkout does not know it."""
    if _COMMIT.fullmatch(ref):
        return ref
    names = (f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/remotes/origin/{ref}")
    commits = (
        _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") for name in names
    )
    return next(filter(None, commits), "")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of git in the checkout at ``folder``. None if it is no checkout."""
    if not (folder / ".git").exists():
        return None
    return git_output(folder, *arguments)


def _content_hash(folder: Path) -> str:
    """Return the sha256 over the names, the modes and the content of all files except ``.git``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if ".git" in name.parts or (path.is_dir() and not path.is_symlink()):
            continue
        content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        mode = "l" if path.is_symlink() else "x" if os.access(path, os.X_OK) else "f"
        digest.update(f"{name}\0{mode}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
