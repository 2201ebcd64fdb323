"""The configuration of the index: all faults in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from index.config import load
from server.config import ConfigError

from tests.helpers.index_front import (
    INDEX_HOST,
    configure,
)


def faulty_keys(path: Path) -> set[str]:
    """Return the keys of all faults of a configuration."""
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return {fault.split()[0].rstrip(":") for fault in message.split("; ")}


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    path = configure(
        tmp_path,
        prot=443,
        port="443",
        log="left out",
        hosts={"index": INDEX_HOST, "up": "x"},
        credentials=[{"username": "__token__", "projects": "all"}],
    )
    assert faulty_keys(path) == {
        "prot",
        "port",
        "log",
        "hosts.upload",
        "hosts.up",
        "credentials[0].password",
        "credentials[0].projects",
    }


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        (
            {"issuers": [{"url": "http://issuer", "ca": "/none"}, {}]},
            {"issuers[0].url", "issuers[1].url", "issuers[1].ca"},
        ),
        ({"issuers": [{"url": "https://issuer/", "ca": "/none"}]}, {"issuers[0].url"}),
        ({"issuers": [{"url": "https://issuer", "ca": "/none"}]}, {"issuers"}),
        ({"issuers": {}}, {"issuers"}),
        ({"store": "/none", "log": "/none/log"}, {"store", "log"}),
        ({"trusted_publishing": "yes"}, {"trusted_publishing"}),
        (
            {"publishers": [{"project": "x", "owner": 5, "worflow": "w"}]},
            {
                "publishers[0].owner",
                "publishers[0].owner_id",
                "publishers[0].repository",
                "publishers[0].workflow",
                "publishers[0].worflow",
            },
        ),
        ({"pending_publishers": [5]}, {"pending_publishers[0]"}),
    ],
)
def test_wrong_value_is_reported_with_its_key(
    tmp_path: Path, changes: dict[str, Any], keys: set[str]
) -> None:
    assert faulty_keys(configure(tmp_path, **changes)) == keys
