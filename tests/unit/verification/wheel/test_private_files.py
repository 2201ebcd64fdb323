from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("quiverdb/.env", "TOKEN=x\n"),
        ("quiverdb/.env.local", "TOKEN=x\n"),
        ("quiverdb/.env.production.local", "TOKEN=x\n"),
        ("quiverdb/.pypirc", "[pypi]\n"),
        ("quiverdb/deep/.netrc", "machine x\n"),
        ("quiverdb/_netrc", "machine x\n"),
        ("quiverdb/id_rsa", KEY),
        ("quiverdb/server.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"),
        ("quiverdb/testkey/server.key", KEY),
        ("quiverdb/tests.key", KEY),
        ("quiverdb-1.0.0.dist-info/direct_url.json", "{}"),
    ],
)
def test_private_file_is_flawed(tmp_path: Path, path: str, text: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: text}))
    assert (cause.name, cause.severity, cause.where) == ("private-file", "flawed", path)


def test_similar_file_without_a_secret_is_accepted(tmp_path: Path) -> None:
    files = {
        "quiverdb/.env": " \n",
        "quiverdb/.env.example": "TOKEN=\n",
        "quiverdb/ca.pem": "-----BEGIN CERTIFICATE-----\n",
        "quiverdb/key.pem": "-----BEGIN PUBLIC KEY-----\n",
        "quiverdb/note.pem": "no -----BEGIN PRIVATE KEY-----\n",
        "quiverdb/keys.py": f'KEY = """\n{KEY}"""\n',
        "quiverdb/test/server.key": KEY,
        "quiverdb/tests/server.key": KEY,
        "quiverdb/testing/deep/server.key": KEY,
        "quiverdb/direct_url.json": "{}",
        "quiverdb-1.0.0.dist-info/x/direct_url.json": "{}",
    }
    assert inspect(linux_wheel(tmp_path, files)).causes == ()
