"""The version of this suite, and the commit of its checkout.

The module needs only the standard library, so that ``--version`` works without an environment.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

NAME = "quiverdb-e2e"
CHANGES = "+changes"
NO_COMMIT = "no commit"
_ROOT = Path(__file__).parents[1]


def title(version: str, commit: str) -> str:
    """Return the name of the suite with its version and its commit. Empty values are left out."""
    return " ".join(filter(None, (NAME, version, f"({commit})" if commit else "")))


@functools.cache
def version(root: Path = _ROOT) -> str:
    """Return the version in the pyproject.toml of the suite."""
    text = (root / "pyproject.toml").read_text("utf-8")
    return str(tomllib.loads(text)["project"]["version"])


@functools.cache
def commit(root: Path = _ROOT) -> str:
    """Return the short commit of the checkout.

    ``+changes`` follows it if tracked files differ from the commit. Outside a repository, or
    without git, return ``no commit``.
    """
    revision = git(root, "rev-parse", "--short", "HEAD")
    changes = git(root, "status", "--porcelain", "--untracked-files=no")
    if not revision or changes is None:
        return NO_COMMIT
    return revision + (CHANGES if changes else "")


@functools.cache
def checkout(root: Path = _ROOT) -> str:
    """Return a hash of the checkout's folder and of the address of its repository.

    It stays equal from commit to commit. Another folder or repository has another hash. In GitHub
    Actions it is a hash of the repository's name only, because each runner has its own folders.
    """
    if os.environ.get("GITHUB_ACTIONS") == "true" and (name := os.environ.get("GITHUB_REPOSITORY")):
        return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    address = git(root, "config", "--get", "remote.origin.url") or ""
    return hashlib.sha256(os.fsencode(f"{root.resolve()}\n{address}")).hexdigest()[:16]


def command_line(words: Sequence[str] = ()) -> str:
    """Return the command line of this process, quoted for a shell. ``words`` replace sys.argv."""
    program, *arguments = words or sys.argv
    is_launched = Path(program).parts[-3:] == ("verification", "commands", "__main__.py")
    return shlex.join(["./e2e" if is_launched else Path(program).name, *arguments])


def git(root: Path, *words: str) -> str | None:
    """Return the output of git in a folder, or None if it fails.

    Only a repository in this folder counts, not one that a parent folder or a variable names. The
    checkout may belong to another user, because the suite runs its code anyway.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CEILING_DIRECTORIES": str(root.parent), "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(root), "-c", f"safe.directory={root}", *words]
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return None
    return None if result.returncode else result.stdout.strip()
