"""pypiserver: it keeps the files and hands them out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import pypiserver
from packaging.utils import canonicalize_name
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# What a real index tells caches about its files: they never change (RFC 8246's reasoning).
_FOREVER = 365_000_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store: its path below the store's folder, its project and its location."""

    name: str
    project: str
    path: Path


class PackageStore:
    """pypiserver over one folder, with its fallback to another index switched off."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        app = pypiserver.app(
            roots=[self._folder],
            disable_fallback=True,
            authenticate=[],
            password_file=".",  # noqa: S106 - no file: uploads never come this way
            backend_arg="simple-dir",
            hash_algo="sha256",
            cache_control=_FOREVER,
        )
        self._app: WSGIApplication = app
        self._backend: _Backend = app._pypiserver_config.backend

    def projects(self) -> list[str]:
        """Return the normalised names of the projects that have files, sorted."""
        return sorted(self._backend.get_projects())

    def files(self, project: str | None = None) -> list[StoredFile]:
        """Return the files, of one project by its normalised name or of all, sorted by name."""
        return sorted(self._files(project), key=lambda file: file.name)

    def find(self, name: str) -> StoredFile | None:
        """Return the file with a path below the store's folder, or None."""
        return next((file for file in self._files(None) if file.name == name), None)

    def add(self, filename: str, content: IO[bytes]) -> None:
        """Store a new file; readers see all of it or nothing.

        Raises:
            OSError: the file cannot be written.
        """
        # pypiserver does not list a hidden file.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", delete=False) as partial:
            hidden = Path(partial.name)
            try:
                shutil.copyfileobj(content, partial)
                partial.flush()
                hidden.chmod(0o644)
                hidden.replace(self._folder / filename)
            except BaseException:
                hidden.unlink(missing_ok=True)
                raise

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


class _Package(Protocol):
    """What pypiserver says of a file."""

    relfn_unix: str
    pkgname: str
    fn: str


class _Backend(Protocol):
    """The part of pypiserver that lists files."""

    def get_projects(self) -> Iterable[str]: ...

    def get_all_packages(self) -> Iterable[_Package]: ...

    def find_project_packages(self, project: str) -> Iterable[_Package]: ...
