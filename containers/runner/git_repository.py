"""The repository that a maintainer would push: a clone with the current source, and its tags."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from containers import builder
from containers import engine as engines
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import Push

BRANCH = "main"
_GIT = ("git", "-c", "safe.directory=*")
_WHO = {"name": "The maintainer", "email": "maintainer@example.invalid"}


class GitRepository:
    """A bare repository in a temporary folder; a context manager that removes it.

    Its newest commit holds ``root`` as it lies there, uncommitted changes included. ``overlays``
    puts other files or folders in place of some, by their names in the repository:
    ``{"bindings/python": Path("elsewhere")}``.
    """

    def __init__(
        self,
        root: Path,
        *,
        owner: str,
        name: str,
        overlays: Mapping[str, Path] | None = None,
    ) -> None:
        if not root.is_dir():
            raise WrongUse(f"{root}: there is no such folder; name the repository's")
        for target, path in (overlays or {}).items():
            if not path.exists():
                raise WrongUse(f"{path}: there is no such file or folder to put at {target}")
        self.owner = owner
        self.name = name
        self.pushes: dict[str, Push] = {}
        self._root = root
        self._overlays = dict(overlays or {})
        self._scratch = tempfile.TemporaryDirectory(prefix="quiverdb-e2e-origin-")
        self.tree = Path(self._scratch.name) / "tree"
        self.bare = Path(self._scratch.name) / "repository.git"

    def __enter__(self) -> Self:
        engines.install_packages(("git",), ("git",))
        try:
            self._make()
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scratch.cleanup()

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    def _make(self) -> None:
        base = self._clone()
        for target, path in self._overlays.items():
            place = self.tree / target
            if path.is_dir():
                shutil.rmtree(place, ignore_errors=True)
                builder.copy_source(path, place)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
        self._git("add", "--all", "--force")
        changed = self._git("diff", "--cached", "--name-only", "-z").split("\0") if base else ()
        self.differs = tuple(filter(None, changed))
        if self.differs or not base:
            self._git("commit", "--quiet", "--message", "The source folder as it is")
        self.sha = self._git("rev-parse", "HEAD")
        if not base:
            self.source = f"the files of {self._root}, which is no git repository"
        elif self.differs:
            self.source = f"commit {base[:12]} with {len(self.differs)} files as they lie there"
        else:
            self.source = f"commit {base[:12]}"
        self._run("git", "clone", "--quiet", "--bare", str(self.tree), str(self.bare))

    def _clone(self) -> str:
        """Put the files of the root into the tree; return the commit they are of, if any."""
        checked = subprocess.run(
            (*_GIT, "-C", str(self._root), "rev-parse", "--verify", "--quiet", "HEAD^{commit}"),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        base = checked.stdout.strip()
        top = self._root / ".git"
        if checked.returncode or not top.exists():
            self._run("git", "init", "--quiet", f"--initial-branch={BRANCH}", str(self.tree))
            builder.copy_source(self._root, self.tree)
            return ""
        clone = (*_GIT, "clone", "--quiet", "--no-local", "--no-tags")
        self._run(*clone, str(self._root), str(self.tree))
        self._git("checkout", "--quiet", "-B", BRANCH, base)
        changed = self._run(
            *(*_GIT, "-C", str(self._root), "status", "--porcelain", "--untracked-files=all")
        )
        if changed:
            for path in self.tree.iterdir():
                if path.name != ".git":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._copy()
        return base

    def _copy(self) -> None:
        """Copy what git has or would add."""
        listed = self._run(
            *(*_GIT, "-C", str(self._root), "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard", "--deduplicate"),
        )
        for name in filter(None, listed.split("\0")):
            path, place = self._root / name, self.tree / name
            if path.is_symlink() or path.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, place, follow_symlinks=False)

    def tag(self, name: str, *, annotated: bool = True) -> Push:
        """Make a tag on the newest commit and push it.

        Raises:
            WrongUse: git takes no tag of this name, or has it already.
        """
        if name in self.pushes:
            raise WrongUse(f"the tag {name} was pushed before")
        checked = subprocess.run(
            ("git", "check-ref-format", f"refs/tags/{name}"), capture_output=True, check=False
        )
        if checked.returncode or name.startswith("-"):
            raise WrongUse(f"{name!r} is no name for a tag")
        options = ("--annotate", f"--message=Release {name}") if annotated else ()
        self._git("tag", *options, name)
        self._git("push", "--quiet", str(self.bare), f"refs/tags/{name}")
        made = Push(
            tag=name,
            ref=f"refs/tags/{name}",
            annotated=annotated,
            sha=self._git("rev-parse", f"refs/tags/{name}^{{commit}}"),
            object=self._git("rev-parse", f"refs/tags/{name}"),
            source=self.source,
            differs=self.differs,
        )
        self.pushes[name] = made
        return made

    def event(self, push: Push) -> dict[str, JsonValue]:
        """Return the payload of the push event (GitHub's documentation, "Webhook events", push).

        ``deleted`` is null where GitHub says false: act would else take ``after``, which names the
        tag object of an annotated tag, for the commit.
        """
        owner: JsonValue = {"login": self.owner, "name": self.owner, "type": "Organization"}
        pusher: JsonValue = dict(_WHO)
        url = f"https://github.com/{self.full_name}"
        message = self._git("log", "-1", "--format=%B", push.sha)
        commit: JsonValue = {
            "id": push.sha,
            "tree_id": self._git("rev-parse", f"{push.sha}^{{tree}}"),
            "distinct": True,
            "message": message,
            "timestamp": self._git("log", "-1", "--format=%cI", push.sha),
            "url": f"{url}/commit/{push.sha}",
            "author": pusher,
            "committer": pusher,
        }
        return {
            "ref": push.ref,
            "before": "0" * 40,
            "after": push.object,
            "base_ref": f"refs/heads/{BRANCH}",
            "created": True,
            "deleted": None,
            "forced": False,
            "compare": f"{url}/compare/{push.tag}",
            "commits": [],
            "head_commit": commit,
            "pusher": pusher,
            "repository": {
                "name": self.name,
                "full_name": self.full_name,
                "private": False,
                "visibility": "public",
                "owner": owner,
                "html_url": url,
                "url": url,
                "clone_url": f"{url}.git",
                "default_branch": BRANCH,
                "master_branch": BRANCH,
                "pushed_at": int(time.time()),
            },
            "sender": {"login": "maintainer", "type": "User"},
        }

    def message(self, push: Push) -> str:
        """Return the message of the commit that was tagged."""
        return self._git("log", "-1", "--format=%B", push.sha)

    def pack(self, tar: tarfile.TarFile, name: str) -> None:
        """Add the bare repository to an archive, as a folder of this name."""

        def owned(info: tarfile.TarInfo) -> tarfile.TarInfo:
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            return info

        tar.add(self.bare, name, filter=owned)

    def _git(self, *arguments: str) -> str:
        return self._run("git", "-C", str(self.tree), *arguments)

    def _run(self, *command: str) -> str:
        try:
            done = subprocess.run(
                command, env=_environment(), capture_output=True, text=True, check=False
            )
        except OSError as error:
            observed = f"git is needed: {error}; on Debian: apt-get install git"
            raise TestbedFailure("machine-lost", "origin", observed) from error
        if done.returncode:
            last = " ".join(done.stderr.split())[-300:]
            observed = f"`{' '.join(command)}` ended with {done.returncode}: {last}"
            raise TestbedFailure("machine-lost", "origin", observed)
        return done.stdout.strip("\n")


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{role}_{key.upper()}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in _WHO.items()
        },
    }
