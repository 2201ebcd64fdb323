"""The names and secrets of this host that a bundle must not contain."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from containers import temporary
from containers.state import state_folder
from verification.report.scrub import SECRET_NAME, Scrubber

_ROOT = Path(__file__).parents[2]
_URL_NAME = re.compile(r"proxy|index|registry|mirror|repository|find_links|docker_host", re.I)
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
"""The files in which clients store indexes, mirrors, registries and proxies. ``~``: home folder."""
# A host with such a name stays: it identifies nobody, and the report itself uses these words.
_COMMON = {
    "localhost", "linux", "windows", "debian", "ubuntu", "wine", "docker", "index", "forge",
    "runner", "builder", "publisher", "machine", "host", "user", "root", "test", "python", "pip",
    "uv", "gate", "quick", "full", "build", "publish", "release", "validate", "merge", "none",
}  # fmt: skip
_SHARED_HOMES = {"/home/user", "/"}
"""Home folders that also exist on clean machines, so they reveal nothing about this host."""


def scrubber(
    environment: Mapping[str, str] | None = None, *, paths: Mapping[str, str] | None = None
) -> Scrubber:
    """Return a scrubber of this host's names, paths, mirrors and secrets.

    ``environment`` are the variables to read; None means those of this process. ``paths`` are
    further paths, with their replacements.
    """
    environment = os.environ if environment is None else environment
    return Scrubber(
        hosts={
            **dict.fromkeys(_mirrors(environment), "[mirror]"),
            **dict.fromkeys(_names(), "[host]"),
        },
        paths={**(paths or {}), **_paths(environment)},
        secrets=_secrets(environment),
    )


def _names() -> Iterator[str]:
    """Yield the names of this host: the full name and its first part."""
    for name in {socket.gethostname(), socket.getfqdn(), os.uname().nodename}:
        for part in {name, name.partition(".")[0]}:
            if len(part) > 2 and part.lower() not in _COMMON and not _is_address(part):
                yield part


def _paths(environment: Mapping[str, str]) -> dict[str, str]:
    paths = {str(_ROOT): "[checkout]", str(state_folder()): "[state]"}
    if folder := environment.get("QUIVERDB_E2E_FOLDER"):
        paths.setdefault(folder, "[folder]")
    paths.setdefault(str(Path.cwd()), "[folder]")
    paths[str(temporary.user_folder())] = "[temporary]"
    if (home := environment.get("HOME") or str(Path.home())) not in _SHARED_HOMES:
        paths.setdefault(home, "[home]")
    return {path: name for path, name in paths.items() if path != "/"}


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the variables whose name marks a secret."""
    for name, value in environment.items():
        if SECRET_NAME.search(name) and len(value) >= 6 and not value.isspace():
            yield value


def _mirrors(environment: Mapping[str, str]) -> set[str]:
    """Return the host names in the settings of this host's clients, without pip's defaults."""
    texts = [value for name, value in environment.items() if _URL_NAME.search(name)]
    home = environment.get("HOME") or str(Path.home())
    for pattern in _SETTINGS:
        path = Path(pattern.replace("~", home, 1))
        for file in path.parent.glob(path.name) if path.parent.is_dir() else ():
            try:
                texts.append(file.read_text("utf-8", "replace"))
            except OSError:
                continue  # a folder, or without permission to read it
    texts.append(_pip_settings())
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


def _pip_settings() -> str:
    """Return the settings of this host's pip from all of its sources."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(pip, capture_output=True, text=True, check=False).stdout


def _defaults() -> set[str]:
    """Return pip's default host names. They are no secret, and the evidence contains them."""
    script = (
        "from pip._internal.models.index import PyPI;"
        "print(PyPI.url, 'https://' + PyPI.file_storage_domain)"
    )
    command = [sys.executable, "-c", script]
    return set(_hosts(subprocess.run(command, capture_output=True, text=True, check=False).stdout))


def _is_address(host: str, *, loopback: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback if loopback else True
