"""The repository that a maintainer pushes: a clone with the current source, and its tags."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from containers import builder
from containers import engine as engines
from containers.runner.event_payloads import BRANCH, MAINTAINER, Commit, payload
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.forge import ForgeRelease
from verification.models.pipeline import RunEvent

_GIT = ("git", "-c", "safe.directory=*")


class GitRepository:
    """A bare repository in a temporary folder: a context manager that removes it at the end.

    Its newest commit has the current files of ``root``, also uncommitted changes. ``overlays``
    replaces files or folders, by their names in the repository:
    ``{"bindings/python": Path("other-folder")}``.

    Raises:
        WrongUse: ``root`` is not a folder, or an overlay does not exist.
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
            raise WrongUse(f"{root} is not a folder; name the folder of the repository")
        for target, path in (overlays or {}).items():
            if not path.exists():
                raise WrongUse(f"{path}, which is to replace {target}, does not exist")
        self.owner = owner
        self.name = name
        self.pushes: dict[str, RunEvent] = {}
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
        for name, path in self._overlays.items():
            target = self.tree / name
            if path.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                builder.copy_source(path, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        self._git("add", "--all", "--force")
        changed = self._git("diff", "--cached", "--name-only", "-z").split("\0") if base else ()
        self.differs = tuple(filter(None, changed))
        if self.differs or not base:
            self._git("commit", "--quiet", "--message", "The current files of the source folder")
        self.sha = self._git("rev-parse", "HEAD")
        if not base:
            self.source = f"the files of {self._root}, which is not a git repository"
        elif self.differs:
            self.source = f"commit {base[:12]} with {len(self.differs)} uncommitted files"
        else:
            self.source = f"commit {base[:12]}"
        self._run("git", "clone", "--quiet", "--bare", str(self.tree), str(self.bare))

    def _clone(self) -> str:
        """Copy the files of the root into the tree.

        Return the commit of the root, or an empty string if the root has no git commit.
        """
        result = subprocess.run(
            (*_GIT, "-C", str(self._root), "rev-parse", "--verify", "--quiet", "HEAD^{commit}"),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        base = result.stdout.strip()
        if result.returncode or not (self._root / ".git").exists():
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
            self._copy_files()
        return base

    def _copy_files(self) -> None:
        """Copy the files that git tracks or would add from the root into the tree."""
        names = self._run(
            *(*_GIT, "-C", str(self._root), "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard", "--deduplicate"),
        )
        for name in filter(None, names.split("\0")):
            path, target = self._root / name, self.tree / name
            if path.is_symlink() or path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target, follow_symlinks=False)

    def tag(self, name: str, *, annotated: bool = True) -> RunEvent:
        """Create a tag on the newest commit and push it. Return the event of the push.

        Raises:
            WrongUse: git does not allow this name, or the tag exists already.
        """
        if name in self.pushes:
            raise WrongUse(f"the tag {name} exists already; use another name")
        result = subprocess.run(
            ("git", "check-ref-format", f"refs/tags/{name}"), capture_output=True, check=False
        )
        if result.returncode or name.startswith("-"):
            raise WrongUse(f"git does not allow the tag name {name!r}; use a name such as v1.2.0")
        options = ("--annotate", f"--message=Release {name}") if annotated else ()
        self._git("tag", *options, name, self.sha)
        self._git("push", "--quiet", str(self.bare), f"refs/tags/{name}")
        ref = f"refs/tags/{name}"
        sha, tag_object = self._git("rev-parse", f"{ref}^{{commit}}", ref).split()
        push = self._event(tag=name, ref=ref, annotated=annotated, sha=sha, object=tag_object)
        self.pushes[name] = push
        return push

    def push_branch(self) -> RunEvent:
        """Return the event of a push of the newest commit to the default branch."""
        return self._event(ref=f"refs/heads/{BRANCH}")

    def release(self, tag: str, event_type: str = "published") -> RunEvent:
        """Return the event of a release that a user published on the release page.

        The page creates its tag, which is lightweight, if the tag does not exist.

        Raises:
            WrongUse: git does not allow the name of the tag.
        """
        pushed = self.pushes.get(tag) or self.tag(tag, annotated=False)
        return pushed.model_copy(update={"name": "release", "type": event_type})

    def dispatch(
        self,
        inputs: Mapping[str, str],
        ref: str = f"refs/heads/{BRANCH}",
        *,
        by_workflow: bool = False,
    ) -> RunEvent:
        """Return the event of a dispatch on a branch or a tag.

        A tag that does not exist is created on the newest commit: a release of another workflow
        run created it on the forge.

        Raises:
            WrongUse: git does not allow the name of the tag.
        """
        tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else ""
        if tag:
            base = self.pushes.get(tag) or self.tag(tag, annotated=False)
        else:
            base = self._event(ref=ref)
        return base.model_copy(
            update={"name": "workflow_dispatch", "inputs": inputs, "by_workflow": by_workflow}
        )

    def _event(self, **values: object) -> RunEvent:
        """Return the event of a push of the newest commit, with other values."""
        common = {
            "sha": self.sha,
            "object": self.sha,
            "source": self.source,
            "differs": self.differs,
        }
        return RunEvent.model_validate(common | values)

    def payload(
        self, event: RunEvent, workflow: str, release: ForgeRelease | None = None
    ) -> dict[str, JsonValue]:
        """Return the payload of an event, as `event_payloads.payload`."""
        log = self._git("log", "-1", "--format=%T%n%cI%n%P%n%B", event.sha)
        tree, timestamp, parents, *message = log.split("\n")
        commit = Commit(
            id=event.sha,
            tree_id=tree,
            timestamp=timestamp,
            message="\n".join(message),
            parent=(parents.split() or ["0" * 40])[0],
        )
        return payload(event, self.owner, self.name, commit, workflow, release)

    def message(self, event: RunEvent) -> str:
        """Return the message of the commit of an event."""
        return self._git("log", "-1", "--format=%B", event.sha)

    def pack(self, tar: tarfile.TarFile, name: str) -> None:
        """Add the bare repository to an archive, as a folder with this name."""
        tar.add(self.bare, name, filter=builder.owned_by_root)

    def _git(self, *arguments: str) -> str:
        return self._run("git", "-C", str(self.tree), *arguments)

    def _run(self, *command: str) -> str:
        try:
            result = subprocess.run(
                command, env=_environment(), capture_output=True, text=True, check=False
            )
        except OSError as error:
            message = f"git cannot start: {error}. On Debian run: apt-get install git"
            raise TestbedFailure("machine-lost", "origin", message) from error
        if result.returncode:
            errors = " ".join(result.stderr.split())[-300:]
            message = f"`{' '.join(command)}` ended with exit code {result.returncode}: {errors}"
            raise TestbedFailure("machine-lost", "origin", message)
        return result.stdout.strip("\n")


def git_output(folder: Path, *arguments: str) -> str | None:
    """Return the output of git in a folder, without the user's settings; None if git fails."""
    options = ("-c", "core.fsmonitor=false", "-C", str(folder))
    try:
        result = subprocess.run(
            (*_GIT, *options, *arguments),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return None if result.returncode else result.stdout.strip()


def _environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return environment | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{role}_{key.upper()}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in MAINTAINER.items()
        },
    }
