"""Inspect the wheels of one release together: whether all exist and have the same source."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from verification.models.cause import Cause, sorted_causes
from verification.models.inspection import ReleaseInspection, WheelInspection
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import open_wheel
from verification.wheel.sources import is_public
from verification.wheel.tags import (
    declared_platform,
    matching_platform,
    may_fit,
    parse_tags,
    undeclared_platforms,
)
from verification.wheel.wheel_inspection import Modules, inspect_wheel
from verification.wheel.wording import listing


def inspect_release(
    wheels: Iterable[Path], subject: Subject, modules: Modules | None = None
) -> ReleaseInspection:
    """Read each wheel once and inspect it by all rules, alone and with the others.

    ``modules`` are the top-level modules of the distributions that the release may depend on.

    Raises:
        BadWheel: one of the files is no wheel at all.
    """
    paths = tuple(wheels)
    additional = _additional([path.name for path in paths], subject)
    inspections = tuple(
        inspect_wheel(open_wheel(path), subject, modules, additional=path.name in additional)
        for path in paths
    )
    return ReleaseInspection(wheels=inspections, causes=release_causes(inspections, subject))


def narrow(inspection: ReleaseInspection, subject: Subject) -> ReleaseInspection:
    """Return the inspection of the wheels for the platforms of ``subject``, without the others.

    ``subject`` is the subject of the inspection with fewer platforms. No wheel is read again.
    """
    wheels = tuple(
        wheel for wheel in inspection.wheels if may_fit(parse_tags(wheel.tags), subject.platforms)
    )
    return ReleaseInspection(wheels=wheels, causes=release_causes(wheels, subject))


def release_causes(wheels: Sequence[WheelInspection], subject: Subject) -> tuple[Cause, ...]:
    """Return what is wrong with the wheels of a release as a set."""
    return sorted_causes(
        [
            *_incomplete(wheels, subject),
            *_same_tags(wheels, subject),
            *_different_sources(wheels, subject),
        ]
    )


def _additional(names: Sequence[str], subject: Subject) -> frozenset[str]:
    """Return the wheels that the subject does not declare and that are judged by their own tags.

    They are for platforms with a declared wheel, or for platforms that it does not declare.
    """
    declared = {name: declared_platform(name, subject) for name in names}
    provided = {platform for platform in declared.values() if platform}
    additional = set()
    for name in (name for name, platform in declared.items() if platform is None):
        try:
            tags = parse_wheel_filename(name)[3]
        except InvalidWheelFilename:
            continue
        matching = {matching_platform(tag.platform, subject.platforms) for tag in tags}
        if provided.issuperset(matching) or undeclared_platforms(tags, subject):
            additional.add(name)
    return frozenset(additional)


def _incomplete(wheels: Iterable[WheelInspection], subject: Subject) -> Iterator[Cause]:
    provided = {wheel.platform for wheel in wheels}
    for wheel in wheels:
        if wheel.platform is None:
            observed = "is for no platform of the release"
            yield catalogue().cause("incomplete-release", where=wheel.file, observed=observed)
    for platform in subject.platforms:
        if platform.required and platform.tag not in provided:
            yield _release_cause(
                "incomplete-release", subject, f"holds no wheel for {platform.tag}"
            )


def _same_tags(wheels: Iterable[WheelInspection], subject: Subject) -> Iterator[Cause]:
    """Yield for each platform a tag that several wheels have."""
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for wheel in wheels:
        for tag in wheel.tags:
            if wheel.platform:
                files[wheel.platform][tag].append(wheel.file)
    for by_tag in files.values():
        for tag, names in by_tag.items():
            if len(names) > 1:
                observed = f"holds {len(names)} wheels for {tag}: {', '.join(sorted(names))}"
                yield _release_cause("incomplete-release", subject, observed)
                break


def _different_sources(wheels: Sequence[WheelInspection], subject: Subject) -> Iterator[Cause]:
    versions = sorted({wheel.version for wheel in wheels})
    if len(versions) > 1:
        observed = f"holds wheels of {len(versions)} versions: {', '.join(versions)}"
        yield _release_cause("version-mismatch", subject, observed)
        return
    # The others are compared with a declared wheel.
    known = sorted((one for one in wheels if one.platform), key=lambda one: one.additional)
    for other in known[1:]:
        for observed in _differences(known[0], other):
            yield catalogue().cause("wheels-differ", where=other.file, observed=observed)


def _differences(first: WheelInspection, other: WheelInspection) -> Iterator[str]:
    """Yield how a wheel is of another source than the first."""
    for field, one, two in (
        ("Requires-Dist", first.requires, other.requires),
        ("Requires-Python", (first.requires_python,), (other.requires_python,)),
        ("Provides-Extra", first.extras, other.extras),
    ):
        if differing := {_normalized(text) for text in one} ^ {_normalized(text) for text in two}:
            yield f"has another {field} than {first.file} ({listing(sorted(differing))})"
    common = first.sources.keys() & other.sources.keys()
    if changed := sorted(path for path in common if first.sources[path] != other.sources[path]):
        yield f"has other code than {first.file} in {listing(changed)}"
    if absent := sorted(filter(is_public, first.sources.keys() - other.sources.keys())):
        yield f"has no {listing(absent)}, which {first.file} has"
    if added := sorted(filter(is_public, other.sources.keys() - first.sources.keys())):
        yield f"has {listing(added)}, which {first.file} has not"


def _normalized(text: str | None) -> str:
    """Return a line of METADATA without what does not change its meaning."""
    return re.sub(r"\s+|[()]", "", text or "nothing").replace("'", '"')


def _release_cause(name: str, subject: Subject, observed: str) -> Cause:
    return catalogue().cause(name, where=f"release of {subject.name}", observed=observed)
