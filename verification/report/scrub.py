"""What must not leave this host is taken out of a text: secrets, and what names the host."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from containers.state import state_dir

_ROOT = Path(__file__).parents[2]
REMOVED = "[removed]"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:token|secret|password|passwd|passphrase|credentials?|api_?key|private_?key|"
    r"access_?key|authorization|cookie)(?:$|[_-])",
    re.IGNORECASE,
)
_URL_NAME = re.compile(r"proxy|index|registry|mirror|repository|find_links|docker_host", re.I)
_SECRETS = (
    # Private keys, whole.
    (re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL), REMOVED),
    # A header, or a client's log of one; the scheme may stay.
    (
        re.compile(
            r"(?P<kept>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|token|"
            r"digest|negotiate)\s+)?)[^\s\"',;}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<kept>{REMOVED}",
    ),
    (re.compile(r"(?P<kept>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}", re.I),
     rf"\g<kept>{REMOVED}"),
    # user:password@ and token@ of an address.
    (re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.I), rf"\g<kept>{REMOVED}@"),
    # The issuers' own forms: package indexes, GitHub, GitLab, npm, AWS, Slack, JSON Web Tokens.
    (
        re.compile(
            r"\b(?:pypi-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|"
            r"glpat-[\w-]{16,}|npm_[A-Za-z0-9]{30,}|(?:AKIA|ASIA)[A-Z0-9]{16}|"
            r"xox[a-z]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
        ),
        REMOVED,
    ),
    # NAME=value where the name says what it is, in a shell, a query or a form.
    (
        re.compile(
            r"(?P<kept>\b[\w-]*(?:token|secret|password|passwd|api_?key|access_?key)[\w-]*=[\"']?)"
            r"[^\s\"'&;,<>$\[{(]{3,}",
            re.IGNORECASE,
        ),
        rf"\g<kept>{REMOVED}",
    ),
    # "name: value" is prose as well: only what looks made by a machine.
    (
        re.compile(
            r"(?P<kept>\b[\w-]*(?:token|secret|password|passwd|api_?key|access_?key)[\w-]*"
            r"[\"']?\s*:\s*[\"']?)(?=[^\s\"']*\d)(?=[^\s\"']*[A-Za-z])[^\s\"'&;,<>]{12,}",
            re.IGNORECASE,
        ),
        rf"\g<kept>{REMOVED}",
    ),
)  # fmt: skip
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]*)://[^\s\"'<>\\\]]+", re.IGNORECASE)
_SETTINGS = (
    "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf", "/etc/xdg/pip/pip.conf",
    "~/.config/uv/uv.toml", "/etc/uv/uv.toml", "~/.pypirc",
    "~/.npmrc", "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc",
    "/etc/apt/sources.list", "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf",
    "/etc/apt/apt.conf.d/*", "/etc/apt/mirrors/*",
    "/etc/docker/daemon.json", "~/.docker/config.json", "/etc/containers/registries.conf",
    "~/.config/containers/registries.conf", "~/.gitconfig", "/etc/gitconfig", "~/.curlrc",
    "/etc/environment",
)  # fmt: skip
"""Where clients keep their indexes, mirrors, registries and proxies; ``~`` is the home."""
# A host of such a name is named by nobody when it is told, and the words are the report's own.
_COMMON = {
    "localhost", "linux", "windows", "debian", "ubuntu", "wine", "docker", "index", "forge",
    "runner", "builder", "publisher", "machine", "host", "user", "root", "test", "python", "pip",
    "uv", "gate", "quick", "full", "build", "publish", "release", "validate", "merge", "none",
}  # fmt: skip
_SHARED_HOMES = {"/home/user", "/"}
"""Homes that a machine under test has as well: they tell nothing of this host."""


class Scrubber:
    """Takes out of texts what it was told of, and what looks like a secret.

    ``hosts``, ``paths`` and ``secrets`` are literal: what stands for them, by each.
    """

    def __init__(
        self,
        *,
        hosts: Mapping[str, str] | None = None,
        paths: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self._literal: list[tuple[re.Pattern[str], str]] = []
        for secret in sorted(set(secrets), key=len, reverse=True):
            self._literal.append((re.compile(re.escape(secret)), REMOVED))
        for path, told in sorted((paths or {}).items(), key=lambda one: -len(one[0])):
            pattern = rf"(?<![\w.~-]){re.escape(path.rstrip('/'))}(?![\w.-])"
            self._literal.append((re.compile(pattern), told))
        for host, told in sorted((hosts or {}).items(), key=lambda one: -len(one[0])):
            pattern = rf"(?<![\w-]){re.escape(host)}(?![\w-])"
            self._literal.append((re.compile(pattern, re.IGNORECASE), told))

    def text(self, text: str) -> str:
        """Return the text without what must not leave."""
        for pattern, told in (*_SECRETS, *self._literal):
            text = pattern.sub(told, text)
        return text

    def data(self, value: Any) -> Any:
        """Return JSON-able data without what must not leave; what else it has stays as it is."""
        match value:
            case str():
                return self.text(value)
            case list() | tuple():
                return [self.data(one) for one in value]
            case dict():
                return {
                    self.text(key): REMOVED
                    if isinstance(one, str) and one and _SECRET_NAME.search(key)
                    else self.data(one)
                    for key, one in value.items()
                }
            case _:
                return value


def of_host(environment: Mapping[str, str] = os.environ) -> Scrubber:
    """Return a scrubber that knows this host: its names, paths, mirrors and secrets."""
    return Scrubber(
        hosts={
            **dict.fromkeys(_mirrors(environment), "[mirror]"),
            **dict.fromkeys(_names(), "[host]"),
        },
        paths=_paths(environment),
        secrets=_secrets(environment),
    )


def _names() -> Iterator[str]:
    """Yield the names of this host, the whole one and its first part."""
    for name in {socket.gethostname(), socket.getfqdn(), os.uname().nodename}:
        for one in {name, name.partition(".")[0]}:
            if len(one) > 2 and one.lower() not in _COMMON and not _is_address(one):
                yield one


def _paths(environment: Mapping[str, str]) -> dict[str, str]:
    found = {str(_ROOT): "[checkout]", str(state_dir()): "[state]"}
    if folder := environment.get("QUIVERDB_E2E_FOLDER"):
        found.setdefault(folder, "[folder]")
    found.setdefault(str(Path.cwd()), "[folder]")
    found[str(Path(tempfile.gettempdir()) / "quiverdb-e2e-")] = "[temporary]"
    if (home := environment.get("HOME") or str(Path.home())) not in _SHARED_HOMES:
        found.setdefault(home, "[home]")
    return {path: told for path, told in found.items() if path != "/"}


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what the environment holds under a name that says it is a secret."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= 6 and not value.isspace():
            yield value


def _mirrors(environment: Mapping[str, str]) -> set[str]:
    """Return the hosts that this host's clients are set up with, their own defaults left out."""
    texts = [value for name, value in environment.items() if _URL_NAME.search(name)]
    home = environment.get("HOME") or str(Path.home())
    for pattern in _SETTINGS:
        path = Path(pattern.replace("~", home, 1))
        for file in path.parent.glob(path.name) if path.parent.is_dir() else ():
            try:
                texts.append(file.read_text("utf-8", "replace"))
            except OSError:
                continue  # a folder, or not ours to read
    texts.append(_told_by_pip())
    hosts = {host for text in texts for host in _hosts(text)}
    return {
        host
        for host in hosts - _defaults()
        if host not in _COMMON and not _is_address(host, loopback=True)
    }


def _hosts(text: str) -> Iterator[str]:
    for url in _URL.findall(text):
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        if host:
            yield host
    for line in re.findall(r"trusted[-_]host\s*=\s*(.+)", text):
        yield from (word.strip("'\",").partition(":")[0] for word in line.split())


def _told_by_pip() -> str:
    """Return what the host's own pip is set up with, wherever that is written."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(pip, capture_output=True, text=True, check=False).stdout


def _defaults() -> set[str]:
    """Return the hosts that pip asks by default: they are no secret, and evidence names them."""
    ask = (
        "from pip._internal.models.index import PyPI;"
        "print(PyPI.url, 'https://' + PyPI.file_storage_domain)"
    )
    told = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=False
    ).stdout
    return set(_hosts(told))


def _is_address(host: str, *, loopback: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback if loopback else True
