"""The repository over git's "smart" HTTP protocol, served by git's own CGI program.

The refusals are those of github.com: everybody can read a public repository; a private one does not
exist for a token without ``contents: read``. A push is not supported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from werkzeug.wrappers import Response

from .access import AccessControl
from .config import Repository
from .routing import WEB, Problem, Request, Route

_CHUNK_BYTES = 65536
_SETTINGS = {
    "uploadpack.allowAnySHA1InWant": "true",  # actions/checkout fetches a commit
    "uploadpack.allowFilter": "true",
    "safe.directory": "*",
}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}
_HEADER = re.compile(rb"([\w-]+):[ \t]*(.*)")


@dataclass(frozen=True, slots=True)
class GitApi:
    """Answers the requests of git."""

    _folder: Path
    """The folder that contains ``repository.git``."""
    _repository: Repository
    _access: AccessControl

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        # `open`, because the variables for owner and name would make the REST API's rules apply.
        top = "/<account>/<name>"
        return [
            Route(f"{top}/info/refs", self.refs, "open", WEB),
            Route(f"{top}/git-upload-pack", self.upload_pack, "open", WEB, methods=("POST",)),
            Route(f"{top}/git-receive-pack", self.receive_pack, "open", WEB, methods=("POST",)),
        ]

    def refs(self, request: Request, account: str, name: str) -> Response:
        """Answer with the refs, the first request of a fetch or a push."""
        service = request.args.get("service")
        if service == "git-receive-pack":
            return self.receive_pack(request, account, name)
        if service != "git-upload-pack":
            return _text(403, "Please upgrade your git client.")
        return self._check(request, account, name) or self._serve(request, "info/refs")

    def upload_pack(self, request: Request, account: str, name: str) -> Response:
        """Answer with the objects that a fetch wants."""
        return self._check(request, account, name) or self._serve(request, "git-upload-pack")

    def receive_pack(self, request: Request, account: str, name: str) -> Response:
        """Refuse a push."""
        if refused := self._check(request, account, name, write=True):
            return refused
        request.notes["unsupported"] = "git push"
        return _text(403, "This forge does not support a push.")

    def _check(
        self, request: Request, account: str, name: str, *, write: bool = False
    ) -> Response | None:
        """Return the response to a request without permission; None if it is permitted."""
        try:
            job = self._access.identify(request)
        except Problem:
            return _text(401, "Invalid username or token.", _CHALLENGE)
        repository = f"{account}/{name.removesuffix('.git')}"
        if repository.lower() != self._repository.full_name.lower():
            request.notes["unsupported"] = f"the repository {repository}"
            return _text(404, "Repository not found.")
        if job is None and (write or not self._repository.public):
            return _text(401, "Authentication required.", _CHALLENGE)
        if job and not self._repository.public and not job.may("contents", "read"):
            request.notes["refused"] = "the job has no permission contents: read"
            return _text(404, "Repository not found.")
        if job and write and not job.may("contents", "write"):
            request.notes["refused"] = "the job has no permission contents: write"
            account = f"{self._repository.full_name}.git"
            return _text(403, f"Permission to {account} denied to github-actions[bot].")
        return None

    def _serve(self, request: Request, path: str) -> Response:
        """Answer with the output of ``git http-backend`` (its manual has the variables)."""
        with tempfile.TemporaryFile() as body:
            if request.method == "POST":
                shutil.copyfileobj(request.environ["wsgi.input"], body)
            size = body.tell()
            body.seek(0)
            process = subprocess.Popen(
                ("git", "http-backend"),
                env={**_environment(request), **self._variables(path, size)},
                stdin=body,
                stdout=subprocess.PIPE,
            )
        assert process.stdout is not None  # noqa: S101 - stdout is a pipe
        status, headers = 200, {}
        while line := process.stdout.readline().strip():
            if match := _HEADER.match(line):
                headers[match[1].decode()] = match[2].decode()
        if "Status" in headers:
            status = int(headers.pop("Status").split()[0])
        return Response(_chunks(process, process.stdout), status, headers)

    def _variables(self, path: str, size: int) -> dict[str, str]:
        settings = {
            f"GIT_CONFIG_{part}_{number}": text
            for number, setting in enumerate(_SETTINGS.items())
            for part, text in zip(("KEY", "VALUE"), setting, strict=True)
        }
        return {
            "GIT_PROJECT_ROOT": str(self._folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
            "PATH_INFO": f"/repository.git/{path}",
            "CONTENT_LENGTH": str(size),
            **settings,
        }


def _environment(request: Request) -> dict[str, str]:
    """Return the variables of the CGI program that come from a request."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string.decode("latin-1"),
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": request.remote_addr or "",
    }


def _chunks(process: subprocess.Popen[bytes], output: IO[bytes]) -> Iterator[bytes]:
    """Yield the output of a program. End the program if the client disconnects."""
    try:
        while chunk := output.read(_CHUNK_BYTES):
            yield chunk
    finally:
        output.close()
        process.kill()
        process.wait()


def _text(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return a response whose text git prints for the user."""
    return Response(f"{message}\n", status, headers, content_type="text/plain; charset=utf-8")
