"""Make the description and the smoke test of a package from the wheels of a release."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, get_args

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename

from verification.models.base import DataError, Model
from verification.models.machine import OperatingSystem
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.subjects import generated_smoke
from verification.wheel import imports, native_code
from verification.wheel.archive import Archive
from verification.wheel.dependencies import is_for_developers, run_environment
from verification.wheel.identity import WheelIdentity, identify
from verification.wheel.modules import extension_modules
from verification.wheel.tags import is_newer, oldest_platform_tag, python_tags

_SYS_PLATFORM = {"linux": "linux", "windows": "win32", "macos": "darwin"}
_PYTHON_FILES = (".py", ".so", ".pyd")


class GeneratedSubject(Model):
    """The text of the two files that describe a package."""

    description: str
    """subject.toml"""
    smoke_test: str
    """smoke.py"""

    def write(self, folder: Path) -> Path:
        """Write both files into a folder, and return the path of subject.toml."""
        folder.mkdir(parents=True, exist_ok=True)
        description = folder / "subject.toml"
        description.write_text(self.description, "utf-8")
        (folder / "smoke.py").write_text(self.smoke_test, "utf-8")
        return description


class Modules(NamedTuple):
    """The modules that a wheel installs."""

    packages: tuple[str, ...]
    """The packages and modules at the top level; of a namespace package those inside."""
    extensions: tuple[str, ...]
    """The full names of the extension modules."""
    optional: tuple[str, ...]
    """The extension modules that the package does without if their import fails."""


def generate(
    wheels: Iterable[Archive],
    python: str = "cp313",
    platforms: Sequence[str] = (),
    systems: Collection[OperatingSystem] = get_args(OperatingSystem),
) -> GeneratedSubject:
    """Return the description and the smoke test of the release with these wheels.

    Wheels for another Python than ``python`` are left out. So are musllinux wheels, because a
    subject has no platform for them: a machine with musl uses them as additional wheels.
    ``platforms`` are the tags of more platforms that the release promises. A wheel for any
    platform is described for each of them. ``systems`` are the operating systems of the machines
    with this Python. Wheels for platforms of other systems are only inspected.

    Raises:
        DataError: no wheel is for this Python and a known platform, or none installs a module.
    """
    subjects = [
        (wheel, _subject(wheel, tag, python))
        for wheel in sorted(wheels, key=lambda wheel: wheel.name)
        for tag in _platform_tags(wheel.name, python, platforms)
    ]
    if not subjects:
        raise DataError(f"no wheel has native code for {python}; add one to the folder")
    modules: dict[str, Modules] = {}
    for wheel, subject in subjects:
        system = _SYS_PLATFORM[subject.platforms[0].target.system]
        modules.setdefault(system, read_modules(wheel, subject))
    if not any(found.packages or found.extensions for found in modules.values()):
        raise DataError(
            f"{subjects[0][0].name} installs no module, only programs; the suite verifies packages "
            "that Python imports"
        )
    first = subjects[0][1]
    tags = [subject.platforms[0].tag for _, subject in subjects]
    declared = [
        Platform(tag=tag, execute=PlatformTarget.of(tag).machine_system in systems)
        for tag in (*tags, *platforms)
    ]
    return GeneratedSubject(
        description=_description(first, _one_of_each_kind(declared)),
        smoke_test=_smoke_test(first.name, modules),
    )


def read_modules(wheel: Archive, subject: Subject) -> Modules:
    """Return the modules that a wheel of this subject installs."""
    identity = identify(wheel, subject)
    exported = {
        path
        for library in native_code.gather(wheel, ())[0]
        if any(name.startswith("PyInit_") for name in library.exports)
        for path in library.paths
    }
    stems = {_module_name(path) for path in exported}
    names = {
        name.removesuffix(".__init__")
        for name in extension_modules(wheel, identity)
        if name in stems
    }
    extensions = sorted(names)
    optional = _optional_modules(wheel, subject, identity) | {
        name for name in extensions if is_for_developers(name.replace(".", "/"))
    }
    return Modules(
        packages=tuple(sorted(_packages(wheel, extensions))),
        extensions=tuple(extensions),
        optional=tuple(name for name in extensions if name in optional),
    )


def _optional_modules(wheel: Archive, subject: Subject, identity: WheelIdentity) -> set[str]:
    """Return the modules that the packages import only where they handle the failure."""
    environment = run_environment(identity, subject)
    tops = {path.split("/")[0].removesuffix(".py") for path in wheel.install_paths.values()}
    return {
        name for top in tops for name in imports.read_package(wheel, top, environment).optional(top)
    }


def _packages(wheel: Archive, extensions: Iterable[str]) -> set[str]:
    """Return the packages and modules at the top level; of a namespace package those inside."""
    packages: set[str] = set()
    for path in map(PurePosixPath, wheel.install_paths.values()):
        if path.suffix not in _PYTHON_FILES or path.parts[0].endswith(".data"):
            continue
        name = _module_name(str(path))
        if not all(map(str.isidentifier, name.split("."))):
            continue  # such as x.libs, x-stubs and x-1.0.dist-info
        parent, _, last = name.rpartition(".")
        if last == "__init__":
            packages.add(parent)
        elif not parent and (path.suffix == ".py" or name in extensions):
            packages.add(name)
    return {
        name
        for name in packages
        if not any(f"{name}.".startswith(f"{other}.") for other in packages - {name})
    }


def _module_name(path: str) -> str:
    file = PurePosixPath(path)
    return ".".join((*file.parts[:-1], file.name.partition(".")[0]))


def _main_package(name: str, wheel: Archive, packages: Iterable[str]) -> str:
    """Return the top-level module that has the name of the project, or else the most files."""
    tops = sorted({package.partition(".")[0] for package in packages})
    files = [path.split("/")[0].partition(".")[0] for path in wheel.install_paths.values()]
    return max(
        tops,
        key=lambda top: (canonicalize_name(top) == canonicalize_name(name), files.count(top)),
        default=name.replace("-", "_"),
    )


def native_platform(name: str, python: str) -> str:
    """Return the platform tag of a wheel with native code that this Python can install.

    Return an empty string for another Python, for an unknown platform and for a pure wheel.
    ``name`` is the file name of the wheel. ``python`` is an interpreter tag.
    """
    usable = _usable_tags(name, python)
    known = {tag for tag in usable if PlatformTarget.of(tag.platform).system in _SYS_PLATFORM}
    return oldest_platform_tag(known) if known else ""


def _usable_tags(name: str, python: str) -> frozenset[Tag]:
    tags = parse_wheel_filename(name)[3]
    subject = Subject.model_construct(python=python)
    return tags & python_tags(subject, {tag.platform for tag in tags})


def _platform_tags(name: str, python: str, platforms: Sequence[str]) -> Sequence[str]:
    """Return the platform tag of a wheel that this Python can install.

    The result has no tag for another Python, and ``platforms`` for a wheel for any platform.
    """
    if tag := native_platform(name, python):
        return [tag]
    is_for_any = any(tag.platform == "any" for tag in _usable_tags(name, python))
    return platforms if is_for_any else ()


def _subject(wheel: Archive, tag: str, python: str) -> Subject:
    """Return the subject with the only platform of a wheel."""
    name = parse_wheel_filename(wheel.name)[0]
    subject = Subject(
        name=name,
        import_package=name,
        python=python,
        platforms=(Platform(tag=tag),),
        exercise=Path("smoke.py"),
        dependencies=Path(),
    )
    extensions = extension_modules(wheel, identify(wheel, subject))
    packages = _packages(wheel, extensions) or extensions
    return subject.model_copy(update={"import_package": _main_package(name, wheel, packages)})


def _one_of_each_kind(platforms: Iterable[Platform]) -> list[Platform]:
    """Return one platform for each system and processor: the one with the newest C library."""
    chosen: list[Platform] = []
    for platform in platforms:
        same = next((other for other in chosen if other.fits(platform.tag)), None)
        if same is None:
            chosen.append(platform)
        elif is_newer(platform.tag, same):
            chosen[chosen.index(same)] = platform
    return chosen


def _description(subject: Subject, platforms: Sequence[Platform]) -> str:
    lines = [
        f"# {subject.name}, described by the wheels of one release.",
        f"name = {json.dumps(subject.name)}",
        f"import_package = {json.dumps(subject.import_package)}",
        f"python = {json.dumps(subject.python)}",
        f"exercise = {json.dumps(subject.exercise.name)}",
    ]
    for platform in platforms:
        lines += ["", "[[platforms]]", f"tag = {json.dumps(platform.tag)}"]
        lines += ["execute = false  # no machine runs it"] * (not platform.execute)
    return "\n".join(lines) + "\n"


def _smoke_test(name: str, modules: Mapping[str, Modules]) -> str:
    """Return the source of `generated_smoke` with the values of these modules."""
    text = inspect.getsource(generated_smoke)
    values = {
        'DISTRIBUTION = ""': f"DISTRIBUTION = {json.dumps(name)}",
        "PACKAGES: dict[str, list[str]] = {}": _table("PACKAGES", modules, 0),
        "EXTENSIONS: dict[str, list[str]] = {}": _table("EXTENSIONS", modules, 1),
        "OPTIONAL: dict[str, list[str]] = {}": _table("OPTIONAL", modules, 2),
    }
    for placeholder, value in values.items():
        text = text.replace(f"\n{placeholder}\n", f"\n{value}\n", 1)
    return text


def _table(name: str, modules: Mapping[str, Modules], field: int) -> str:
    value = json.dumps({system: of[field] for system, of in modules.items()}, indent=4)
    return f"{name}: dict[str, list[str]] = {value}"
