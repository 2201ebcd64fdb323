from __future__ import annotations

import pytest
from pydantic import JsonValue

from tests.helpers import sample_run
from verification.report.scrub import REMOVED, Scrubber

SCRUBBER = Scrubber()
"""Removes secrets by their format only."""


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ('"authorization": "Bearer abcdef123"', "abcdef123"),
        ("Proxy-Authorization: Digest x=1", "x=1"),
        ("curl -H 'authorization: token s3cr3tvalue'", "s3cr3tvalue"),
        ("Looking in https://alice:hunter2@mirror.example/simple", "hunter2"),
        ("git clone https://t0ken@host.example/x", "t0ken"),
        ("ftp://a:b%40c@d", "b%40c"),
        ("TWINE_PASSWORD=hunter2 twine upload", "hunter2"),
        ("https://x.example/?api_key=abcdefgh&y=1", "abcdefgh"),
        ("token: 0123456789abcdef", "0123456789abcdef"),
        ("pypi-Ag0123456789abcdefgh", "Ag0123456789"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "0123456789abcdefghij"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0x.c2lnbmF0dXJl", "eyJzdWIi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_a_secret_is_replaced_by_a_mark(text: str, secret: str) -> None:
    assert secret in text
    scrubbed = SCRUBBER.text(text)
    assert secret not in scrubbed
    assert REMOVED in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "permissions: id-token: write",
        "the token of another project is refused",
        "https://github.com/example/quiver2/blob/main/README.md",
        "libquiver.dll imports MSVCP140.dll, which was not found (error 0x7e)",
        "sha256 " + "0123456789abcdef" * 4,
        "mail@example.org, and user@host",
        "basic use; bearer of news",
        "password=$PASSWORD",
        "C:\\users\\user\\project",
    ],
)
def test_text_without_a_secret_is_not_changed(text: str) -> None:
    assert SCRUBBER.text(text) == text


def test_the_results_of_a_run_without_secrets_are_not_changed() -> None:
    for model in (sample_run.complete(), sample_run.evidence()):
        values = model.model_dump(mode="json", by_alias=True)
        assert SCRUBBER.data(values) == values


def test_values_with_the_name_of_a_secret_are_removed() -> None:
    environment: JsonValue = {"MY_API_KEY": "x", "HOME": "/home/user", "GITHUB_TOKEN": "y"}
    assert SCRUBBER.data({"env": environment}) == {
        "env": {"MY_API_KEY": REMOVED, "HOME": "/home/user", "GITHUB_TOKEN": REMOVED}
    }


def test_hosts_and_paths_are_replaced_as_whole_words() -> None:
    scrubber = Scrubber(
        hosts={"build7": "[host]", "mirror.example": "[mirror]"},
        paths={"/home/alice": "[home]", "/home/alice/quiver": "[checkout]"},
    )
    text = "build7 build77 http://MIRROR.example:8080/x my-mirror.example /home/alice/quiver/x "
    text += "/home/alice/.cache /home/aliceX /srv/home/alice"
    assert scrubber.text(text) == (
        "[host] build77 http://[mirror]:8080/x my-mirror.example [checkout]/x "
        "[home]/.cache /home/aliceX /srv/home/alice"
    )
