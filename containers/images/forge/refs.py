"""The branches and tags of the repository. A release can create a tag; a client can delete one."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from .config import Repository
from .git_tags import GitTags

# git-check-ref-format(1).
_MALFORMED = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|[./]$|\.lock(/|$)|^@$|[\ud800-\udfff]"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_well_formed(name: str) -> bool:
    """Return True if a tag can have this name."""
    return bool(name) and not _MALFORMED.search(name)


@dataclass(frozen=True, slots=True)
class RefTarget:
    """The object of a branch or a tag: its type, ``commit`` or ``tag``, and its hash."""

    type: str
    sha: str


class Refs:
    """The branches and tags of the repository. They change during a run."""

    def __init__(self, repository: Repository, git: GitTags | None = None) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._branches = dict(repository.branches)
        self._tags = dict(repository.tags)
        self._annotated = dict(repository.annotated)
        self._default = repository.default_branch

    def tags(self) -> dict[str, str]:
        """Return the tags with their commits, the highest version first."""
        with self._lock:
            names = sorted(self._tags, key=version_key, reverse=True)
            return {name: self._tags[name] for name in names}

    def branches(self) -> dict[str, str]:
        """Return the branches with their commits."""
        with self._lock:
            return dict(sorted(self._branches.items()))

    def commit(self, commitish: str) -> str | None:
        """Return the commit of a branch, a tag or a known commit hash, or None."""
        with self._lock:
            known = {*self._branches.values(), *self._tags.values()}
            if _COMMIT.fullmatch(commitish) and commitish in known:
                return commitish
            branch, tag = (
                commitish.removeprefix("refs/heads/"),
                commitish.removeprefix("refs/tags/"),
            )
            return self._branches.get(branch) or self._tags.get(tag)

    def find(self, name: str) -> RefTarget | None:
        """Return the object of the ref ``refs/heads/...`` or ``refs/tags/...``, or None."""
        kind, _, short = name.removeprefix("refs/").partition("/")
        with self._lock:
            if kind == "heads" and short in self._branches:
                return RefTarget("commit", self._branches[short])
            if kind == "tags" and short in self._annotated:
                return RefTarget("tag", self._annotated[short])
            if kind == "tags" and short in self._tags:
                return RefTarget("commit", self._tags[short])
        return None

    def names(self, prefix: str) -> list[str]:
        """Return the full names that start with ``refs/`` and ``prefix``."""
        with self._lock:
            full_names = [f"refs/heads/{name}" for name in self._branches]
            full_names += [f"refs/tags/{name}" for name in self._tags]
        return sorted(name for name in full_names if name.startswith(f"refs/{prefix}"))

    def tag_of(self, sha: str) -> tuple[str, str] | None:
        """Return the name and the commit of the annotated tag with this tag object, or None."""
        with self._lock:
            for name, tag_object in self._annotated.items():
                if tag_object == sha and name in self._tags:
                    return name, self._tags[name]
        return None

    def create_tag(self, name: str, commitish: str) -> None:
        """Create a lightweight tag if it does not exist."""
        commit = self.commit(commitish or self._default)
        with self._lock:
            if commit is not None and name not in self._tags:
                self._tags[name] = commit
                if self._git:
                    self._git.create(name, commit)

    def delete(self, name: str) -> bool:
        """Delete a tag by its full name. Return True if it existed."""
        short = name.removeprefix("refs/tags/") if name.startswith("refs/tags/") else ""
        with self._lock:
            self._annotated.pop(short, None)
            existed = self._tags.pop(short, None) is not None
            if existed and self._git:
                self._git.delete(short)
            return existed


def version_key(tag: str) -> tuple[tuple[int, ...], bool, str]:
    """Return a key that sorts tags by version. Tags without a version come first."""
    match = re.match(r"v?(\d{1,9}(?:\.\d{1,9})*)(.*)", tag, re.ASCII | re.DOTALL)
    if not match:
        return (), False, tag
    numbers = tuple(int(part) for part in match[1].split("."))
    return numbers, not match[2], match[2]
