"""The tags of the repository that git serves. The REST API creates and deletes tags."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GitTags:
    """The tags of the bare repository. Without a repository, nothing happens."""

    _folder: Path
    """The folder that contains ``repository.git``."""

    def create(self, name: str, commit: str) -> None:
        """Create a lightweight tag."""
        self._update(f"refs/tags/{name}", commit)

    def delete(self, name: str) -> None:
        """Delete a tag."""
        self._update("-d", f"refs/tags/{name}")

    def _update(self, *arguments: str) -> None:
        repository = self._folder / "repository.git"
        if repository.is_dir():
            command = ("git", "-c", "safe.directory=*", "-C", str(repository), "update-ref")
            subprocess.run((*command, *arguments), check=True, capture_output=True)
