"""A running index for tests, files for it, and clients without the settings of the host."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme
from packaging.metadata import parse_email

IMAGES = Path(__file__).resolve().parents[2] / "containers" / "images"
INDEX_HOST = "127.0.0.1"
UPLOAD_HOST = "localhost"
PASSWORD = "index-front-test-password"  # noqa: S105 - valid for one test run
SCOPED = "index-front-scoped-password"
_FORM_NAMES = {
    "platforms": "platform",
    "supported_platforms": "supported_platform",
    "license_files": "license_file",
}


@dataclass(frozen=True)
class Front:
    """A running index in another process."""

    process: subprocess.Popen[str]
    port: int
    folder: Path
    shared_session: requests.Session

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def index(self) -> str:
        return f"https://{INDEX_HOST}:{self.port}"

    @property
    def upload(self) -> str:
        return f"https://{UPLOAD_HOST}:{self.port}"

    @property
    def simple(self) -> str:
        return f"{self.index}/simple/"

    def session(self) -> requests.Session:
        """Return a new client session with separate connections."""
        return _session(self.ca)

    def get(self, url: str, **options: Any) -> requests.Response:
        full_url = url if url.startswith("https:") else f"{self.index}{url}"
        return self.shared_session.get(full_url, timeout=20, **options)

    def put(self, file: tuple[str, bytes]) -> str:
        """Write a file into the store, and return its name."""
        filename, content = file
        (self.store / filename).write_bytes(content)
        return filename

    def listed_files(self, project: str) -> dict[str, dict[str, Any]]:
        """Return the files of a project's JSON page, by name."""
        accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
        page = self.get(f"/simple/{project}/", headers=accept).json()
        return {file["filename"]: file for file in page["files"]}

    def send_upload(
        self,
        file: tuple[str, bytes] | None,
        *,
        password: str | None = PASSWORD,
        username: str = "__token__",
        **changes: str,
    ) -> requests.Response:
        """Upload as a client does. A form field that is changed to '' is left out."""
        filename, content = file or ("", b"")
        form: dict[str, str | list[str]] = {
            **upload_form(filename, content),
            **{f":{key}" if key == "action" else key: value for key, value in changes.items()},
        }
        part = (filename, content, "application/octet-stream")
        return self.shared_session.post(
            f"{self.upload}/legacy/",
            data={key: value for key, value in form.items() if value},
            files={"content": part} if file else {"gpg_signature": b""},
            auth=None if password is None else (username, password),
            timeout=30,
        )

    def write_marker(self, client: str = "") -> str:
        """Ask the index to write a marker to its log. Return the token in the marker."""
        token = secrets.token_hex(8)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{token} {client}\n")
        self.process.stdin.flush()
        return token

    def lines_until(self, token: str) -> list[dict[str, Any]]:
        """Wait for a marker. Return the log lines up to and including it."""
        deadline = time.monotonic() + 10
        while True:
            text = (self.folder / "log.jsonl").read_text()
            if token in text:
                # The text after the last newline is not a complete line.
                complete_lines = text[: text.rfind("\n") + 1].splitlines()
                entries: list[dict[str, Any]] = [json.loads(line) for line in complete_lines]
                for number, entry in enumerate(entries, 1):
                    if entry.get("mark") == token:
                        return entries[:number]
            assert time.monotonic() < deadline, "the log has no marker"
            time.sleep(0.01)

    def lines(self, **values: Any) -> list[dict[str, Any]]:
        """Return the log lines with these values, after all responses are in the log."""
        entries = self.lines_until(self.write_marker())
        return [
            entry
            for entry in entries
            if all(entry.get(key) == value for key, value in values.items())
        ]

    @contextlib.contextmanager
    def faults(self, *faults: dict[str, Any] | str) -> Iterator[None]:
        """Plant faults of the index during the block, by its control file.

        If the first fault is a string, it is the content of the file.
        """
        control = self.folder / "faults.json"
        text = faults[0] if faults and isinstance(faults[0], str) else json.dumps(faults)
        temporary = control.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(control)
        try:
            yield
        finally:
            control.unlink()


def upload_form(filename: str, content: bytes) -> dict[str, str | list[str]]:
    """Return the form that a client sends with a file: name, version, and what METADATA has."""
    name, version = [*filename.split("-"), "", ""][:2]
    is_wheel = filename.endswith(".whl")
    form: dict[str, str | list[str]] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": name,
        "version": version.removesuffix(".tar.gz"),
        "filetype": "bdist_wheel" if is_wheel else "sdist",
        "pyversion": "py3" if is_wheel else "source",
        "sha256_digest": sha256(content),
    }
    with contextlib.suppress(zipfile.BadZipFile, KeyError, UnicodeError):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            path = next((n for n in archive.namelist() if n.endswith("dist-info/METADATA")), "")
            raw: dict[str, Any] = {**parse_email(archive.read(path))[0]}
        if raw["metadata_version"] < "2.4":
            raw.pop("license_files", None)  # clients do not send it
        if "keywords" in raw:
            raw["keywords"] = ", ".join(raw["keywords"])
        raw["project_urls"] = [f"{key}, {url}" for key, url in raw.get("project_urls", {}).items()]
        form |= {_FORM_NAMES.get(key, key): value for key, value in raw.items()}
    return form


