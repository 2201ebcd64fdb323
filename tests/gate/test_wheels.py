"""The wheels as files: what is wrong with them is seen before any machine starts."""

from __future__ import annotations

from tests.gate.expect import no_cause, no_other_cause
from verification.models.inspection import ReleaseInspection
from verification.session.suite import Suite

RELEASE = ("incomplete-release", "version-mismatch")
CONTENTS = ("record-mismatch", "stray-top-level", "duplicate-library", "missing-bundled-library")
TAGS = ("tag-mismatch", "unsupported-platform", "unsupported-python", "wrong-architecture")
CLOSURE = ("missing-runtime-library", "symbol-not-found", "glibc-floor", "libstdcxx-floor")
METADATA = ("missing-dependency", "metadata-incomplete")


def test_the_release_has_a_wheel_for_each_platform(suite: Suite, static: ReleaseInspection) -> None:
    assert {wheel.platform for wheel in static.wheels} != {None}
    no_cause(static.all_causes, *RELEASE, strict=suite.selection.strict)


def test_the_wheels_hold_what_record_says_and_nothing_else(
    suite: Suite, static: ReleaseInspection
) -> None:
    assert all(wheel.files for wheel in static.wheels)
    no_cause(static.all_causes, *CONTENTS, strict=suite.selection.strict)


def test_the_tags_tell_the_truth(suite: Suite, static: ReleaseInspection) -> None:
    assert all(wheel.tags for wheel in static.wheels)
    no_cause(static.all_causes, *TAGS, strict=suite.selection.strict)


def test_the_libraries_find_all_they_load(suite: Suite, static: ReleaseInspection) -> None:
    assert any(wheel.libraries for wheel in static.wheels), "there is no native library at all"
    no_cause(static.all_causes, *CLOSURE, strict=suite.selection.strict)


def test_the_metadata_names_every_dependency(suite: Suite, static: ReleaseInspection) -> None:
    no_cause(static.all_causes, *METADATA, strict=suite.selection.strict)


def test_nothing_else_is_wrong_with_the_wheels(suite: Suite, static: ReleaseInspection) -> None:
    known = {*RELEASE, *CONTENTS, *TAGS, *CLOSURE, *METADATA}
    no_other_cause(static.all_causes, known, strict=suite.selection.strict)
