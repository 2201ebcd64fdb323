from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"


@pytest.mark.parametrize(
    ("path", "text", "observed"),
    [
        ("quiverdb/.env", "TOKEN=x\n", "is where passwords and tokens are kept"),
        ("quiverdb/.pypirc", "[pypi]\n", "is where passwords and tokens are kept"),
        ("quiverdb/deep/.netrc", "machine x\n", "is where passwords and tokens are kept"),
        ("quiverdb/_netrc", "machine x\n", "is where passwords and tokens are kept"),
        ("quiverdb/id_rsa", KEY, "holds a private key"),
        (
            "quiverdb/server.pem",
            "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
            "holds a private key",
        ),
        ("quiverdb/testkey/server.key", KEY, "holds a private key"),
        ("quiverdb/tests.key", KEY, "holds a private key"),
        ("quiverdb-1.0.0.dist-info/direct_url.json", "{}", "tells where it was installed from"),
    ],
)
def test_a_file_of_those_who_built_the_wheel_is_named(
    tmp_path: Path, path: str, text: str, observed: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: text}))
    assert (cause.name, cause.severity, cause.where) == ("private-file", "flawed", path)
    assert cause.message.startswith(observed)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("quiverdb/.env", " \n"),
        ("quiverdb/.env.example", "TOKEN=\n"),
        ("quiverdb/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("quiverdb/key.pem", "-----BEGIN PUBLIC KEY-----\n"),
        ("quiverdb/note.pem", "no -----BEGIN PRIVATE KEY-----\n"),
        ("quiverdb/keys.py", f'KEY = """\n{KEY}"""\n'),
        ("quiverdb/test/server.key", KEY),
        ("quiverdb/tests/server.key", KEY),
        ("quiverdb/testing/deep/server.key", KEY),
        ("quiverdb/direct_url.json", "{}"),
        ("quiverdb-1.0.0.dist-info/x/direct_url.json", "{}"),
    ],
)
def test_what_looks_like_a_secret_and_is_none_is_no_fault(
    tmp_path: Path, path: str, text: str
) -> None:
    assert inspect(linux_wheel(tmp_path, {path: text})).causes == ()
