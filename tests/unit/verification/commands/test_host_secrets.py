from __future__ import annotations

import socket
from pathlib import Path

import pytest

from verification.commands import host_secrets


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set up a host with a name, mirrors and secrets. Return its environment variables."""
    monkeypatch.setattr(socket, "gethostname", lambda: "build7")
    monkeypatch.setattr(socket, "getfqdn", lambda: "build7.corp.example")
    home = tmp_path / "alice"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://u:p@pip.corp.example:8443/simple\n"
        "trusted-host = other.corp.example\n",
        "utf-8",
    )
    (home / ".npmrc").write_text("registry=https://npm.corp.example/npm/\n", "utf-8")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(
        '{"proxies": {"default": {"httpProxy": "http://proxy.corp.example:3128"}}}', "utf-8"
    )
    return {
        "HOME": str(home),
        "UV_DEFAULT_INDEX": "https://uv.corp.example/simple",
        "HTTPS_PROXY": "http://127.0.0.1:3128",
        "DEPLOY_SECRET": "correct horse",
        "EDITOR": "vi",
    }


def test_names_mirrors_paths_and_secrets_of_the_host_are_removed(host: dict[str, str]) -> None:
    scrubber = host_secrets.scrubber(host)
    text = (
        f"build7 build7.corp.example https://pip.corp.example:8443/simple other.corp.example "
        f"npm.corp.example proxy.corp.example uv.corp.example {host['HOME']}/x correct horse "
        "127.0.0.1 vi"
    )
    assert scrubber.text(text) == (
        "[host] [host] https://[mirror]:8443/simple [mirror] [mirror] [mirror] [mirror] [home]/x "
        "[removed] 127.0.0.1 vi"
    )


def test_name_of_the_host_stays_if_it_is_a_word_of_the_report(
    host: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "linux")
    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost")
    monkeypatch.setattr(host_secrets, "_mirrors", lambda _: set())  # it runs pip
    assert host_secrets.scrubber(host).text("linux localhost") == "linux localhost"
