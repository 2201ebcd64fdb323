"""The unit test file of each module."""

from __future__ import annotations

from pathlib import PurePosixPath

TESTS = PurePosixPath("tests/unit")


def mirror_of(module: str) -> str:
    """Return the test file of a module. Underscores replace the dashes and dots of its folders.

    The tests of an ``__init__.py`` have the name of the package.
    """
    path = PurePosixPath(module)
    stem = path.parent.name if path.stem == "__init__" else path.stem
    folder = str(path.parent).replace("-", "_").replace(".", "_")
    return str(TESTS / folder / f"test_{stem}.py")
