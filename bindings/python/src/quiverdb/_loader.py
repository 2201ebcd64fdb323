"""Finds and loads the native libraries.

They are bundled with the package, in ``_libs``: the core, and the C API that needs it. A package
that bundles neither is a source checkout; then the system's search path is used, and a warning
says so. A bundle with one of the two missing is a broken installation, never a reason to search
elsewhere: that would use other libraries than those installed.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from quiverdb.exceptions import NativeLibraryError

_LIBS_DIR = Path(__file__).resolve().parent / "_libs"
_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_CORE = f"libquiver{_SUFFIX}"
_C_API = f"libquiver_c{_SUFFIX}"

_load_source = ""
"""Where the libraries came from: "" until they are loaded, then "bundled" or "development"."""

_keep_alive: list[Any] = []


def load_library(ffi: Any) -> Any:
    """Load the core, then the C API, and return the latter.

    Raises:
        NativeLibraryError: a file is missing or cannot be loaded.

    """
    global _load_source
    bundled = [name for name in (_CORE, _C_API) if (_LIBS_DIR / name).is_file()]
    if len(bundled) == 1:
        missing = _CORE if bundled == [_C_API] else _C_API
        raise NativeLibraryError(
            f"quiverdb is installed incompletely: {_LIBS_DIR / missing} is missing,"
            f" {bundled[0]} is there. Install quiverdb again."
        )
    if bundled:
        library = _load_bundled(ffi)
        _load_source = "bundled"
    else:
        library = _load_from_search_path(ffi)
        _load_source = "development"
    return library


def _load_bundled(ffi: Any) -> Any:
    if sys.platform == "win32":
        # Where Windows looks for the core when it loads the C API.
        _keep_alive.append(os.add_dll_directory(str(_LIBS_DIR)))
    core = _open(ffi, str(_LIBS_DIR / _CORE))
    library = _open(ffi, str(_LIBS_DIR / _C_API))
    _keep_alive.append(core)
    return library


def _load_from_search_path(ffi: Any) -> Any:
    try:
        core = _open(ffi, _CORE)
        library = _open(ffi, _C_API)
    except NativeLibraryError as error:
        raise NativeLibraryError(
            f"quiverdb has no native libraries: {_LIBS_DIR} holds neither {_CORE} nor {_C_API},"
            f" and the system's search path does not provide them ({error}). Install quiverdb"
            " from a wheel for this platform."
        ) from error
    _keep_alive.append(core)
    warnings.warn(
        f"quiverdb bundles no native libraries in {_LIBS_DIR}; it uses {_CORE} and {_C_API}"
        " from the system's search path (development)",
        RuntimeWarning,
        stacklevel=2,
    )
    return library


def _open(ffi: Any, name: str) -> Any:
    try:
        return ffi.dlopen(name)
    except OSError as error:
        hint = ""
        if sys.platform == "win32" and Path(name).is_file():
            hint = " The file is there: a library that it needs is missing, or it is damaged."
        raise NativeLibraryError(f"{name} cannot be loaded: {error}.{hint}") from error
