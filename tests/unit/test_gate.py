"""What a gate makes of the words of twine."""

from __future__ import annotations

import pytest

from tests.support import gate

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
ERROR    InvalidDistribution: Invalid distribution metadata: 'Proprietary Thing'
         is invalid for 'license-expression'
"""
OTHER = """\
Traceback (most recent call last):
  File "/usr/bin/twine", line 8, in <module>

requests.exceptions.ConnectionError: nobody answers
"""


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            INDEX,
            "the index refused the upload (HTTPError: 400 Bad Request from "
            "https://index.invalid/legacy/ 'Klingon' is not a valid classifier. See the core "
            "metadata specification.)",
        ),
        (
            TWINE,
            "twine refused the file before it was uploaded (InvalidDistribution: Invalid "
            "distribution metadata: 'Proprietary Thing' is invalid for 'license-expression')",
        ),
        (
            OTHER,
            "the index refused the upload (Traceback (most recent call last): File "
            '"/usr/bin/twine", line 8, in <module> requests.exceptions.ConnectionError: nobody '
            "answers)",
        ),
        ("\n", "the index refused the upload (it said nothing)"),
    ],
    ids=["index", "twine", "neither", "silent"],
)
def test_who_refused_an_upload_is_told_with_the_reason(output: str, told: str) -> None:
    assert gate.who_refused(output) == told
