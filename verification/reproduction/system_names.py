"""Understand the name of a system, as people write it in bug reports and Dockerfiles."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from verification.models.base import Model, read_tables, read_toml

_FOLDER = Path(__file__).parent
_SYSTEMS = _FOLDER / "systems.toml"
_NAMES = _FOLDER / "system_names.toml"
PROCESSORS = {
    "x86_64": "x86_64",
    "x86-64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "intel64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "arm64e": "aarch64",
    "armv8": "aarch64",
    "apple silicon": "aarch64",
    "apple m1": "aarch64",
    "apple m2": "aarch64",
    "apple m3": "aarch64",
    "apple m4": "aarch64",
    "armv7l": "armv7l",
    "armv7": "armv7l",
    "armhf": "armv7l",
    "arm32v7": "armv7l",
    "armv6l": "armv6l",
    "arm64v8": "aarch64",
    "i686": "i686",
    "i386": "i686",
    "i586": "i686",
    "x86": "i686",
    "win32": "i686",
    "32-bit": "i686",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
"""The name of each processor in platform tags, by the names that users write."""
_FILLERS = r"(?: ?(?:linux|gnu|os|server|stream|leap|home|pro|nt|release|version|ver|lts)\b)*"
_PYTHON = re.compile(r"(?<![a-z])python ?v?(3\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+)?t?)(?![\w.])")
_FIRST_WINDOWS_11 = (10, 0, 22000)
"""The first build of Windows 11 (Microsoft, Windows 11 release information)."""
_PROCESSOR = re.compile(
    r"(?<![a-z0-9])(?:"
    + "|".join(
        re.escape(name)
        for name in sorted(PROCESSORS, key=len, reverse=True)
        if name != "win32"  # the sys.platform of every Windows
    )
    + r")(?![a-z0-9_])"
)


class System(Model):
    """One system of systems.toml."""

    name: str
    title: str
    os: Literal["linux", "windows", "macos", "other"]
    family: str
    """Systems with the same kind of packages. If `os` is other, its platform tags start with it."""
    glibc: str
    """The C library of Linux: the version of glibc, or ``musl``; empty if it changes, and
    elsewhere."""


class Product(Model):
    """A system with its versions, as users name it."""

    title: str
    names: tuple[str, ...]
    systems: Mapping[str, str]
    """The name of the system by version; the key "" is for a text without a version."""
    codenames: Mapping[str, str] = Field(default_factory=dict)
    note: str = ""


class Environment(Model):
    """Something that contains a system, such as WSL or a CI service."""

    title: str
    names: tuple[str, ...]
    default: str
    """The name of the system if the text names none."""
    note: str
    decisive: bool
    processor: str = ""
    os: Literal["", "linux"] = ""
    """The operating system that it contains; empty for any."""


class _Names(Model):
    environments: Mapping[str, Environment]
    products: Mapping[str, Product]


class Difference(NamedTuple):
    """A difference between a machine or system and the one of the bug report."""

    text: str
    weight: int = 0
    """The part of the distance between the two."""
    decisive: bool = False
    """True if a release could work on one of the two and fail on the other."""


class NamedSystem(NamedTuple):
    """What a text says about a system."""

    system: System
    title: str
    """The system with the version that the text names."""
    version: tuple[int, ...] = ()
    processor: str = ""
    """The processor in the form of platform tags; empty if the text names none."""
    python: str = ""
    """The version of Python; empty if the text names none."""
    differences: tuple[Difference, ...] = ()


def systems(path: Path = _SYSTEMS) -> Mapping[str, System]:
    """Return the systems by name.

    Raises:
        DataError: the file cannot be read, or a system does not fit the model.
    """
    return read_tables(System, path)


@functools.cache
def _names() -> _Names:
    return read_toml(_Names, _NAMES)


def named_system(text: str) -> NamedSystem | None:
    """Return what a text says about a system; None if no known system is in it."""
    known = systems()
    lower = text.lower()
    processor = _PROCESSOR.search(lower)
    words = _words(_PROCESSOR.sub(" ", lower))
    python = _PYTHON.search(words)
    version = python[1] if python else ""
    if exact := known.get(re.sub(r"[\s_:]+", "-", lower.strip())):
        return NamedSystem(exact, exact.title, python=version)
    words = _PYTHON.sub("python", words)
    environments = _names().environments.values()
    environment = next((item for item in environments if _name_in(item, words)), None)
    found = _product(words, environment, known)
    if found is None and environment is None:
        return None
    if found is None:
        assert environment
        found = NamedSystem(known[environment.default], "")
    if environment:
        assumed = "" if found.title else f"; {found.system.title} is assumed"
        note = Difference(f"{environment.note}{assumed}", decisive=environment.decisive)
        found = found._replace(
            title=", ".join(filter(None, (environment.title, found.title))),
            differences=(*found.differences, note),
        )
    name = PROCESSORS[processor[0]] if processor else ""
    if not name and found.system.os == "windows" and _has_word("arm", words):
        name = "aarch64"
    if environment and environment.processor:
        name = {"": environment.processor, "i686": "armv7l"}.get(name, name)
    return found._replace(processor=name, python=version)


def names() -> list[str]:
    """Return the names of all systems and environments, in lower case."""
    return sorted({*systems(), *(name for item in _items() for name in item.names)})


def titles() -> list[str]:
    """Return the usual names of all systems and environments that a text can name."""
    return list(dict.fromkeys(item.title for item in _items()))


def _items() -> list[Product | Environment]:
    return [*_names().products.values(), *_names().environments.values()]


def _words(text: str) -> str:
    """Return a text as words. A full stop, as in a version, is part of a word."""
    return " ".join(re.sub(r"[^\w.!]|_", " ", text).split())


def _name_in(item: Product | Environment, words: str) -> str:
    """Return the name of a system or environment that is in the words; empty if none is."""
    return next((name for name in item.names if _has_word(name, words)), "")


def _has_word(name: str, words: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z])", words) is not None


def _product(
    words: str, environment: Environment | None, known: Mapping[str, System]
) -> NamedSystem | None:
    """Return the system of the product in the words; None if there is no product."""
    products = [
        product
        for product in _names().products.values()
        if not environment or environment.os in ("", known[product.systems[""]].os)
    ]
    named = [(product, name) for product in products if (name := _name_in(product, words))]
    coded = [product for product in products if _codename(product, words)]
    # The word Python is in most texts, and names a system only if no other word does.
    if named and named[0][0].names != ("python",):
        product, name = named[0]
        version = _version_after(name, words) or _codename(product, words)
    elif coded:
        product, version = coded[0], _codename(coded[0], words)
    elif named and not environment:
        product, version = named[0][0], ""
    else:
        return None
    return _versioned(product, version, known)


def _codename(product: Product, words: str) -> str:
    """Return the version whose code name is in the words; empty if none is."""
    return next(
        (version for name, version in product.codenames.items() if _has_word(name, words)), ""
    )


def _version_after(name: str, words: str) -> str:
    pattern = rf"(?<![a-z0-9]){re.escape(name)}{_FILLERS} ?v?(\d+(?:\.\d+)*)(?!\d|h\d)"
    match = re.search(pattern, words)
    return match[1] if match else ""


def _versioned(product: Product, version: str, known: Mapping[str, System]) -> NamedSystem:
    if product.title == "Windows" and version.count(".") > 1:
        is_11 = _numbers(version) >= _FIRST_WINDOWS_11
        version = "11" if is_11 else version.partition(".")[0]
    note = (Difference(product.note, decisive=True),) if product.note else ()
    versions = [key for key in product.systems if key]
    if not version or not versions:
        system = known[product.systems[""]]
        # The number after the name of a distribution without versions is that of the kernel.
        title = product.title if system.os == "linux" else f"{product.title} {version}".strip()
        assumed = Difference(f"the version is not named; {system.title} is assumed")
        differences = (assumed, *note) if versions and system.os == "linux" else note
        return NamedSystem(system, title, _numbers(version), differences=differences)
    exact = next((key for key in versions if f"{version}.".startswith(f"{key}.")), "")
    nearest = exact or min(versions, key=lambda key: _distance(key, version))
    system = known[product.systems[nearest]]
    title = f"{product.title} {version}"
    if exact == version and system.title.startswith(product.title):
        title = system.title
    if not exact:
        text = f"{title} is not known; the nearest known version is {nearest}"
        note = (Difference(text, decisive=True), *note)
    return NamedSystem(system, title, _numbers(version), differences=note)


def _distance(one: str, other: str) -> tuple[int, ...]:
    """Return the difference of two versions, number by number."""
    pairs = zip((*_numbers(one), 0, 0)[:2], (*_numbers(other), 0, 0)[:2], strict=True)
    return tuple(abs(first - second) for first, second in pairs)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
