"""The smoke test that `generate` made from the wheels of a release. It knows no function of them.

``native_call`` imports each package and each extension module of the wheel: an import runs native
code. ``round_trip`` exercises nothing that is specific to the package. It only repeats the imports
in a new process and compares their results. Replace both by calls that users make.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

DISTRIBUTION = ""
PACKAGES: dict[str, list[str]] = {}
"""The packages and modules at the top level, by the value of sys.platform."""
EXTENSIONS: dict[str, list[str]] = {}
"""The extension modules, by the value of sys.platform."""
OPTIONAL: dict[str, list[str]] = {}
"""The extension modules that the package does without if their import fails."""


def native_call() -> dict[str, str]:
    """Import all modules. Return the version of the installed distribution."""
    from importlib.metadata import version

    import_all()
    return {"version": version(DISTRIBUTION)}


def round_trip() -> None:
    """Import all modules in a new process, and compare the results. This is not specific."""
    here = import_all()
    code = "import sys; exec(sys.stdin.read()); print(json.dumps(import_all()))"
    source = Path(import_all.__code__.co_filename).read_bytes()
    isolated = ["-I"] * sys.flags.isolated
    process = subprocess.run(
        [sys.executable, *isolated, "-c", code],
        input=source,
        stdout=subprocess.PIPE,
        check=True,
    )
    there = json.loads(process.stdout.splitlines()[-1])
    if here != there:
        raise ValueError(f"a new process imports {there}, but the first one {here}")


def import_all() -> list[str]:
    """Import the packages and the extension modules. Return the names of those that exist.

    An extension module of another distribution's plug-in cannot be imported without it, so a
    missing module of another distribution is no error. Neither is the failure of an optional one,
    or of a further package that may need an extra of the distribution.
    """
    failed = []
    for name in PACKAGES.get(sys.platform, ()):
        try:
            importlib.import_module(name)
        except ImportError:
            if not _may_need_extra(name):
                raise
            failed.append(name)
    imported = []
    for name in EXTENSIONS.get(sys.platform, ()):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not _is_optional(name, failed) and _is_own(str(error.name)):
                raise
        except Exception:
            if not _is_optional(name, failed):
                raise
        else:
            imported.append(name)
    return imported


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


def _is_own(module: str) -> bool:
    own = [*PACKAGES[sys.platform], *EXTENSIONS[sys.platform]]
    return module.split(".")[0] in {name.split(".")[0] for name in own}
