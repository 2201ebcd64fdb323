"""The smoke test that `generate` made from the wheels of a release. It knows no function of them.

``native_call`` imports each package as a user does, and then each extension module of the wheel: an
import runs native code. It calls the functions of the modules that return a version.
``round_trip`` exercises nothing that is specific to the package. It only repeats the imports in a
new process and compares their results. Replace both by calls that users make.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

DISTRIBUTION = ""
PACKAGES: dict[str, list[str]] = {}
"""The packages and modules at the top level, by the value of sys.platform."""
EXTENSIONS: dict[str, list[str]] = {}
"""The extension modules, by the value of sys.platform."""
OPTIONAL: dict[str, list[str]] = {}
"""The extension modules that the package does without if their import fails."""
VERSION_FUNCTIONS = ("version", "get_version", "library_version")
"""The names of functions that need no argument and only return a version."""


def native_call() -> dict[str, str]:
    """Import all modules. Return the version of the installed distribution."""
    from importlib.metadata import version

    call_versions(import_all())
    return {"version": version(DISTRIBUTION)}


def round_trip() -> None:
    """Import all modules in a new process, and compare the results. This is not specific."""
    here = import_all()
    there = in_new_process("import_all")
    if here != there:
        raise ValueError(f"a new process imports {there}, but the first one {here}")


def in_new_process(function: str) -> list[str]:
    """Call a function of this file in a new process, and return its result."""
    path = import_all.__code__.co_filename
    code = f"import sys; exec(compile(sys.stdin.buffer.read(), {path!r}, 'exec'))"
    isolated = ["-I"] * sys.flags.isolated
    process = subprocess.run(
        [sys.executable, *isolated, "-c", f"{code}; print(json.dumps({function}()))"],
        input=Path(path).read_bytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    names: list[str] = json.loads(process.stdout.splitlines()[-1])
    return names


def call_versions(modules: list[str]) -> list[str]:
    """Call the native functions of these modules that return a version; return their names.

    A function that needs an argument, or that fails in another way, is left out.
    """
    called = []
    for name in modules:
        for function in VERSION_FUNCTIONS:
            value = getattr(sys.modules[name], function, None)
            if callable(value) and not isinstance(value, (type, types.FunctionType)):
                with contextlib.suppress(Exception):
                    value()
                    called.append(f"{name}.{function}")
    return called


def import_all() -> list[str]:
    """Import the packages and the extension modules. Return the names of those that exist.

    An extension module of another distribution's plug-in cannot be imported without it, so a
    missing module of another distribution is no error. Neither is the failure of an optional one,
    or of a further package that may need an extra of the distribution, or of a module whose failure
    the packages handle at their import, because a user does not see this failure. A further module
    with the same failure, such as the same missing library, is no error either.
    """
    failed = import_packages()
    imported = []
    failures: dict[str, Exception] = {}
    for name in EXTENSIONS.get(sys.platform, ()):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if _is_own(str(error.name)) and not (error.name == name and _is_left_out(name)):
                failures[name] = error
        except Exception as error:  # noqa: BLE001  (judged below)
            failures[name] = error
        else:
            imported.append(name)
    handled = {str(failures[name]) for name in failures if _is_handled(name, failed)}
    for failure in failures.values():
        if str(failure) not in handled:
            raise failure
    return imported


def import_packages() -> list[str]:
    """Import the packages. Return those that may need an extra of the distribution."""
    failed = []
    for name in PACKAGES.get(sys.platform, ()):
        try:
            importlib.import_module(name)
        except ImportError as error:
            if error.name == name and name in EXTENSIONS[sys.platform] and _is_left_out(name):
                continue
            if not _may_need_extra(name):
                raise
            failed.append(name)
    return failed


def files_of_import() -> list[str]:
    """Import the packages. Return the paths of the extension modules that Python begins to load.

    Those that fail silently are included. It needs a new process. An audit hook gets each path
    (PEP 578).
    """
    begun: list[str] = []

    def record(event: str, arguments: tuple[object, ...]) -> None:
        if event == "import" and arguments[1]:
            begun.append(os.path.realpath(str(arguments[1])))

    sys.addaudithook(record)
    import_packages()
    return begun


def _is_handled(name: str, failed: list[str]) -> bool:
    """Return whether the import of the packages does without a module, or loads it otherwise.

    A package can load its extension module under another name. A second import then fails.
    """
    return _is_optional(name, failed) or _file_of(name) in _files_of_import()


def _file_of(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    return os.path.realpath(spec.origin) if spec and spec.origin else ""


@functools.cache
def _files_of_import() -> list[str]:
    try:
        return in_new_process("files_of_import")
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return []  # the first failure counts


def _is_optional(name: str, failed: list[str]) -> bool:
    return name in OPTIONAL.get(sys.platform, ()) or any(
        f"{name}.".startswith(f"{package}.") for package in failed
    )


def _may_need_extra(package: str) -> bool:
    """Return whether a package is not the main one, in a distribution with extras."""
    from importlib.metadata import metadata

    main = re.sub(r"[-_.]+", "_", DISTRIBUTION).lower()
    tops = [name.partition(".")[0].lower() for name in PACKAGES[sys.platform]]
    is_main = package.partition(".")[0].lower() == main or main not in tops
    return not is_main and bool(metadata(DISTRIBUTION).get_all("Provides-Extra"))


def _is_left_out(module: str) -> bool:
    """Return whether the installed wheel has no file of a module: it is for another Python."""
    from importlib.metadata import files

    stems = {
        ".".join((*file.parts[:-1], file.name.partition(".")[0]))
        for file in files(DISTRIBUTION) or ()
        if file.suffix in (".py", ".so", ".pyd")
    }
    return bool(stems) and module not in stems


def _is_own(module: str) -> bool:
    own = [*PACKAGES[sys.platform], *EXTENSIONS[sys.platform]]
    return module.split(".")[0] in {name.split(".")[0] for name in own}
