from __future__ import annotations

import pydantic
import pytest

from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog

LINE = {"time": "2026-01-01T00:00:00Z", "client": "10.0.0.3"}


def line(**values: object) -> IndexRequest:
    return IndexRequest.model_validate(LINE | values)


@pytest.mark.parametrize(
    ("status", "served"), [(200, True), (206, False), (304, False), (404, False), (None, False)]
)
def test_only_a_whole_answer_is_served(status: int | None, served: bool) -> None:
    assert line(status=status).is_served is served


def test_a_refused_handshake_has_no_request() -> None:
    refused = line(tls_refused="unknown CA")
    assert (refused.method, refused.path, refused.status) == ("", "", None)
    assert not refused.is_served
    assert not refused.complete


def test_a_line_survives_json() -> None:
    full = line(
        status=200,
        seconds=0.25,
        range="bytes 0-1/2",
        upload=UploadLog(file="a.whl", identity={"ref": "refs/tags/v1"}, known=True),
        oidc=ExchangeLog(projects=("a", "b"), expires=5, code="invalid-publisher"),
    )
    assert IndexRequest.model_validate_json(full.model_dump_json()) == full


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"upload": {"other": 1}}, ("upload", "other")),
        ({"oidc": {"other": 1}}, ("oidc", "other")),
        ({"status": "ok"}, ("status",)),
        ({"time": None}, ("time",)),
    ],
)
def test_a_line_that_does_not_fit_is_refused(
    values: dict[str, object], field: tuple[str, ...]
) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        line(**values)
    assert [error["loc"] for error in refused.value.errors()] == [field]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"tls_refused": "unknown ca"}, "unknown ca"),
        ({"open": True}, "did not end"),
        ({"status": None}, "not answered"),
        ({"status": 503}, "503"),
        ({"status": 200, "complete": False, "bytes": 12}, "12 bytes"),
    ],
)
def test_a_request_without_a_whole_answer_is_a_failure(
    values: dict[str, object], shown: str
) -> None:
    assert shown in line(**{"method": "GET", "path": "/x", "complete": True, **values}).failure


@pytest.mark.parametrize("status", [200, 304, 400, 404, 422])
def test_an_answer_that_refuses_is_no_failure(status: int) -> None:
    assert line(status=status, complete=True).failure == ""
