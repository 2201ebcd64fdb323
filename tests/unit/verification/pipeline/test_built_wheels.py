"""Tests of the source and of missing tasks; `test_wheel_transfer` has those of the platforms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.release_workflow import causes, repository
from verification.models.workflow import Event

DISPATCHED = """
on: {{workflow_dispatch: {{inputs: {{tag: {{type: string}}}}}}}}
jobs:
  build:
    strategy: {{matrix: {{os: [ubuntu-latest, windows-latest]}}}}
    runs-on: ${{{{ matrix.os }}}}
    steps:
      - uses: actions/checkout@v5
        with: {{{checkout}}}
      - uses: pypa/cibuildwheel@v3
        with: {{package-dir: bindings/python}}
      - uses: actions/upload-artifact@v5
        with: {{name: "wheels-${{{{ matrix.os }}}}", path: wheelhouse}}
  publish:
    needs: build
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {{id-token: write, contents: write}}
    steps:
      - uses: actions/download-artifact@v5
        with: {{pattern: wheels-*, merge-multiple: true, path: dist}}
      - uses: pypa/gh-action-pypi-publish@v1.13.0
      - run: {last}
        env: {{GH_TOKEN: "${{{{ github.token }}}}"}}
"""
EVENT = Event(name="workflow_dispatch", ref="refs/heads/main", inputs={"tag": "v0.5.0"})


def broken(folder: Path, text: str, event: Event | None = None) -> list[str]:
    """Return the names of the *broken* causes of a workflow, without those of installations."""
    found = causes(repository(folder, text), event=event)
    names = [cause.name for cause in found if cause.severity == "broken"]
    return [name for name in names if name != "unpinned-install"]


@pytest.mark.parametrize(
    ("checkout", "last", "expected"),
    [
        ("ref: '${{ inputs.tag }}'", "ls", []),
        ("ref: '${{ github.event.inputs.tag }}'", "ls", []),
        ("ref: 'refs/tags/${{ inputs.tag }}'", "ls", []),
        ("ref: main", "ls", ["wrong-source"]),
        ("fetch-depth: 0", "ls", ["wrong-source"]),
        # The workflow makes the tag from the commit of the event.
        ("fetch-depth: 0", "gh release create v0.5.0", []),
        ("ref: '${{ vars.REF }}'", "ls", []),
        ("repository: other/project", "ls", ["wrong-source"]),
        ("repository: other/project, path: other", "ls", []),
        ("repository: '${{ github.repository }}', ref: '${{ inputs.tag }}'", "ls", []),
    ],
)
def test_source_is_the_commit_that_the_event_names(
    checkout: str, last: str, expected: list[str], tmp_path: Path
) -> None:
    assert broken(tmp_path, DISPATCHED.format(checkout=checkout, last=last), EVENT) == expected


EMPTY = """
on: {{push: {{tags: ["v*"]}}}}
jobs:
  all:
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {{id-token: write}}
    steps:
      - run: {first}
      - run: {second}
"""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("echo no build", "uv publish", ["step-missing"]),
        ("make wheels", "uv publish", []),
        ("python -m build", "ls dist", ["step-missing"]),
        ("python -m build", "./upload.sh", []),
    ],
)
def test_missing_task_is_broken_only_if_each_step_is_understood(
    first: str, second: str, expected: list[str], tmp_path: Path
) -> None:
    names = broken(tmp_path, EMPTY.format(first=first, second=second))

    assert [name for name in names if name == "step-missing"] == expected


KEPT = """
on: {{push: {{tags: ["v*"]}}}}
jobs:
  linux:
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {{id-token: write}}
    steps:
      - run: cibuildwheel bindings/python
      - run: twine upload wheelhouse/*
  windows:
    runs-on: windows-latest
    environment: pypi
    permissions: {{id-token: write}}
    steps:
      - run: cibuildwheel bindings/python
      - {{run: twine upload wheelhouse/*, if: {condition}}}
"""


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("github.ref_type == 'tag'", False), ("github.ref_type == 'branch'", True)],
)
def test_wheel_that_is_neither_uploaded_nor_published_is_lost(
    condition: str, expected: bool, tmp_path: Path
) -> None:
    names = broken(tmp_path, KEPT.format(condition=condition))

    assert ("artifact-lost" in names) is expected


EXPERIMENTAL = """
on: {{push: {{tags: ["v*"]}}}}
jobs:
  build:
    strategy:
      matrix:
        include:
          - {{os: ubuntu-latest, experimental: false}}
          - {{os: {os}, experimental: true}}
          {more}
    runs-on: ${{{{ matrix.os }}}}
    continue-on-error: ${{{{ matrix.experimental }}}}
    steps:
      - uses: actions/checkout@v5
      - uses: pypa/cibuildwheel@v3
        with: {{package-dir: bindings/python}}
      - uses: actions/upload-artifact@v5
        with: {{name: "wheels-${{{{ strategy.job-index }}}}", path: wheelhouse}}
  publish:
    needs: build
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {{id-token: write}}
    steps:
      - uses: actions/download-artifact@v5
        with: {{pattern: wheels-*, merge-multiple: true, path: dist}}
      - uses: pypa/gh-action-pypi-publish@v1.13.0
"""
WINDOWS = "- {os: windows-latest, experimental: false}"


@pytest.mark.parametrize(
    ("os", "more", "severity"),
    [
        ("windows-latest", "", "broken"),
        ("macos-15", WINDOWS, "flawed"),
        ("ubuntu-24.04-arm", WINDOWS, "flawed"),
        ("windows-2022", WINDOWS, "flawed"),
    ],
)
def test_experimental_build_is_broken_if_it_alone_builds_a_platform(
    os: str, more: str, severity: str, tmp_path: Path
) -> None:
    found = causes(repository(tmp_path, EXPERIMENTAL.format(os=os, more=more)))

    assert [c.severity for c in found if c.name == "failure-ignored"] == [severity]
    broken_names = {cause.name for cause in found if cause.severity == "broken"}
    assert broken_names == ({"failure-ignored"} if severity == "broken" else set())
