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
def test_only_a_response_with_a_body_is_served(status: int | None, served: bool) -> None:
    assert line(status=status).is_served is served


def test_a_refused_handshake_has_no_request() -> None:
    refused = line(tls_refused="unknown CA")
    assert (refused.method, refused.path, refused.status) == ("", "", None)
    assert not refused.is_served
    assert not refused.complete


def test_a_line_is_unchanged_by_json() -> None:
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
def test_an_invalid_line_is_refused(values: dict[str, object], field: tuple[str, ...]) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        line(**values)
    assert [fault["loc"] for fault in error.value.errors()] == [field]


def test_a_missing_or_incomplete_response_is_a_failure_with_its_data() -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"tls_refused": "unknown ca"}, "unknown ca"),
        ({"open": True}, "/x"),
        ({"status": None}, "/x"),
        ({"status": 503}, "503"),
        ({"status": 200, "complete": False, "bytes": 12}, "12"),
    ]
    request = {"method": "GET", "path": "/x", "status": 200, "complete": True}
    failures = [line(**request | values).failure for values, _ in cases]
    assert all(data in failure for failure, (_, data) in zip(failures, cases, strict=True))
    assert len(set(failures)) == len(cases)


@pytest.mark.parametrize("status", [200, 304, 400, 404, 422])
def test_a_complete_response_below_500_is_not_a_failure(status: int) -> None:
    assert line(status=status, complete=True).failure == ""
