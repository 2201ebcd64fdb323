"""The steps that existing files replace, and the text of the changed workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Workflow, WorkflowStep
from verification.models.workflow_file import parse
from verification.pipeline.replacements import Replacements, replace_builds

HEAD = """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
"""
TAIL = """\
      # The files of the release.
      - uses: actions/upload-artifact@v6
        with: {name: dist, path: dist}
"""


def replaced(root: Path, steps: str) -> tuple[str, Replacements, Workflow]:
    """Return the text, the replacements and the new workflow with these steps."""
    text = HEAD + steps + TAIL
    path = root / ".github" / "workflows" / "publish.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    result = replace_builds(parse(text, path), root)
    new = result.texts.get(".github/workflows/publish.yml", text)
    return text, result, parse(new, path)


def steps_of(workflow: Workflow) -> tuple[WorkflowStep, ...]:
    return workflow.jobs["build"].steps


def test_build_is_replaced_and_the_lines_stay(tmp_path: Path) -> None:
    steps = """\
      - name: Build
        id: build
        if: github.ref_type == 'tag'
        shell: pwsh
        run: |
          python -m build --outdir out

      - run: >-
          echo done
"""
    text, result, workflow = replaced(tmp_path, steps)
    (step,) = result.steps
    assert (step.where, step.command, step.output) == ("publish.yml:7", "Build", "out")
    (new,) = result.texts.values()
    assert new.count("\n") == text.count("\n")
    _, build, other, upload = steps_of(workflow)
    assert (build.id, build.name, build.line, build.shell) == ("build", "Build", 7, "bash")
    assert build.condition == "github.ref_type == 'tag'"
    assert (build.run or "").endswith(" out wheel sdist")
    assert (other.run, other.line, upload.line) == ("echo done", 14, 17)


@pytest.mark.parametrize(
    ("command", "folder", "kinds"),
    [
        ("python -m build", "dist", "wheel sdist"),
        ("python -m build --wheel", "dist", "wheel"),
        ("pipx run build --sdist", "dist", "sdist"),
        ("python -m build bindings/python", "bindings/python/dist", "wheel sdist"),
        ("uv build --out-dir=wheels", "wheels", "wheel sdist"),
        ("pip wheel . -w wheelhouse --no-deps", "wheelhouse", "wheel"),
        ("maturin build --release --out dist", "dist", "wheel"),
        ("maturin build --release", "target/wheels", "wheel"),
        ("python -m cibuildwheel", "wheelhouse", "wheel"),
    ],
)
def test_folder_and_kinds_are_those_of_the_command(
    tmp_path: Path, command: str, folder: str, kinds: str
) -> None:
    _, result, workflow = replaced(tmp_path, f"      - run: {command}\n")
    assert [step.output for step in result.steps] == [folder]
    assert (steps_of(workflow)[1].run or "").endswith(f"stand_ins.builds {folder} {kinds}")


def test_action_of_maturin_is_replaced(tmp_path: Path) -> None:
    steps = """\
      - uses: PyO3/maturin-action@v1
        with:
          args: --release --out dist
"""
    _, result, workflow = replaced(tmp_path, steps)
    assert [(step.command, step.output) for step in result.steps] == [
        ("PyO3/maturin-action@v1", "dist")
    ]
    assert steps_of(workflow)[1].uses is None


@pytest.mark.parametrize(
    ("steps", "left_out"),
    [
        ("      - uses: docker/setup-qemu-action@v4\n      - uses: pypa/cibuildwheel@v4\n", [1]),
        ("      - uses: Swatinem/rust-cache@v2\n      - run: python -m build\n", [1, 2]),
        (
            "      - {uses: docker/setup-qemu-action@v4, id: qemu}\n      - run: python -m build\n",
            [2],
        ),
        ("      - uses: docker/setup-qemu-action@v4\n      - run: docker run x\n", []),
        ("      - uses: other/setup-qemu-action@v4\n      - run: python -m build\n", [2]),
    ],
    ids=["cibuildwheel", "script", "with-outputs", "no-build", "other-action"],
)
def test_action_that_only_prepares_the_build_is_left_out(
    tmp_path: Path, steps: str, left_out: list[int]
) -> None:
    _, result, workflow = replaced(tmp_path, steps)
    scripts = [(n, step.run) for n, step in enumerate(steps_of(workflow)) if step.run]
    assert [n for n, script in scripts if script != "docker run x"] == left_out
    assert len(result.steps) == len(left_out)


def test_name_with_an_emoji_stays(tmp_path: Path) -> None:
    name = "\N{HAMMER} B\u00fcild"
    _, _, workflow = replaced(tmp_path, f"      - {{name: {name}, run: python -m build}}\n")
    assert steps_of(workflow)[1].name == name


def test_installation_of_build_tools_is_left_out(tmp_path: Path) -> None:
    steps = """\
      - run: python -m pip install --upgrade pip build
      - run: pip install twine
      - {run: python -m build}
"""
    _, result, workflow = replaced(tmp_path, steps)
    assert [step.where for step in result.steps] == ["publish.yml:9", "publish.yml:7"]
    _, tools, other, build, _ = steps_of(workflow)
    assert (tools.run, other.run) == ("true", "pip install twine")
    assert "stand_ins.builds" in (build.run or "")


@pytest.mark.parametrize(
    "steps",
    [
        "      - uses: pypa/cibuildwheel@v3\n",
        "      - run: pip install build\n",
        "      - run: python -m build && twine upload dist/*\n",
    ],
    ids=["stand-in", "no build", "build and upload"],
)
def test_other_step_is_not_replaced(tmp_path: Path, steps: str) -> None:
    _, result, _ = replaced(tmp_path, steps)
    assert result == ({}, ())
