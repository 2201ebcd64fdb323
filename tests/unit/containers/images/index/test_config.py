"""The configuration of the index: every fault is named in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.index_front import (
    INDEX_HOST,
    configure,
    refusal,
)


def test_a_configuration_is_refused_with_all_its_faults_in_one_line(tmp_path: Path) -> None:
    line = refusal(
        configure(
            tmp_path,
            prot=443,
            port="443",
            log="left out",
            hosts={"index": INDEX_HOST, "up": "x"},
            credentials=[{"username": "__token__", "projects": "all"}],
        )
    )
    assert line.startswith("index: ")
    assert set(line.removeprefix("index: ").split("; ")) == {
        "prot is not a known key",
        "port must be an integer",
        "log is missing",
        "hosts.upload is missing",
        "hosts.up is not a known key",
        "credentials[0].password is missing",
        "credentials[0].projects must be a list",
    }


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        (
            {"issuers": [{"url": "http://issuer", "ca": "/none"}, {}]},
            [
                "issuers[0].url must begin with https:// and not end with /",
                "issuers[1].url is missing",
                "issuers[1].ca is missing",
            ],
        ),
        ({"issuers": [{"url": "https://issuer", "ca": "/none"}]}, ["no such file: /none"]),
        ({"issuers": {}}, ["issuers must be a list"]),
        ({"trusted_publishing": "yes"}, ["trusted_publishing must be true or false"]),
        (
            {"publishers": [{"project": "x", "owner": 5, "worflow": "w"}]},
            [
                "publishers[0].owner must be a string",
                "publishers[0].owner_id is missing",
                "publishers[0].repository is missing",
                "publishers[0].workflow is missing",
                "publishers[0].worflow is not a known key",
            ],
        ),
        ({"pending_publishers": [5]}, ["pending_publishers[0] must be a JSON object"]),
    ],
)
def test_a_mistake_in_the_configuration_is_named_and_the_index_does_not_start(
    tmp_path: Path, changes: dict[str, Any], faults: list[str]
) -> None:
    line = refusal(configure(tmp_path, **changes))
    for fault in faults:
        assert fault in line
