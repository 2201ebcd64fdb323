"""The simple API and its files, with the responses of the default index.

The specifications are PEP 503 (pages), PEP 592 (yanked), PEP 629 (version), PEP 658 and PEP 714
(metadata of a file), PEP 691 (JSON and negotiation), PEP 700
(size, time, versions), PEP 740 (provenance) and PEP 792 (status of a project).
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from packaging.utils import canonicalize_name
from packaging.version import Version
from server.json_reader import JsonObject
from server.routing import json_response
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from . import attestations
from .config import Hosts
from .file_details import FileDetailsCache, version_of
from .routing import Request, Route
from .store import PackageStore, StoredFile

API_VERSION = "1.4"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN_HTML = "text/html"
# Accepted type to content type, in the order of preference for clients without a preference.
_CONTENT_TYPES = {
    PLAIN_HTML: PLAIN_HTML,
    HTML: HTML,
    JSON: JSON,
    "application/vnd.pypi.simple.latest+html": HTML,
    "application/vnd.pypi.simple.latest+json": JSON,
}


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file on a project page."""

    filename: str
    url: str
    sha256: str
    size: int
    upload_time: str
    yanked: str | None
    """The reason for yanking, possibly empty. None if the file is not yanked."""
    requires_python: str | None
    metadata_sha256: str | None
    """The digest of the metadata of a wheel, or None if the index does not serve it."""
    provenance: str | None
    """The URL of the provenance (PEP 740), or None if the file has none."""

    def json(self) -> JsonObject:
        """Return the entry of the JSON page (PEP 691)."""
        entry: JsonObject = {
            "filename": self.filename,
            "url": self.url,
            "hashes": {"sha256": self.sha256},
            "size": self.size,
            "upload-time": self.upload_time,
            "yanked": False if self.yanked is None else self.yanked,
            "provenance": self.provenance,
        }
        if self.requires_python is not None:
            entry["requires-python"] = self.requires_python
        if self.metadata_sha256 is not None:
            # Older clients read the second key (PEP 714).
            for key in ("core-metadata", "data-dist-info-metadata"):
                entry[key] = {"sha256": self.metadata_sha256}
        return entry

    def anchor(self) -> str:
        """Return the link of the HTML page (PEP 503)."""
        attributes = {"href": f"{self.url}#sha256={self.sha256}"}
        if self.requires_python is not None:
            attributes["data-requires-python"] = self.requires_python
        if self.metadata_sha256 is not None:
            for key in ("data-dist-info-metadata", "data-core-metadata"):
                attributes[key] = f"sha256={self.metadata_sha256}"
        if self.yanked is not None:
            attributes["data-yanked"] = self.yanked
        if self.provenance is not None:
            attributes["data-provenance"] = self.provenance
        text = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
        return f"<a {text}>{html.escape(self.filename)}</a>"

    def project_json(self) -> JsonObject:
        """Return the entry of the project's JSON document."""
        return {
            "filename": self.filename,
            "url": self.url,
            "digests": {"sha256": self.sha256},
            "packagetype": "bdist_wheel" if self.filename.endswith(".whl") else "sdist",
            "requires_python": self.requires_python,
            "size": self.size,
            "upload_time_iso_8601": self.upload_time,
            "yanked": self.yanked is not None,
            "yanked_reason": self.yanked or None,
        }


