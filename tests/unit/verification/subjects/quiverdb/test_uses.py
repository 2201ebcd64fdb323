from __future__ import annotations

import pytest

from verification.subjects.quiverdb.uses import explains


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("RuntimeError: cannot load libquiver_c.so: the package is in an archive", True),
        ("quiverdb.exceptions.QuiverError: libquiver is missing", True),
        ("ImportError: DLL load failed while importing quiverdb", False),
        ("ImportError: cannot import name 'Database' from 'quiverdb'", False),
        ("OSError: cannot load library libquiver_c.so", False),
        ("RuntimeError: not a directory", False),
        ("RuntimeError: libquiver.so: cannot open shared object file", False),
    ],
)
def test_an_error_of_the_package_names_the_missing_part(error: str, expected: bool) -> None:
    assert explains(error) is expected
