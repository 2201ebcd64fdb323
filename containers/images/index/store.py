"""pypiserver: it keeps the files and hands them out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pypiserver  # type: ignore[import-untyped]
from packaging.utils import canonicalize_name
from pypiserver.backend import (  # type: ignore[import-untyped]
    BackendProxy,
    SimpleFileBackend,
)
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# What a real index tells caches about its files: they never change (RFC 8246's reasoning).
_FOREVER = 365_000_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store: its path below the store's folder, its project and where it lies."""

    name: str
    project: str
    path: Path


class AtomicBackend(SimpleFileBackend):  # type: ignore[misc]
    """pypiserver's own file backend, but a file appears whole or not at all."""

    def add_package(self, filename: str, stream: IO[bytes]) -> None:
        """Write under a hidden name, which pypiserver does not list, then rename."""
        folder: Path = self.roots[0]
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as partial:
            hidden = Path(partial.name)
            try:
                shutil.copyfileobj(stream, partial)
                partial.flush()
                hidden.chmod(0o644)
                hidden.replace(folder / filename)
            except BaseException:
                hidden.unlink(missing_ok=True)
                raise


class Store:
    """pypiserver over one folder, with its fallback to another index switched off."""

    def __init__(self, folder: Path) -> None:
        self._app: Any = pypiserver.app(
            roots=[folder.resolve()],
            disable_fallback=True,
            authenticate=[],
            password_file=".",  # noqa: S106 - no file: uploads never come this way
            backend_arg="simple-dir",
            hash_algo="sha256",
            cache_control=_FOREVER,
        )
        config = self._app._pypiserver_config
        config.backend = BackendProxy(AtomicBackend(config))
        self._backend: Any = config.backend

    def projects(self) -> list[str]:
        """List the normalised names of the projects that have files."""
        return sorted(self._backend.get_projects())

    def files(self, project: str | None = None) -> list[StoredFile]:
        """List the files, of one project by its normalised name or of all, sorted by name."""
        return sorted(self._files(project), key=lambda file: file.name)

    def find(self, name: str) -> StoredFile | None:
        """Give the file with a path below the store's folder, or None."""
        return next((file for file in self._files(None) if file.name == name), None)

    def add(self, filename: str, content: IO[bytes]) -> None:
        """Store a new file; readers see all of it or nothing.

        Raises:
            OSError: the file cannot be written.
        """
        self._backend.add_package(filename, content)

    def serve(self, environ: WSGIEnvironment, name: str) -> Response:
        """Let pypiserver answer a request for a file, ranges and conditions included."""
        inner = {**environ, "SCRIPT_NAME": "", "PATH_INFO": f"/packages/{name}"}
        return Response.from_app(self._app, inner)

    def _files(self, project: str | None) -> Iterator[StoredFile]:
        if project is None:
            packages = self._backend.get_all_packages()
        else:
            packages = self._backend.find_project_packages(project)
        for package in packages:
            yield StoredFile(
                package.relfn_unix, canonicalize_name(package.pkgname), Path(package.fn)
            )
