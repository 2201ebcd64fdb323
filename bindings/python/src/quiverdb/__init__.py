"""Typed databases of elements, vectors, sets and time series, over SQLite.

Importing this package loads no native code; the first call that needs it does.
"""

from quiverdb._c_api import api
from quiverdb.database import Database
from quiverdb.exceptions import NativeLibraryError, QuiverError
from quiverdb.metadata import DataType, GroupMetadata, LogLevel, ScalarMetadata

__all__ = [
    "DataType",
    "Database",
    "GroupMetadata",
    "LogLevel",
    "NativeLibraryError",
    "QuiverError",
    "ScalarMetadata",
    "version",
]

__version__: str


def __getattr__(name: str) -> str:
    """Look up ``__version__`` in the installed metadata, where the build has put it."""
    if name == "__version__":
        from importlib.metadata import version as installed

        return installed("quiverdb")
    raise AttributeError(f"module 'quiverdb' has no attribute {name!r}")


def version() -> str:
    """Return the version of the native library, as ``"0.5.0"``.

    Raises:
        NativeLibraryError: the native libraries cannot be loaded.

    """
    ffi, lib = api()
    return str(ffi.string(lib.quiver_version()).decode("utf-8"))
