"""Find files of the package that no interpreter uses, with check-wheel-contents."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from check_wheel_contents.checker import WheelChecker
from check_wheel_contents.checks import Check
from check_wheel_contents.contents import WheelContents
from check_wheel_contents.errors import WheelValidationError

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
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
            message = f"{failure.check.value} (check-wheel-contents {failure.check.name})"
            yield catalogue().cause("stray-file", path, message, check=failure.check.name)


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
