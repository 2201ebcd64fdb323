"""What only the live index knows, as settings of the index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.index_front import Front, running, wheel


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An index with what only the live index knows."""
    settings = {
        "prohibited_names": ["Not.Allowed"],
        "existing_projects": ["sq1ite-o", "json"],
        "deleted_files": ["gone-1.0-py3-none-any.whl"],
        "old_releases": [{"project": "Aged", "version": "1.0"}],
        "file_limit": 1,
        "projects_per_hour": 3,
    }
    with running(tmp_path_factory.mktemp("limited"), **settings) as front:
        yield front


@pytest.mark.parametrize(
    ("file", "status", "answer"),
    [
        (wheel("not-allowed", "1.0"), 400, "The name 'not-allowed' isn't allowed. See https://1"),
        (wheel("sqiite0", "1.0"), 400, "The name 'sqiite0' is too similar to an existing project."),
        (wheel("json", "1.0"), 200, "OK"),
        (wheel("gone", "1.0"), 400, "This filename was previously used by a file that has since"),
        (
            wheel("aged", "1"),
            400,
            "Uploading new files to releases older than 14 days is not allowed.",
        ),
        (wheel("aged", "1.1"), 200, "OK"),
        (
            wheel("aged", "1.2", payload=bytes(1 << 20)),
            400,
            "File too large. Limit for project 'aged' is 1 MB. See https://docs.127.0.0.1/",
        ),
        (wheel("fourth", "1.0"), 429, "Too many new projects created"),
    ],
)
def test_settings_of_the_live_index_are_applied(
    limited: Front, file: tuple[str, bytes], status: int, answer: str
) -> None:
    response = limited.send_upload(file)
    assert (response.status_code, response.reason[: len(answer)]) == (status, answer)


def test_default_settings_prohibit_nothing(front: Front) -> None:
    for name in ("not-allowed", "gone", "aged"):
        assert front.send_upload(wheel(name, "1.0")).status_code == 200
