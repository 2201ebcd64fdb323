"""A recipe: the inputs of an image, and the hash of all these inputs.

A recipe is a folder ``images/<name>/`` with a ``recipe.toml``. Most recipes also have a
``Dockerfile`` and the files that it copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from verification.models.base import DataError, Model, load_toml, validate
from verification.models.errors import WrongUse

RECIPES = Path(__file__).parent / "images"
REPOSITORY = "quiverdb-e2e"
_FORMAT_VERSION = b"2"
"""Increase it when `images` builds a different image from the same recipe."""
# The files that are not shared with `Recipe.like`.
_UNSHARED_FILES = ("recipe.toml", "requirements.in", "requirements.txt")
# The platforms of our Debian images: each glibc that is not newer than theirs.
LINUX_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
# The platforms of images with musl, such as Alpine.
MUSL_PLATFORMS = ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64")


class Recipe(Model):
    """The inputs of an image, which is built from Debian packages, a registry or another recipe."""

    name: str
    suite: str | None = None
    """The Debian suite of ``packages``. With a ``base``, it is that of the base."""
    packages: tuple[str, ...] = ()
    """The Debian packages: those of a new system, or those that are added to the base."""
    registry: str | None = None
    """An image of a registry, with its digest (name@sha256:...)."""
    base: str | None = None
    """The recipe of the base image."""
    python: str = "3.13"
    """The version of Python for which the wheels of ``requirements.txt`` are downloaded."""
    platforms: tuple[str, ...] = LINUX_PLATFORMS
    """The platform tags for which these wheels are downloaded."""
    copies: tuple[str, ...] = ()
    """Additional folders or files for the Dockerfile, relative to the repository's root."""
    unused_node_packages: tuple[str, ...] = ()
    """The packages of ``package-lock.json`` that the image does not need at run time."""
    os: Literal["linux", "windows"] = "linux"
    """The kind of containers that the engine must run."""
    lock: str | None = None
    """A file that replaces ``requirements.txt``, relative to the repository's root."""
    source: tuple[str, ...] = ()
    """A Debian suite, then source packages. Their files are in ``source/`` of the build context."""
    source_else: tuple[str, ...] = ()
    """The suites that are tried next if the archive does not have a source package."""
    uses: Mapping[str, str] = Field(default_factory=dict)
    """The recipes whose images the Dockerfile copies from, by the build argument for their tag."""
    like: str | None = None
    """A recipe whose files are used too. Files of this recipe replace files of the same name."""
    arguments: Mapping[str, str] = Field(default_factory=dict)
    """Further build arguments."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.suite or self.registry or self.base):
            raise ValueError("set one of suite, registry and base")
        if self.registry and "@sha256:" not in self.registry:
            raise ValueError("registry must contain a digest (name@sha256:...)")
        if self.packages and not (self.suite or self.base):
            raise ValueError("packages need a suite or a base")
        if len(self.source) == 1:
            raise ValueError("source must be a suite and packages: ['trixie', 'python3.13']")
        if self.like and not (RECIPES / self.like / "Dockerfile").is_file():
            raise ValueError(f"like: the recipe {self.like} has no Dockerfile")
        if self.lock and not self.requirements.is_file():
            raise ValueError(f"lock: the file {self.lock} does not exist")
        return self

    @property
    def folder(self) -> Path:
        """The folder with ``recipe.toml``, the Dockerfile and the files that it copies."""
        return RECIPES / self.name

    @property
    def requirements(self) -> Path:
        """The file that lists the wheels to download. It is optional."""
        return RECIPES.parent.parent / self.lock if self.lock else self.folder / "requirements.txt"

    @property
    def has_dockerfile(self) -> bool:
        """True if a Dockerfile extends the base image."""
        return any(name == "Dockerfile" for name, _ in self.files())

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the name within the build context and the path of each file of the context."""
        paths: dict[str, Path] = {}
        if self.like:
            shared = RECIPES / self.like
            paths = {
                str(path.relative_to(shared)): path
                for path in _walk(shared)
                if path.name not in _UNSHARED_FILES
            }
        paths |= {str(path.relative_to(self.folder)): path for path in _walk(self.folder)}
        yield from sorted(paths.items(), key=lambda file: Path(file[0]))
        root = RECIPES.parent.parent
        for name in self.copies:
            for path in _walk(root / name):
                yield f"copies/{path.relative_to(root)}", path

    def required_recipes(self) -> list[str]:
        """Return the names of the recipes whose images must exist first."""
        return [*filter(None, (self.base,)), *self.uses.values()]

    def debian_suite(self) -> str:
        """Return the Debian suite of the packages, or an empty string."""
        return self.suite or (load(self.base).debian_suite() if self.base else "")

    def content_hash(self) -> str:
        """Return the hash of all inputs of the image, 12 hexadecimal digits."""
        digest = hashlib.sha256(_FORMAT_VERSION)
        for name in self.required_recipes():
            digest.update(load(name).content_hash().encode())
        if self.lock:
            digest.update(self.requirements.read_bytes())
        for name, path in self.files():
            digest.update(f"\0{name}\0{path.stat().st_mode & 0o111:o}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def tag(self) -> str:
        """Return the name of the image of this recipe on an engine. It contains the hash."""
        return f"{REPOSITORY}/{self.name}:{self.content_hash()}"


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.parent.name for path in RECIPES.glob("*/recipe.toml"))


def load(name: str) -> Recipe:
    """Read one recipe.

    Raises:
        WrongUse: there is no recipe with this name, or its file is invalid.
    """
    path = RECIPES / name / "recipe.toml"
    if not path.is_file():
        raise WrongUse(f"unknown image {name!r}; known images: {', '.join(names())}")
    try:
        return validate(
            Recipe, {"name": name, **load_toml(path)}, f"{name}/{path.name}", supplied="name"
        )
    except DataError as error:
        raise WrongUse(str(error)) from None


def _walk(top: Path) -> list[Path]:
    if top.is_file():
        return [top]
    return sorted(
        path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
