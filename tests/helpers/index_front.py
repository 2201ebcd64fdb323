"""For tests of the index: a running index, files for it, clean clients."""

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

IMAGES = Path(__file__).resolve().parents[2] / "containers" / "images"
INDEX_HOST = "127.0.0.1"
UPLOAD_HOST = "localhost"
PASSWORD = "index-front-test-password"  # noqa: S105 - valid for one test run
SCOPED = "index-front-scoped-password"


@dataclass(frozen=True)
class Front:
    """A running index, in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def authority(self) -> Path:
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
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.authority)
        return session

    def get(self, url: str, **options: Any) -> requests.Response:
        with self.session() as session:
            where = url if url.startswith("https:") else f"{self.index}{url}"
            return session.get(where, timeout=20, **options)

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
        """Upload as a client does; a form field changed to '' is left out."""
        filename, content = file or ("", b"")
        name, version = [*filename.split("-"), "", ""][:2]
        form = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": name,
            "version": version.removesuffix(".tar.gz"),
            "filetype": "bdist_wheel" if filename.endswith(".whl") else "sdist",
            "sha256_digest": sha256(content),
            **{f":{key}" if key == "action" else key: value for key, value in changes.items()},
        }
        with self.session() as session:
            return session.post(
                f"{self.upload}/legacy/",
                data={key: value for key, value in form.items() if value},
                files={"content": (filename, content)} if file else {"other": b""},
                auth=None if password is None else (username, password),
                timeout=30,
            )

    def mark(self, client: str = "") -> str:
        """Ask for a mark in the log; give its token."""
        token = secrets.token_hex(8)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{token} {client}\n")
        self.process.stdin.flush()
        return token

    def until(self, token: str) -> list[dict[str, Any]]:
        """Give the log's lines up to a mark, which is the last of them."""
        deadline = time.monotonic() + 10
        while True:
            text = (self.folder / "log.jsonl").read_text()
            # What follows the last newline is a line that is still being written.
            whole = text[: text.rfind("\n") + 1]
            entries: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
            for number, entry in enumerate(entries, 1):
                if entry.get("mark") == token:
                    return entries[:number]
            assert time.monotonic() < deadline, "the mark does not come"
            time.sleep(0.01)

    def lines(self, **wanted: Any) -> list[dict[str, Any]]:
        """Give the log's lines with these values, once every answer given is in it."""
        entries = self.until(self.mark())
        return [
            entry
            for entry in entries
            if all(entry.get(key) == value for key, value in wanted.items())
        ]

    @contextlib.contextmanager
    def faults(self, *faults: dict[str, Any] | str) -> Iterator[None]:
        """Have faults in force; a text is put into the control file as it is."""
        control = self.folder / "faults.json"
        text = faults[0] if faults and isinstance(faults[0], str) else json.dumps(faults)
        fresh = control.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(control)
        try:
            yield
        finally:
            control.unlink()


def configure(folder: Path, **changes: Any) -> Path:
    """Write a configuration, with a certificate of its own, and give its path."""
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
    """Start a front without waiting for it."""
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
    """Start an index that cannot start, and return the one line that it prints."""
    process = launch(config)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read() == ""
    assert process.wait(20) == 2
    (line,) = (config.parent / "stderr").read_text().splitlines()
    return line


@contextlib.contextmanager
def running(folder: Path, **changes: Any) -> Iterator[Front]:
    """Run a front for as long as the block lasts."""
    process = launch(configure(folder, **changes))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:"), (folder / "stderr").read_text()
        yield Front(process, int(line.rpartition(":")[2]), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
    assert "Traceback" not in (folder / "stderr").read_text()


def environment(home: Path) -> dict[str, str]:
    """Give an environment that has nothing of this machine's settings for pip, uv and twine."""
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
    """Run a client in a clean environment; its standard error is in its output."""
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
    front: Front, home: Path, *arguments: str | Path, trusting: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run pip against an index, with or without the CA certificate of the index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    trust = ["--cert", str(front.authority)] if trusting else []
    return run([*command, *arguments, "--index-url", front.simple, "--retries", "0", *trust], home)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def metadata(name: str, version: str, **fields: str | Sequence[str]) -> str:
    """Write core metadata; a field given as a sequence is repeated."""
    lines = [f"Metadata-Version: {fields.pop('metadata_version', '2.1')}"]
    lines += [f"Name: {name}", f"Version: {version}"]
    for field, value in fields.items():
        shown = field.replace("_", "-").title()
        values = [value] if isinstance(value, str) else value
        lines += [f"{shown}: {item}" for item in values]
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
    """Make a wheel and give its file name and bytes.

    Args:
        name: the project's name.
        version: its version.
        tag: the compatibility tag.
        text: the METADATA, instead of one made of the name, the version and the fields.
        without: members of dist-info to leave out.
        payload: what the package's one data file holds.
        fields: further metadata fields.
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
    """Make a source distribution and give its file name and bytes."""
    stem = f"{name.replace('-', '_').lower()}-{version}"
    members = {"PKG-INFO": metadata(name, version), "pyproject.toml": ""}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, text in members.items():
            if path not in without:
                item = tarfile.TarInfo(f"{stem}/{path}")
                item.size = len(text)
                archive.addfile(item, io.BytesIO(text.encode()))
    # Without the time: the bytes are part of tests' names, which every worker must know alike.
    return f"{stem}.tar.gz", gzip.compress(content.getvalue(), mtime=0)


def _record_digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
