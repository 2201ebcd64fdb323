from __future__ import annotations

from verification.models.base import parse_json
from verification.models.survey import PinnedRelease, Survey, SurveyResult
from verification.models.verdict import Verdict


def test_release_is_its_name_and_version() -> None:
    assert str(PinnedRelease(name="xxhash", version="3.5.0")) == "xxhash 3.5.0"


def test_survey_is_unchanged_by_json() -> None:
    release = PinnedRelease(name="xxhash", version="3.5.0")
    content = Survey(
        verdict=Verdict.UNVERIFIED,
        finished=True,
        started="2026-11-30T12:00:00Z",
        command="./e2e survey list.txt",
        suite_version="0.1.0",
        suite_commit="0123456",
        results=(SurveyResult(release=release, verdict=Verdict.UNVERIFIED, reason="no wheel"),),
    )
    assert parse_json(Survey, content.model_dump_json(), "survey.json") == content
