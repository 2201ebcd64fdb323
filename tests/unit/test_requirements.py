"""The lock files fit pyproject.toml, and all imports are declared."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
IMAGES = ROOT / "containers" / "images"
LOCKS = {
    "suite": ("suite",),
    "test": ("suite", "test"),
    "lint": ("suite", "test", "lint", "bindings"),
    "bindings": ("bindings",),
    "tox": ("tox",),
}
"""The dependency groups of each lock file."""


def _groups() -> dict[str, list[Requirement]]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups: dict[str, list[str]] = data["dependency-groups"]
    return {name: list(map(Requirement, lines)) for name, lines in groups.items()}


@functools.cache
def _locked(name: str) -> Mapping[str, list[Requirement]]:
    """Return the requirements of a lock file by project, and check that each has a hash."""
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    locked: dict[str, list[Requirement]] = {}
    for entry in re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "").splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", entry)
        assert hashes, f"{entry} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes)
        parsed = Requirement(requirement)
        locked.setdefault(canonicalize_name(parsed.name), []).append(parsed)
    return locked


# ---- the lock files ----


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_fits_its_groups(name: str) -> None:
    groups, locked = _groups(), _locked(name)
    for required in (requirement for group in LOCKS[name] for requirement in groups[group]):
        pins = locked.get(canonicalize_name(required.name), [])
        assert pins, f"{name}.txt has no {required.name}; run: tox run -e lock"
        for pin in pins:
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert required.specifier.contains(specifier.version, prereleases=True), (
                f"{name}.txt has {pin}, pyproject.toml requires {required}; run: tox run -e lock"
            )


def test_all_lock_files_and_groups_are_listed() -> None:
    assert {path.stem for path in REQUIREMENTS.iterdir()} == set(LOCKS)
    assert set().union(*LOCKS.values()) == set(_groups())


@pytest.mark.parametrize("name", sorted(set(LOCKS) - {"tox"}))
def test_the_lock_files_have_the_same_versions(name: str) -> None:
    largest = _locked("lint")
    for project, pins in _locked(name).items():
        allowed = {str(pin.specifier) for pin in largest[project]}
        assert {str(pin.specifier) for pin in pins} <= allowed, project


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_no_index(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|-i ", text)


def test_all_environments_are_installed_from_a_lock_file() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    environments = {name: tox[name].get("deps", "") for name in tox if name.startswith("testenv")}
    assert "--require-hashes" in tox["testenv"]["install_command"]
    assert "testenv:lint" in environments
    for name, line in environments.items():
        assert not any(key in tox[name] for key in ("dependency_groups", "extras")), name
        if line:
            (lock,) = re.findall(r"-r \{tox_root\}/requirements/(\w+)\.txt", line)
            assert lock in LOCKS


# ---- imports ----


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _undeclared(
    paths: Iterable[Path], declared: Iterable[Requirement], local: Iterable[str] = ()
) -> set[str]:
    known = {canonicalize_name(requirement.name) for requirement in declared}
    repository_modules = {"containers", "verification", "quiverdb", "_typeshed", *local}
    distributions = _distributions()
    return {
        f"{path.relative_to(ROOT)}: {module}"
        for path in paths
        for module in _imports(path)
        if module not in sys.stdlib_module_names and module not in repository_modules
        if known.isdisjoint(map(canonicalize_name, distributions.get(module, ())))
    }


def _product(*folders: str) -> list[Path]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert paths
    return [path for path in paths if IMAGES not in path.parents]


def test_all_imports_of_the_product_are_declared() -> None:
    assert _undeclared(_product("containers", "verification"), _groups()["suite"]) == set()


def test_all_imports_of_programs_in_images_are_declared_or_in_the_image() -> None:
    groups = _groups()
    modules = {path.name.removesuffix(".py") for path in IMAGES.glob("*")}
    for image in IMAGES.iterdir():
        file = image / "requirements.in"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        names = [line.partition("#")[0].strip() for line in lines]
        installed = [Requirement(line) for line in names if line and not line.startswith("-")]
        declared = [*groups["suite"], *groups["test"], *installed]
        assert _undeclared(image.rglob("*.py"), declared, modules) == set(), image.name
