"""The store of the index: pypiserver stores and serves the files."""

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

# The max-age in seconds that the default index sends for files. Files never change (RFC 8246).
_CACHE_SECONDS = 365_000_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store. ``name`` is its path relative to the folder of the store."""

    name: str
    project: str
    path: Path


class PackageStore:
    """pypiserver for one folder, without the fallback to another index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        app = pypiserver.app(
            roots=[self._folder],
            disable_fallback=True,
            authenticate=[],
            password_file=".",  # noqa: S106 - no password file: pypiserver gets no uploads
            backend_arg="simple-dir",
            hash_algo="sha256",
            cache_control=_CACHE_SECONDS,
        )
        self._app: WSGIApplication = app
        self._backend: _Backend = app._pypiserver_config.backend

    def projects(self) -> list[str]:
        """Return the sorted normalised names of the projects with files."""
        return sorted(self._backend.get_projects())

    def files(self, project: str | None = None) -> list[StoredFile]:
        """Return the files of a project (normalised name) or of all projects, sorted by name."""
        return sorted(self._files(project), key=lambda file: file.name)

    def find(self, name: str) -> StoredFile | None:
        """Return the file with a path relative to the folder of the store, or None."""
        return next((file for file in self._files(None) if file.name == name), None)

    def provenance(self, filename: str) -> bytes | None:
        """Return the provenance of a file (PEP 740), or None if it has none."""
        path = self._folder / _provenance_name(filename)
        return path.read_bytes() if path.is_file() else None

    def add(self, filename: str, content: IO[bytes], provenance: bytes | None = None) -> None:
        """Store a new file. A reader gets the complete file or no file.

        Raises:
            OSError: the file cannot be written.
        """
        if provenance is not None:
            (self._folder / _provenance_name(filename)).write_bytes(provenance)
        # pypiserver does not list hidden files.
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
        """Return pypiserver's response to a request for a file, also with ranges or conditions."""
        file_environ = {**environ, "SCRIPT_NAME": "", "PATH_INFO": f"/packages/{name}"}
        return Response.from_app(self._app, file_environ)

    def _files(self, project: str | None) -> Iterator[StoredFile]:
        if project is None:
            packages = self._backend.get_all_packages()
        else:
            packages = self._backend.find_project_packages(project)
        for package in packages:
            yield StoredFile(
                package.relfn_unix, canonicalize_name(package.pkgname), Path(package.fn)
            )


def _provenance_name(filename: str) -> str:
    return f".{filename}.provenance"  # pypiserver does not list hidden files


class _Package(Protocol):
    """A file in pypiserver's list."""

    relfn_unix: str
    pkgname: str
    fn: str


class _Backend(Protocol):
    """The part of pypiserver that lists files."""

    def get_projects(self) -> Iterable[str]: ...

    def get_all_packages(self) -> Iterable[_Package]: ...

    def find_project_packages(self, project: str) -> Iterable[_Package]: ...
