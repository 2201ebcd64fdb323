from __future__ import annotations

import pytest

from verification.models.testbed import Upload
from verification.rules.upload import failure, refusal, twine_refusal

INDEX = """\
Uploading distributions to https://index.invalid/legacy/
\x1b[34mINFO    \x1b[0m /dist/quiverdb-0.5.0-cp313-cp313-win_amd64.whl (404.2 KB)
Uploading quiverdb-0.5.0-cp313-cp313-win_amd64.whl
\x1b[34mINFO    \x1b[0m Response from https://index.invalid/legacy/:
         400 'Klingon' is not a valid classifier. See the core metadata specification.
\x1b[31mERROR   \x1b[0m HTTPError: 400 Bad Request from https://index.invalid/legacy/
         'Klingon' is not a valid classifier. See the core metadata
         specification.

"""
TWINE = """\
Uploading distributions to https://index.invalid/legacy/
\x1b[31mERROR   \x1b[0m InvalidDistribution: Invalid distribution metadata: 'Proprietary Thing'
         is invalid for 'license-expression'
"""
LOST = """\
Traceback (most recent call last):
  File "/usr/bin/twine", line 8, in <module>

requests.exceptions.ConnectionError: nobody answers
"""
REASON = "400 'Klingon' is not a valid classifier."


def upload(output: str, code: int = 1, *refusals: str) -> Upload:
    return Upload(command=("twine", "upload"), code=code, output=output, refusals=refusals)


@pytest.mark.parametrize("output", [INDEX, LOST, ""])
def test_logged_refusal_is_of_the_index(output: str) -> None:
    assert REASON in refusal(upload(output, 1, REASON))
    assert failure(upload(output, 1, REASON)) == ""


@pytest.mark.parametrize("output", [INDEX, LOST, ""])
def test_failure_without_a_logged_refusal_has_the_exit_code(output: str) -> None:
    assert refusal(upload(output, 7)) == ""
    assert " 7" in failure(upload(output, 7))


def test_refusal_of_twine_has_its_reason() -> None:
    assert twine_refusal(TWINE).startswith("InvalidDistribution: Invalid distribution metadata")
    assert "is invalid for 'license-expression'" in refusal(upload(TWINE))
    assert failure(upload(TWINE)) == ""


def test_failure_shows_the_last_lines() -> None:
    assert "nobody answers" in failure(upload(LOST))
    assert failure(upload("\n"))


def test_successful_upload_is_neither_refused_nor_failed() -> None:
    assert refusal(upload(TWINE, 0)) == failure(upload(TWINE, 0)) == ""