@dataclass(frozen=True, slots=True)
class SimpleApi:
    """Answers requests for pages, files and the JSON documents of projects."""

    _store: PackageStore
    _details: FileDetailsCache
    _hosts: Hosts
    _yanked: Mapping[str, str]

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [
            Route("/simple", self._redirect_to_root),
            Route("/simple/", self._root),
            Route("/simple/<project>", self._redirect_to_project),
            Route("/simple/<project>/", self._project),
            Route("/pypi/<project>/json", self._project_document),
            Route("/packages/<path:name>", self._file, role="files"),
        ]

    def _redirect_to_root(self, _request: Request) -> Response:
        return _redirect("/simple/")

    def _redirect_to_project(self, _request: Request, project: str) -> Response:
        return _redirect(f"/simple/{quote(canonicalize_name(project))}/")

    def _root(self, request: Request) -> Response:
        projects = self._store.projects()
        page: JsonObject = {
            "meta": {"api-version": API_VERSION},
            "projects": [{"name": name} for name in projects],
        }
        anchors = [f'<a href="/simple/{quote(name)}/">{html.escape(name)}</a>' for name in projects]
        return _negotiated(request, page, "Simple index", anchors)

    def _project(self, request: Request, project: str) -> Response:
        name = canonicalize_name(project)
        if project != name:
            return _redirect(f"/simple/{quote(name)}/")
        files = [self._listed_file(request, file) for file in self._store.files(name)]
        if not files:
            raise NotFound
        versions = {version_of(file.filename) for file in files}
        page: JsonObject = {
            "meta": {"api-version": API_VERSION},
            "name": name,
            "project-status": {"status": "active"},
            "versions": [*sorted((text for text in versions if text is not None), key=Version)],
            "files": [file.json() for file in files],
        }
        return _negotiated(request, page, f"Links for {name}", [file.anchor() for file in files])

    def _listed_file(self, request: Request, file: StoredFile) -> ListedFile:
        details = self._details.read(file.path)
        filename = file.path.name
        return ListedFile(
            filename=filename,
            url=f"{self._files_base(request)}/packages/{quote(file.name)}",
            sha256=details.sha256,
            size=details.size,
            upload_time=_utc(details.mtime),
            yanked=self._yanked.get(filename),
            requires_python=details.requires_python,
            metadata_sha256=details.metadata_sha256 if filename.endswith(".whl") else None,
            provenance=self._provenance_url(request, file),
        )

    def _provenance_url(self, request: Request, file: StoredFile) -> str | None:
        if self._store.provenance(file.path.name) is None:
            return None
        port = request.host.partition(":")[2]
        host = f"{self._hosts.index}{':' if port else ''}{port}"
        return f"https://{host}{attestations.path_of(file.project, file.path.name)}"

    def _files_base(self, request: Request) -> str:
        if self._hosts.files is None:
            return ""
        # The client can reach the port that it used for this request.
        port = request.host.partition(":")[2]
        return f"https://{self._hosts.files}{':' if port else ''}{port}"

    def _file(self, request: Request, name: str) -> Response:
        if name.endswith(".metadata"):
            wheel = self._store.find(name.removesuffix(".metadata"))
            if wheel is None or not wheel.name.endswith(".whl"):
                raise NotFound
            metadata = self._details.read(wheel.path).metadata
            if metadata is None:
                raise NotFound
            request.notes["file"] = f"{wheel.path.name}.metadata"
            return Response(metadata, content_type="application/octet-stream")
        response = self._store.serve(request.environ, name)
        if response.status_code in {200, 206}:
            request.notes["file"] = name.rpartition("/")[2]
        if response.status_code == 206:
            request.notes["range"] = response.headers.get("Content-Range")
        return response

    def _project_document(self, request: Request, project: str) -> Response:
        name = canonicalize_name(project)
        files = self._store.files(name)
        if not files:
            raise NotFound
        releases: dict[str, list[ListedFile]] = {}
        for file in files:
            version = version_of(file.path.name)
            if version is not None:
                releases.setdefault(version, []).append(self._listed_file(request, file))
        latest = max(releases, key=_latest_rank, default=None)
        newest = releases[latest] if latest is not None else []
        return json_response(
            {
                "info": {
                    "name": name,
                    "version": latest,
                    "summary": self._details.read(files[-1].path).summary,
                    "requires_python": newest[0].requires_python if newest else None,
                },
                "releases": {
                    version: [file.project_json() for file in release_files]
                    for version, release_files in releases.items()
                },
                "urls": [file.project_json() for file in newest],
            }
        )


def choose(accept: MIMEAccept) -> str:
    """Return the content type for an Accept header.

    Return HTML without a header, or if the header allows no available type. PEP 691 permits this
    or a response 406. The default index returns HTML.
    """
    best = accept.best_match(_CONTENT_TYPES, PLAIN_HTML)
    return _CONTENT_TYPES[best]


def _latest_rank(version: str) -> tuple[bool, Version]:
    parsed = Version(version)
    return (not parsed.is_prerelease, parsed)


def _utc(seconds: float) -> str:
    # PEP 700: the format of the example in PEP 691, in UTC with a Z.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _redirect(path: str) -> Response:
    return Response(status=301, headers={"Location": path}, content_type="text/plain")


def _negotiated(request: Request, page: JsonObject, title: str, anchors: list[str]) -> Response:
    kind = choose(request.accept_mimetypes)
    if kind == JSON:
        text = json.dumps(page)
    else:
        lines = "".join(f"{anchor}<br />\n" for anchor in anchors)
        text = (
            "<!DOCTYPE html>\n<html>\n<head>\n"
            f'<meta name="pypi:repository-version" content="{API_VERSION}">\n'
            f"<title>{html.escape(title)}</title>\n</head>\n<body>\n"
            f"<h1>{html.escape(title)}</h1>\n{lines}</body>\n</html>\n"
        )
    response = Response(text, content_type=kind if kind == JSON else f"{kind}; charset=utf-8")
    response.headers["Vary"] = "Accept"
    # The default index permits caching of pages for ten minutes. In a run, a page must show a
    # release immediately after its upload.
    response.headers["Cache-Control"] = "no-cache"
    return response