def _session(ca: Path) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(ca)
    return session


def configure(folder: Path, **changes: Any) -> Path:
    """Write a configuration and a certificate. Return the path of the configuration."""
    (folder / "store").mkdir(exist_ok=True)
    authority = trustme.CA()
    certificate = authority.issue_cert(INDEX_HOST, UPLOAD_HOST)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    settings = {
        "address": "127.0.0.1",
        "port": 0,
        "certificate": str(folder / "server.pem"),
        "key": str(folder / "server.pem"),
        "hosts": {"index": INDEX_HOST, "upload": UPLOAD_HOST},
        "store": str(folder / "store"),
        "log": str(folder / "log.jsonl"),
        "faults": str(folder / "faults.json"),
        "yanked": {},
        "projects_per_hour": 0,
        "credentials": [
            {"username": "__token__", "password": PASSWORD},
            {"username": "__token__", "password": SCOPED, "projects": ["Only.This"]},
        ],
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in settings.items() if v != "left out"}))
    return path


def launch(config: Path) -> subprocess.Popen[str]:
    """Start an index without waiting for it."""
    with (config.parent / "stderr").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "index.main", str(config)],
            env={**environment(config.parent), "PYTHONPATH": str(IMAGES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def refusal(config: Path) -> str:
    """Start an index with a wrong configuration and return its error line."""
    process = launch(config)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read() == ""
    assert process.wait(20) == 2
    (line,) = (config.parent / "stderr").read_text().splitlines()
    return line


@contextlib.contextmanager
def running(folder: Path, **changes: Any) -> Iterator[Front]:
    """Run an index during the block. Then check that its error output has no traceback."""
    process = launch(configure(folder, **changes))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:"), (folder / "stderr").read_text()
        with _session(folder / "ca.pem") as session:
            yield Front(process, int(line.rpartition(":")[2]), folder, session)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
    assert "Traceback" not in (folder / "stderr").read_text()


def environment(home: Path) -> dict[str, str]:
    """Return environment variables without the settings of the host for pip, uv and twine."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INPUT": "1",
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "UV_PYTHON_DOWNLOADS": "never",
    }


def run(
    command: Sequence[str | Path], home: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a client in a clean environment. Its standard output includes the error output."""
    return subprocess.run(
        [str(part) for part in command],
        env={**environment(home), **variables},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def pip(
    front: Front, home: Path, *arguments: str | Path, with_ca: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run pip with an index, with or without the CA certificate of the index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    cert = ["--cert", str(front.ca)] if with_ca else []
    return run([*command, *arguments, "--index-url", front.simple, "--retries", "0", *cert], home)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def metadata(name: str, version: str, **fields: str | Sequence[str]) -> str:
    """Return core metadata. A field with a sequence as value is repeated."""
    lines = [f"Metadata-Version: {fields.pop('metadata_version', '2.1')}"]
    lines += [f"Name: {name}", f"Version: {version}"]
    for field, value in fields.items():
        title = field.replace("_", "-").title()
        values = [value] if isinstance(value, str) else value
        lines += [f"{title}: {item}" for item in values]
    return "\n".join(lines) + "\n"


def wheel(
    name: str,
    version: str,
    tag: str = "py3-none-any",
    *,
    text: str | None = None,
    without: Sequence[str] = (),
    payload: bytes = b"",
    **fields: str | Sequence[str],
) -> tuple[str, bytes]:
    """Build a wheel. Return its file name and content.

    Args:
        name: the name of the project.
        version: the version.
        tag: the compatibility tag.
        text: the complete METADATA. The default is made from name, version and fields.
        without: members of dist-info to leave out.
        payload: the content of the data file of the package.
        fields: additional metadata fields.
    """
    stem = f"{name.replace('-', '_').lower()}-{version}"
    folder = f"{stem}.dist-info"
    package = name.replace("-", "_").lower()
    members = {
        f"{package}/__init__.py": b"",
        f"{package}/payload.bin": payload,
        f"{folder}/METADATA": (text or metadata(name, version, **fields)).encode(),
        f"{folder}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
        ),
    }
    record = "".join(
        f"{path},sha256={_record_digest(data)},{len(data)}\n" for path, data in members.items()
    )
    members[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in members.items():
            if path.rpartition("/")[2] not in without:
                archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data)
    return f"{stem}-{tag}.whl", content.getvalue()


def sdist(name: str, version: str, *, without: Sequence[str] = ()) -> tuple[str, bytes]:
    """Build a source distribution. Return its file name and content."""
    stem = f"{name.replace('-', '_').lower()}-{version}"
    members = {"PKG-INFO": metadata(name, version), "pyproject.toml": ""}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, text in members.items():
            if path not in without:
                item = tarfile.TarInfo(f"{stem}/{path}")
                item.size = len(text)
                archive.addfile(item, io.BytesIO(text.encode()))
    # Without a time, so that the content is always the same.
    return f"{stem}.tar.gz", gzip.compress(content.getvalue(), mtime=0)


def _record_digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
