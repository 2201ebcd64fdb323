"""Find files of the package that no interpreter uses, with check-wheel-contents."""

from __future__ import annotations

import csv
import keyword
from collections.abc import Iterator

from check_wheel_contents.checker import WheelChecker
from check_wheel_contents.checks import Check
from check_wheel_contents.contents import WheelContents
from check_wheel_contents.errors import WheelValidationError

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.library_names import is_extension_module
from verification.wheel.record import record_rows

# `top_level` and `native_code` replace most other checks of check-wheel-contents. The rest need the
# source tree.
_CHECKS = {Check.W001, Check.W004}


def causes(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    """Yield causes for the files that no interpreter uses.

    A wheel with an invalid RECORD or WHEEL is not checked. Other modules report it.
    """
    if not archive.dist_infos:
        return
    checker = WheelChecker()
    checker.configure_options(select=_CHECKS)
    try:
        failures = checker.check_contents(_contents(archive, identity))
    except (WheelValidationError, csv.Error, ValueError):
        return
    for failure in failures:
        for path in failure.args:
            if path.partition("/")[0].endswith((".dist-info", ".data")):
                continue
            if failure.check is Check.W004 and not _is_module(path):
                continue
            message = f"{failure.check.value} (check-wheel-contents {failure.check.name})"
            yield catalogue().cause("stray-file", path, message, check=failure.check.name)


def _is_module(path: str) -> bool:
    """Return whether a file is a module that Python could import from another path.

    A native library, and a script whose name is no identifier, are used by their paths. A package
    whose name is a keyword, such as a language code, is imported with importlib.
    """
    *folders, name = path.split("/")
    if all(map(str.isidentifier, folders)) and any(map(keyword.iskeyword, folders)):
        return False
    stem = name.removesuffix(".py")
    is_python = stem != name and stem.isidentifier() and not keyword.iskeyword(stem)
    return is_extension_module(name) or is_python


def _contents(archive: Archive, identity: WheelIdentity) -> WheelContents:
    dist_info = archive.dist_infos[0]
    contents = WheelContents(
        dist_info_dir=dist_info,
        data_dir=f"{dist_info.removesuffix('.dist-info')}.data",
        root_is_purelib=identity.wheel_file.root_is_purelib == "true",
    )
    contents.add_record_rows(record_rows(archive.metadata_file("RECORD") or ""))
    contents.validate_tree()
    return contents
