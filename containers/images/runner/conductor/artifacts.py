"""The artifact service of a run (version 4 of the protocol).

The service of act is not used: act 0.2.89 refuses requests with unknown fields, and the client in
actions/upload-artifact 7 sends one (``mime_type``). A name that the attempt has already used is
refused, as on GitHub.

The calls and their fields are from the client (npm package @actions/artifact, ``artifact.ts``). The
calls for blobs are Azure's "Put Block", "Put Block List" and "Put Blob".
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import parse_qs, quote, urlsplit

from .output import Json

_SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/"
_ZIP = "application/zip"
_BLOCK = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)<")


class Refused(Exception):
    """A call is refused, with a status and an error code of the protocol."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Call(TypedDict, total=False):
    """The fields of a call. The service reads no other fields."""

    name: str
    mime_type: str | None
    hash: str | None
    size: str
    name_filter: str | None
    id_filter: str | None
    workflow_run_backend_id: str
    workflow_job_run_backend_id: str


@dataclasses.dataclass
class ArtifactEntry:
    """An entry of ``index.json``, the list of artifacts."""

    id: int
    attempt: int
    complete: bool
    type: str
    """The media type of its blob."""
    size: int = 0
    digest: str = ""
    created: str = ""


class Store:
    """The artifacts of all attempts of a run, in a folder."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder = folder
        self._attempt = attempt
        self._blocks: dict[str, bytes] = {}
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)

    def call(self, method: str, call: Call, base: str) -> dict[str, Json]:
        """Answer a call.

        Raises:
            Refused: the call is not valid.
        """
        name = str(call.get("name", ""))
        with self._lock:
            match method:
                case "CreateArtifact":
                    return self._create(name, call, base)
                case "FinalizeArtifact":
                    return self._finalize(name, call)
                case "ListArtifacts":
                    return self._list(call)
                case "GetSignedArtifactURL":
                    return {"signed_url": f"{base}/blobs/{self._entry(name).id}"}
                case "DeleteArtifact":
                    return self._delete(name)
        raise Refused(404, "bad_route", f"unknown call: {method}")

    def _create(self, name: str, call: Call, base: str) -> dict[str, Json]:
        index = self._index()
        if name in index and index[name].attempt == self._attempt:
            message = "an artifact with this name already exists on the workflow run"
            raise Refused(409, "already_exists", message)
        number = 1 + max((entry.id for entry in index.values()), default=1000)
        kind = call.get("mime_type") or _ZIP
        index[name] = ArtifactEntry(id=number, attempt=self._attempt, complete=False, type=kind)
        self._write(index)
        return {"ok": True, "signed_upload_url": f"{base}/blobs/{number}"}

    def _finalize(self, name: str, call: Call) -> dict[str, Json]:
        entry = self._entry(name, complete=False)
        content = self.blob(str(entry.id)).read_bytes()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if call.get("hash") not in (None, digest):
            raise Refused(400, "invalid_argument", "the uploaded content has another digest")
        if int(call.get("size", len(content))) != len(content):
            raise Refused(400, "invalid_argument", "the uploaded content has another size")
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        complete = dataclasses.replace(
            entry, complete=True, size=len(content), digest=digest, created=now
        )
        self._write(self._index() | {name: complete})
        return {"ok": True, "artifact_id": str(entry.id)}

    def _list(self, call: Call) -> dict[str, Json]:
        name, number = call.get("name_filter"), call.get("id_filter")
        return {
            "artifacts": [
                {
                    "workflow_run_backend_id": call.get("workflow_run_backend_id", ""),
                    "workflow_job_run_backend_id": call.get("workflow_job_run_backend_id", ""),
                    "database_id": str(entry.id),
                    "name": key,
                    "size": str(entry.size),
                    "created_at": entry.created,
                    "digest": entry.digest,
                }
                for key, entry in sorted(self._index().items())
                if entry.complete
                and name in (None, key)
                and str(number or entry.id) == str(entry.id)
            ]
        }

    def _delete(self, name: str) -> dict[str, Json]:
        number = str(self._entry(name).id)
        index = self._index()
        del index[name]
        self._write(index)
        self.blob(number).unlink(missing_ok=True)
        return {"ok": True, "artifact_id": number}

    def _entry(self, name: str, *, complete: bool = True) -> ArtifactEntry:
        entry = self._index().get(name)
        if entry is None or entry.complete < complete:
            raise Refused(404, "not_found", f"artifact {name} does not exist")
        return entry

    def headers_of(self, number: str) -> dict[str, str]:
        """Return the headers of a blob. The client saves a blob with the name of its file.

        As on GitHub, the name is that of the artifact, with .zip for an archive.
        """
        for name, entry in self._index().items():
            if str(entry.id) == number:
                file = f"{name}.zip" if entry.type == _ZIP else name
                disposition = f"attachment; filename*=UTF-8''{quote(file)}"
                return {"Content-Type": entry.type, "Content-Disposition": disposition}
        return {"Content-Type": _ZIP}

    def blob(self, number: str) -> Path:
        """Return the path of a blob."""
        return self._folder / f"{int(number)}.blob"

    def put(self, number: str, query: dict[str, list[str]], content: bytes) -> None:
        """Store a blob or a block, or join the blocks of a block list to a blob."""
        with self._lock:
            match query.get("comp", [""])[0]:
                case "block":
                    self._blocks[f"{number}/{query['blockid'][0]}"] = content
                case "blocklist":
                    names = [match.decode() for match in _BLOCK.findall(content)]
                    blob = b"".join(self._blocks.pop(f"{number}/{name}") for name in names)
                    self.blob(number).write_bytes(blob)
                case _:
                    self.blob(number).write_bytes(content)

    def _index(self) -> dict[str, ArtifactEntry]:
        try:
            text = (self._folder / "index.json").read_text("utf-8")
        except FileNotFoundError:
            return {}
        return {name: ArtifactEntry(**entry) for name, entry in json.loads(text).items()}

    def _write(self, index: dict[str, ArtifactEntry]) -> None:
        entries = {name: dataclasses.asdict(entry) for name, entry in index.items()}
        (self._folder / "index.json").write_text(json.dumps(entries), "utf-8")


class Service(ThreadingHTTPServer):
    """The HTTP server on which the jobs store and fetch artifacts."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], store: Store) -> None:
        super().__init__(address, _Handler)
        self.store = store

    def start(self) -> None:
        """Serve in a background thread until the process ends."""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        """Answer a call."""
        body = self._body()
        base = f"http://{self.headers['Host']}"
        if not self.path.startswith(_SERVICE):
            self._answer(404, b"", "text/plain")
            return
        try:
            method = self.path.removeprefix(_SERVICE)
            result = self.server.store.call(method, json.loads(body), base)
            self._answer(200, json.dumps(result).encode(), "application/json")
        except Refused as error:
            self._fail(error.status, error.code, str(error))
        except ValueError as error:
            self._fail(400, "malformed", str(error))

    def do_PUT(self) -> None:
        """Store a blob."""
        url = urlsplit(self.path)
        content = self._body()
        try:
            self.server.store.put(url.path.rpartition("/")[2], parse_qs(url.query), content)
        except (ValueError, KeyError) as error:
            self._answer(400, str(error).encode(), "text/plain")
        else:
            self._answer(201, b"", "text/plain")

    def do_GET(self) -> None:
        """Answer with a blob."""
        number = urlsplit(self.path).path.rpartition("/")[2]
        try:
            content = self.server.store.blob(number).read_bytes()
        except (ValueError, OSError):
            self._answer(404, b"the blob does not exist", "text/plain")
        else:
            self._answer(200, content, **self.server.store.headers_of(number))

    def _fail(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"code": code, "msg": message})
        self._answer(status, body.encode(), "application/json")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes, kind: str = "", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in (headers or {"Content-Type": kind}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Print nothing. The log of the job has its uploads and downloads."""
