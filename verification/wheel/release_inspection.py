"""Inspect the wheels of one release: each wheel, completeness, and equal source."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from verification.models.base import Model
from verification.models.cause import Cause, FactValue, sorted_causes
from verification.models.inspection import (
    BundledLibraries,
    ReleaseInspection,
    WheelContents,
    WheelInspection,
)
from verification.models.machine import OperatingSystem
from verification.models.release import project_and_version
from verification.models.subject import PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel import contained, contents
from verification.wheel.archive import open_wheel
from verification.wheel.contained import InspectionFailed
from verification.wheel.errors import BadWheel
from verification.wheel.library_names import has_hash, is_extension_module, is_library_name
from verification.wheel.modules import Distributions
from verification.wheel.sources import is_public
from verification.wheel.tags import (
    declared_platform,
    matching_platform,
    may_fit,
    parse_tags,
    undeclared_platforms,
)
from verification.wheel.wheel_inspection import inspect_wheel
from verification.wheel.wording import listing


def inspect_release(
    wheels: Iterable[Path],
    subject: Subject,
    distributions: Distributions | None = None,
    *,
    published: bool = False,
) -> ReleaseInspection:
    """Read each wheel once, apply all rules to it, and apply the rules for the release.

    A child process with limits reads the wheels.

    ``distributions`` are those that the release may depend on; None if none is known. The rules of
    the index for uploads do not apply to a ``published`` release.

    Raises:
        BadWheel: one of the files is not a wheel.
        WheelTooLarge: one of the wheels unpacks to more than a limit.
        InspectionFailed: the inspection of a wheel crashed, or met a limit.
    """
    paths = tuple(wheels)
    additional = _additional([path.name for path in paths], subject)

    def inspect(path: Path) -> _InspectedWheel:
        return _InspectedWheel.of(
            inspect_wheel(
                open_wheel(path),
                subject,
                distributions,
                additional=path.name in additional,
                published=published,
            )
        )

    inspected = contained.read(inspect, paths, _InspectedWheel)
    inspections = tuple(wheel.inspection() for wheel in inspected)
    return ReleaseInspection(wheels=inspections, causes=release_causes(inspections, subject))


class _InspectedWheel(Model):
    """What the child process sends for a wheel."""

    wheel: WheelInspection
    contents: WheelContents | None
    """The contents, which the JSON of `wheel` does not have."""

    @classmethod
    def of(cls, wheel: WheelInspection) -> Self:
        return cls(wheel=wheel, contents=wheel.contents)

    def inspection(self) -> WheelInspection:
        return self.wheel.model_copy(update={"contents": self.contents})


def with_changes(
    inspection: ReleaseInspection, earlier: Iterable[Path], subject: Subject
) -> ReleaseInspection:
    """Return the inspection with a note on each declared wheel with other contents than before.

    ``earlier`` are the files of earlier releases. A wheel is compared with the newest earlier wheel
    for its platform. A file that cannot be read as a wheel is left out. A child process with limits
    reads the files.
    """
    newest: dict[str, Path] = {}
    wheel_paths = (path for path in earlier if path.suffix == ".whl")
    for path in sorted(wheel_paths, key=project_and_version):
        if platform := declared_platform(path.name, subject):
            newest[platform.tag] = path
    before = dict(_earlier_contents(newest, inspection, subject))
    wheels = (_with_changes(wheel, before.get(wheel.platform or "")) for wheel in inspection.wheels)
    return inspection.model_copy(update={"wheels": tuple(wheels)})


def _earlier_contents(
    newest: Mapping[str, Path], inspection: ReleaseInspection, subject: Subject
) -> Iterator[tuple[str, WheelContents]]:
    """Yield the platform and the contents of each earlier wheel that can be read."""

    def inspect(path: Path) -> _InspectedWheel:
        return _InspectedWheel.of(inspect_wheel(open_wheel(path), subject))

    platforms = {wheel.platform for wheel in inspection.wheels if not wheel.additional}
    for platform, path in newest.items():
        if platform not in platforms:
            continue
        try:
            (earlier,) = contained.read(inspect, [path], _InspectedWheel)
        except (BadWheel, InspectionFailed):
            continue
        if earlier.contents:
            yield platform, earlier.contents


def _with_changes(wheel: WheelInspection, before: WheelContents | None) -> WheelInspection:
    if wheel.additional or wheel.contents is None or before is None:
        return wheel
    note = contents.changes_cause(wheel.contents, before)
    causes = (*wheel.causes, note) if note else wheel.causes
    return wheel.model_copy(update={"causes": sorted_causes(causes)})


def narrow(inspection: ReleaseInspection, subject: Subject) -> ReleaseInspection:
    """Return the inspection of the wheels for the platforms of ``subject``, without the others.

    ``subject`` is the inspected subject with fewer platforms. This function does not read a wheel.
    """
    wheels = tuple(
        wheel for wheel in inspection.wheels if may_fit(parse_tags(wheel.tags), subject.platforms)
    )
    return ReleaseInspection(wheels=wheels, causes=release_causes(wheels, subject))


def top_level_names(inspection: ReleaseInspection) -> tuple[str, ...]:
    """Return the names of the top-level modules and folders that the wheels install."""
    tops = {path.partition("/")[0] for wheel in inspection.wheels for path in wheel.files}
    suffixes = (".dist-info", ".data", ".libs")
    return tuple(sorted({top.partition(".")[0] for top in tops if not top.endswith(suffixes)}))


def bundled_libraries(inspection: ReleaseInspection, subject: Subject) -> BundledLibraries:
    """Return the libraries that a program could confuse with others of the same name.

    They are the declared libraries of a system, or else those in the wheels for it. The interpreter
    opens extension modules by their paths, and no other package has a name with a hash.
    """
    declared = {
        (platform.target.machine_system, posixpath.basename(library))
        for platform in subject.platforms
        for library in platform.libraries
        if _is_shared(library)
    }
    in_wheels = {
        (PlatformTarget.of(tag.rpartition("-")[2]).machine_system, posixpath.basename(path))
        for wheel in inspection.wheels
        for tag in wheel.tags
        for library in wheel.libraries
        for path in library.paths
        if _is_shared(path, library.soname)
    }
    systems: tuple[OperatingSystem, ...] = ("linux", "windows")
    return {
        system: tuple(
            sorted(name for owner, name in declared if owner == system)
            or sorted(name for owner, name in in_wheels if owner == system)
        )
        for system in systems
    }


def _is_shared(path: str, soname: str | None = None) -> bool:
    """Return whether a system's loader searches for a library by its name.

    A file with the suffix ``.so`` alone can be an extension module, which has no SONAME.
    """
    name = posixpath.basename(path)
    if is_extension_module(path) or not is_library_name(name) or has_hash(name):
        return False
    return bool(soname) or name.startswith("lib") or not name.endswith(".so")


def release_causes(wheels: Sequence[WheelInspection], subject: Subject) -> tuple[Cause, ...]:
    """Return the causes of a release as a set of wheels."""
    return sorted_causes(
        [
            *_incomplete(wheels, subject),
            *_same_tags(wheels, subject),
            *_different_sources(wheels, subject),
        ]
    )


def _additional(names: Sequence[str], subject: Subject) -> frozenset[str]:
    """Return the file names of the additional wheels, which are inspected by the tags they have.

    An undeclared wheel is additional if the release has the declared wheel for each of its
    platforms, or if the subject declares none of them. Otherwise it is a fault: it can be a
    declared wheel with a wrong tag. A wheel for any platform is additional if the release has all
    required wheels and the package has code in Python to use instead of its native code, which is
    assumed if the subject declares no libraries.
    """
    declared = {name: declared_platform(name, subject) for name in names}
    provided = {platform for platform in declared.values() if platform}
    required = {platform for platform in subject.platforms if platform.required}
    has_libraries = any(platform.libraries for platform in subject.platforms)
    may_be_pure = not has_libraries and provided >= required
    additional = set()
    for name in (name for name, platform in declared.items() if platform is None):
        try:
            tags = parse_wheel_filename(name)[3]
        except InvalidWheelFilename:
            continue
        matching = {matching_platform(tag.platform, subject.platforms) for tag in tags}
        is_pure = all(tag.platform == "any" for tag in tags) and may_be_pure
        if is_pure or provided.issuperset(matching) or undeclared_platforms(tags, subject):
            additional.add(name)
    return frozenset(additional)


def _incomplete(wheels: Iterable[WheelInspection], subject: Subject) -> Iterator[Cause]:
    provided = {wheel.platform for wheel in wheels}
    for wheel in wheels:
        if wheel.platform is None and not wheel.additional:
            message = "fits no platform of the release"
            yield catalogue().cause("incomplete-release", wheel.file, message)
    for platform in subject.platforms:
        if platform.required and platform.tag not in provided:
            message = f"has no wheel for {platform.tag}"
            yield _release_cause("incomplete-release", subject, message, missing=platform.tag)


def _same_tags(wheels: Iterable[WheelInspection], subject: Subject) -> Iterator[Cause]:
    """Yield one cause for each platform on which several wheels have the same tag."""
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for wheel in wheels:
        for tag in wheel.tags:
            if wheel.platform:
                files[wheel.platform][tag].append(wheel.file)
    tags_of = {wheel.file: wheel.tags for wheel in wheels}
    for by_tag in files.values():
        for tag, names in by_tag.items():
            if len(names) > 1:
                message = f"has {len(names)} wheels for {tag}: {', '.join(sorted(names))}"
                # An installer accepts wheels of which one has more tags, and uses one of them.
                is_accepted = len({tags_of[name] for name in names}) == len(names)
                facts: dict[str, FactValue] = {"tag": tag, "files": tuple(sorted(names))}
                yield _release_cause(
                    "incomplete-release", subject, message, risk=is_accepted, **facts
                )
                break


def _different_sources(wheels: Sequence[WheelInspection], subject: Subject) -> Iterator[Cause]:
    versions = sorted({wheel.version for wheel in wheels})
    if len(versions) > 1:
        message = f"has wheels of {len(versions)} versions: {', '.join(versions)}"
        yield _release_cause("version-mismatch", subject, message, versions=tuple(versions))
        return
    # A declared wheel comes first. The other wheels are compared with it.
    known = sorted(
        (wheel for wheel in wheels if wheel.platform), key=lambda wheel: wheel.additional
    )
    for other in known[1:]:
        for message, part, values in _differences(known[0], other):
            yield catalogue().cause("wheels-differ", other.file, message, part=part, values=values)


def _differences(
    first: WheelInspection, other: WheelInspection
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield a message, the name of the part and its values for each difference of two wheels."""
    for field, first_texts, other_texts in (
        ("Requires-Dist", first.requires, other.requires),
        ("Requires-Python", (first.requires_python,), (other.requires_python,)),
        ("Provides-Extra", first.extras, other.extras),
    ):
        differing = sorted(
            set(map(contents.normalized, first_texts)) ^ set(map(contents.normalized, other_texts))
        )
        if differing:
            message = f"has another {field} than {first.file} ({listing(differing)})"
            yield message, field, tuple(differing)
    common = first.sources.keys() & other.sources.keys()
    if changed := sorted(path for path in common if first.sources[path] != other.sources[path]):
        message = f"has other code than {first.file} in {listing(changed)}"
        yield message, "changed modules", tuple(changed)
    if missing := sorted(filter(is_public, first.sources.keys() - other.sources.keys())):
        yield f"has no {listing(missing)}, but {first.file} has", "missing modules", tuple(missing)
    if added := sorted(filter(is_public, other.sources.keys() - first.sources.keys())):
        yield f"has {listing(added)}, but {first.file} does not", "added modules", tuple(added)


def _release_cause(
    name: str, subject: Subject, message: str, *, risk: bool = False, **facts: FactValue
) -> Cause:
    where = f"release of {subject.name}"
    return catalogue().cause(name, where, message, risk=risk, **facts)
