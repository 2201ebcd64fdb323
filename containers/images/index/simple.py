"""The simple API and the files it links to, as the default index answers.

Specified by PEP 503 (pages), PEP 592 (yanked), PEP 629 (version), PEP 658 and PEP 714
(metadata beside the file), PEP 691 (JSON and negotiation) and PEP 700 (size, time, versions).
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name
from packaging.version import Version
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from .config import Hosts
from .files import FactsCache, version_of
from .requestlog import NOTES
from .routing import Request, Route
from .store import Store, StoredFile

API_VERSION = "1.1"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN_HTML = "text/html"
# Offered in the order in which the index prefers them when a client has no preference.
_OFFERS = {
    PLAIN_HTML: PLAIN_HTML,
    HTML: HTML,
    JSON: JSON,
    "application/vnd.pypi.simple.latest+html": HTML,
    "application/vnd.pypi.simple.latest+json": JSON,
}


class Simple:
    """The pages, the files and the projects' JSON."""

    def __init__(
        self, store: Store, facts: FactsCache, hosts: Hosts, yanked: Mapping[str, str]
    ) -> None:
        self._store = store
        self._facts = facts
        self._hosts = hosts
        self._yanked = yanked

    def routes(self) -> list[Route]:
        """List what this module answers."""
        return [
            Route("/simple", self._to_root),
            Route("/simple/", self._root),
            Route("/simple/<project>", self._to_project),
            Route("/simple/<project>/", self._project),
            Route("/pypi/<project>/json", self._about),
            Route("/packages/<path:name>", self._file, role="files"),
        ]

    def _to_root(self, _request: Request) -> Response:
        return _moved("/simple/")

    def _to_project(self, _request: Request, project: str) -> Response:
        return _moved(f"/simple/{quote(canonicalize_name(project))}/")

    def _root(self, request: Request) -> Response:
        page = {
            "meta": {"api-version": API_VERSION},
            "projects": [{"name": name} for name in self._store.projects()],
        }
        anchors = [
            f'<a href="/simple/{quote(name)}/">{html.escape(name)}</a>'
            for name in self._store.projects()
        ]
        return _negotiated(request, page, "Simple index", anchors)

    def _project(self, request: Request, project: str) -> Response:
        name = canonicalize_name(project)
        if project != name:
            return _moved(f"/simple/{quote(name)}/")
        files = [self._describe(request, file) for file in self._store.files(name)]
        if not files:
            raise NotFound
        page = {
            "meta": {"api-version": API_VERSION},
            "name": name,
            "versions": _versions(files),
            "files": files,
        }
        return _negotiated(request, page, f"Links for {name}", [_anchor(file) for file in files])

    def _describe(self, request: Request, file: StoredFile) -> dict[str, Any]:
        facts = self._facts.of(file.path)
        filename = file.path.name
        described: dict[str, Any] = {
            "filename": filename,
            "url": f"{self._files_base(request)}/packages/{quote(file.name)}",
            "hashes": {"sha256": facts.sha256},
            "size": facts.size,
            "upload-time": _moment(facts.modified),
            "yanked": self._yanked.get(filename, False),
        }
        if facts.requires_python is not None:
            described["requires-python"] = facts.requires_python
        if filename.endswith(".whl") and facts.metadata_sha256 is not None:
            metadata = {"sha256": facts.metadata_sha256}
            # The second key is the one older clients ask for (PEP 714).
            described["core-metadata"] = metadata
            described["data-dist-info-metadata"] = metadata
        return described

    def _files_base(self, request: Request) -> str:
        if self._hosts.files is None:
            return ""
        # The port by which this client reached the front is the one it can reach again.
        port = request.host.partition(":")[2]
        return f"https://{self._hosts.files}{':' if port else ''}{port}"

    def _file(self, request: Request, name: str) -> Response:
        notes = request.environ[NOTES]
        if name.endswith(".metadata"):
            wheel = self._store.find(name.removesuffix(".metadata"))
            if wheel is None or not wheel.name.endswith(".whl"):
                raise NotFound
            metadata = self._facts.of(wheel.path).metadata
            if metadata is None:
                raise NotFound
            notes["file"] = f"{wheel.path.name}.metadata"
            return Response(metadata, content_type="application/octet-stream")
        response = self._store.serve(request.environ, name)
        if response.status_code in {200, 206}:
            notes["file"] = name.rpartition("/")[2]
        if response.status_code == 206:
            notes["range"] = response.headers.get("Content-Range")
        return response

    def _about(self, request: Request, project: str) -> Response:
        name = canonicalize_name(project)
        files = self._store.files(name)
        if not files:
            raise NotFound
        releases: dict[str, list[dict[str, Any]]] = {}
        for file in files:
            version = version_of(file.path.name)
            if version is not None:
                described = self._describe(request, file)
                releases.setdefault(version, []).append(
                    {
                        "filename": described["filename"],
                        "url": described["url"],
                        "digests": described["hashes"],
                        "packagetype": "bdist_wheel" if file.name.endswith(".whl") else "sdist",
                        "requires_python": described.get("requires-python"),
                        "size": described["size"],
                        "upload_time_iso_8601": described["upload-time"],
                        "yanked": described["yanked"] is not False,
                        "yanked_reason": described["yanked"] or None,
                    }
                )
        latest = max(releases, key=_latest_rank, default=None)
        facts = self._facts.of(files[-1].path)
        info = {"name": name, "version": latest, "summary": facts.summary}
        newest = releases[latest] if latest is not None else []
        info["requires_python"] = newest[0]["requires_python"] if newest else None
        return Response(
            json.dumps({"info": info, "releases": releases, "urls": newest}),
            content_type="application/json",
        )


def choose(accept: MIMEAccept) -> str:
    """Choose the content type for an Accept header.

    Without a header, or with one that allows nothing there is, HTML is sent: PEP 691 lets an
    index do either that or answer 406, and the default index does this.
    """
    best = accept.best_match(_OFFERS, PLAIN_HTML)
    return _OFFERS[best]


def _latest_rank(version: str) -> tuple[bool, Version]:
    parsed = Version(version)
    return (not parsed.is_prerelease, parsed)


def _versions(files: list[dict[str, Any]]) -> list[str]:
    found = {version_of(file["filename"]) for file in files} - {None}
    return sorted((version for version in found if version is not None), key=Version)


def _moment(seconds: float) -> str:
    # PEP 700: the format of PEP 691's example, in UTC with a Z.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moved(path: str) -> Response:
    return Response(status=301, headers={"Location": path}, content_type="text/plain")


def _anchor(file: dict[str, Any]) -> str:
    attributes = {"href": f"{file['url']}#sha256={file['hashes']['sha256']}"}
    if "requires-python" in file:
        attributes["data-requires-python"] = file["requires-python"]
    if "core-metadata" in file:
        digest = f"sha256={file['core-metadata']['sha256']}"
        attributes["data-dist-info-metadata"] = digest
        attributes["data-core-metadata"] = digest
    if file["yanked"] is not False:
        attributes["data-yanked"] = file["yanked"]
    shown = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {shown}>{html.escape(file['filename'])}</a>"


def _negotiated(request: Request, page: dict[str, Any], title: str, anchors: list[str]) -> Response:
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
    # The default index lets pages age ten minutes. Here a page must show what was just
    # published, and a cell lives too short for the difference to be seen otherwise.
    response.headers["Cache-Control"] = "no-cache"
    return response
