"""Tests of built wheels and their transfer between jobs, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PROJECT,
    cause_names,
    edited,
    in_job,
)
from verification.models.workflow import Event
from verification.models.workflow_file import parse
from verification.pipeline.evaluated_jobs import evaluate_jobs
from verification.pipeline.wheel_transfer import check_transfer

# The change of the file, and the name of the only cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    "another folder": (
        "wrong-source",
        lambda: edited("package-dir: bindings/python", "package-dir: ."),
    ),
    "no folder": ("wrong-source", lambda: edited("          package-dir: bindings/python\n", "")),
    "another commit": (
        "wrong-source",
        lambda: in_job(
            "build", "persist-credentials: false", "persist-credentials: false\n          ref: main"
        ),
    ),
    "the artifacts of another run": (
        "wrong-source",
        lambda: in_job("publish", "name: dist", "name: dist\n          run-id: 1"),
    ),
    "other settings of cibuildwheel": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse",
            "output-dir: wheelhouse\n        env:\n          CIBW_TEST_SKIP: '*'",
        ),
    ),
    "only one wheel": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse", "output-dir: wheelhouse\n          only: cp313-win_amd64"
        ),
    ),
    "no Windows": (
        "incomplete-release",
        lambda: edited("[ubuntu-latest, windows-latest]", "[ubuntu-latest]"),
    ),
    "Windows excluded": (
        "incomplete-release",
        lambda: edited(
            "os: [ubuntu-latest, windows-latest]",
            "os: [ubuntu-latest, windows-latest]\n        exclude: [{os: windows-latest}]",
        ),
    ),
    "one name for all artifacts": (
        "artifact-lost",
        lambda: edited("name: wheel-${{ matrix.os }}", "name: wheel-all"),
    ),
    "a pattern that matches no artifact": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheels-*"),
    ),
    "a pattern that matches one artifact": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheel-ubuntu*"),
    ),
    "wheels uploaded from another folder": (
        "artifact-lost",
        lambda: edited("path: wheelhouse/*.whl", "path: dist/*.whl"),
    ),
    "another artifact published": (
        "artifact-lost",
        lambda: in_job("publish", "name: dist", "name: wheel-ubuntu-latest"),
    ),
    "another folder published": (
        "artifact-lost",
        lambda: edited("packages-dir: dist", "packages-dir: wheelhouse"),
    ),
}

ADDITIONAL_CAUSES = {
    "only one wheel": {"incomplete-release"},
    "the artifacts of another run": {"permission-missing"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"cp313-win_amd64", ', "", "incomplete-release"),
        ("cp313-win_amd64", "cp314-win_amd64", "incomplete-release"),
        ('test-command = "pytest {package}/tests"\n', "", "wheel-untested"),
        ('test-command = "', 'test-skip = "*"\ntest-command = "', "wheel-untested"),
    ],
)
def test_settings_that_build_other_wheels_have_a_cause(
    old: str, new: str, cause: str, tmp_path: Path
) -> None:
    assert cause_names(tmp_path, project=edited(old, new, of=PROJECT)) == {cause}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("windows-latest]", "windows-latest, macos-latest]"),
        ("windows-latest]", "windows-latest, ubuntu-24.04]"),
        (
            "persist-credentials: false",
            "persist-credentials: false\n          ref: ${{ github.sha }}",
        ),
        (
            "persist-credentials: false",
            "persist-credentials: false\n          ref: ${{ github.ref }}",
        ),
        (
            "persist-credentials: false",
            "persist-credentials: false\n          ref: ${{ github.ref_name }}",
        ),
    ],
)
def test_more_platforms_and_the_released_commit_have_no_cause(
    old: str, new: str, tmp_path: Path
) -> None:
    assert cause_names(tmp_path, edited(old, new)) == set()


def test_unknown_source_is_not_evaluated(tmp_path: Path) -> None:
    ref = "persist-credentials: false\n          ref: ${{ vars.REF }}"

    assert cause_names(tmp_path, edited("persist-credentials: false", ref)) == {"not-evaluated"}


SETTINGS = "output-dir: wheelhouse\n        env:\n          {}"


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("CIBW_BUILD: 'cp313-*'", {"settings-bypassed"}),
        ("CIBW_BUILD: 'cp312-*'", {"settings-bypassed", "incomplete-release"}),
        ("CIBW_SKIP: '*-win_amd64'", {"settings-bypassed", "incomplete-release"}),
        ("CIBW_SKIP: '*-{win32,musllinux*}'", {"settings-bypassed"}),
        ("CIBW_ARCHS: ${{ runner.os == 'Linux' && 'x86_64' || 'AMD64' }}", {"settings-bypassed"}),
        ("CIBW_ARCHS_WINDOWS: ARM64", {"settings-bypassed", "incomplete-release"}),
        ("CIBW_BUILD: ${{ vars.BUILD }}", {"settings-bypassed"}),
    ],
)
def test_platforms_follow_from_the_settings_in_the_workflow(
    setting: str, names: set[str], tmp_path: Path
) -> None:
    text = edited("output-dir: wheelhouse", SETTINGS.format(setting))

    assert cause_names(tmp_path, text) == names


OTHER_STEPS = """
on: {{push: {{tags: ["v*"]}}}}
jobs:
  wheels:
    strategy: {{matrix: {{os: [ubuntu-latest, windows-latest]}}}}
    runs-on: ${{{{ matrix.os }}}}
    steps:
      - uses: actions/checkout@v5
      - run: pipx run cibuildwheel==4.2.0 bindings/python --output-dir {built}
      - uses: actions/upload-artifact@{version}
        with: {{name: "{name}", path: dist}}
  upload:
    needs: wheels
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {{id-token: write}}
    steps:
      - uses: actions/download-artifact@v5
        with: {{{download}}}
      - uses: pypa/gh-action-pypi-publish@release/v1
        with: {{packages-dir: {published}}}
"""
GOOD = {
    "built": "dist",
    "version": "v5",
    "name": "files-${{ matrix.os }}",
    "download": "pattern: files-*, merge-multiple: true, path: in",
    "published": "in",
}


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, False),
        ({"built": "wheelhouse"}, True),
        ({"name": "files"}, True),
        ({"name": "files", "version": "v3", "download": "name: files, path: in"}, False),
        ({"name": "files-${{ matrix.python }}"}, True),
        ({"name": "${{ vars.NAME }}-${{ matrix.os }}"}, False),
        ({"published": "dist"}, True),
        ({"download": "pattern: files-*, path: in"}, True),
        ({"download": "pattern: files-*, path: in", "published": "in/files-ubuntu-latest"}, True),
        ({"download": "pattern: 'files-{ubuntu,windows}*', merge-multiple: true, path: in"}, False),
        ({"download": "pattern: wheels-*, merge-multiple: true, path: in"}, True),
        ({"download": "merge-multiple: true, path: in"}, False),
        ({"download": "name: files-windows-latest, path: in"}, True),
        ({"download": "name: other, path: in"}, True),
        ({"download": "path: in"}, True),
    ],
)
def test_artifacts_are_followed_to_the_publishing_step(
    changes: dict[str, str], lost: bool, tmp_path: Path
) -> None:
    names = cause_names(tmp_path, OTHER_STEPS.format(**{**GOOD, **changes}))

    assert ("artifact-lost" in names) is lost


ORDER = """
on: {{push: {{tags: ["v*"]}}}}
jobs:
  sdist:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - run: python -m build {early}
      - uses: actions/upload-artifact@v5
        with: {{name: dist-sdist, path: dist}}
  wheels:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - run: make prepare
      - uses: PyO3/maturin-action@v1
        with: {{args: "--release {out}"}}
      - uses: actions/upload-artifact@v5
        with: {{name: dist-wheels, path: {path}}}
  all:
    needs: wheels
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v5
        with: {{pattern: dist-*, merge-multiple: true, path: all}}
      - {all}
  upload:
    needs: {needs}
    runs-on: ubuntu-latest
    permissions: {{id-token: write}}
    steps:
      - uses: actions/download-artifact@v5
        with: {{pattern: "{pattern}", merge-multiple: true, path: dist}}
      - uses: pypa/gh-action-pypi-publish@release/v1
"""
HEALTHY_ORDER = {
    "early": "--sdist",
    "out": "--out dist",
    "path": "dist",
    "all": "run: pytest",
    "needs": "[sdist, wheels]",
    "pattern": "dist-*",
}
COMBINED = "{uses: actions/upload-artifact@v5, with: {name: dist-all, path: all}}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"needs": "[wheels]"}, {("job-order", "flawed")}),
        ({"needs": "[wheels]", "early": ""}, {("job-order", "broken")}),
        ({"needs": "[sdist]"}, {("job-order", "broken")}),
        ({"needs": "[wheels]", "pattern": "dist-s*"}, {("job-order", "broken")}),
        ({"path": "target/wheels"}, {("artifact-lost", "broken")}),
        ({"out": "-o wheels"}, {("artifact-lost", "broken")}),
        ({"out": "-o ${{ vars.OUT }}"}, set()),
    ],
)
def test_only_a_job_that_passes_files_on_must_wait_for_all(
    changes: dict[str, str], expected: set[tuple[str, str]], tmp_path: Path
) -> None:
    found = order_causes(ORDER.format(**{**HEALTHY_ORDER, **changes}), tmp_path)
    assert found == expected


def test_combined_artifact_repeats_files_that_the_download_has(tmp_path: Path) -> None:
    both = HEALTHY_ORDER | {"all": COMBINED}
    text = ORDER.format(**both).replace("    needs: wheels\n", "    needs: [sdist, wheels]\n")
    assert order_causes(text, tmp_path) == set()


@pytest.mark.parametrize(("job", "is_lost"), [("all", True), ("wheels", False)])
def test_unknown_action_may_upload_only_before_the_download(
    job: str, is_lost: bool, tmp_path: Path
) -> None:
    text = ORDER.format(**HEALTHY_ORDER | {"pattern": "other-*"})
    head, _, tail = text.partition(f"  {job}:\n")
    changed = f"{head}  {job}:\n" + tail.replace("steps:\n", "steps:\n      - uses: a/b@v1\n", 1)
    causes = order_causes(changed, tmp_path)
    assert (("artifact-lost", "broken") in causes) is is_lost
    assert (("not-evaluated", "note") in causes) is not is_lost


@pytest.mark.parametrize(
    ("script", "published", "names"),
    [
        ("unzip -qt in/*.whl", "in", set()),
        ("unzip -qt in/*.whl", "dist", {"artifact-lost"}),
        ("unzip -l in/a.whl", "dist", {"artifact-lost"}),
        ("tar -tzf in/a.tar.gz", "dist", {"artifact-lost"}),
        ("tar tf in/a.tar.gz", "dist", {"artifact-lost"}),
        ("unzip in/all.zip -d dist", "dist", {"not-evaluated"}),
        ("tar xf in/all.tar.gz", "dist", {"not-evaluated"}),
        ("make files", "dist", {"not-evaluated"}),
        ("make files", "in", set()),
    ],
)
def test_empty_folder_after_a_script_is_lost_or_not_evaluated(
    script: str, published: str, names: set[str], tmp_path: Path
) -> None:
    text = OTHER_STEPS.format(**GOOD | {"published": published})
    text = text.replace("      - uses: pypa/gh", f"      - run: {script}\n      - uses: pypa/gh")
    workflow = parse(text, tmp_path / "release.yml")
    runs = evaluate_jobs(workflow, Event(ref="refs/tags/v1.0"))
    assert {cause.name for cause in check_transfer(workflow, runs)} == names


def order_causes(text: str, folder: Path) -> set[tuple[str, str]]:
    workflow = parse(text, folder / "release.yml")
    runs = evaluate_jobs(workflow, Event(ref="refs/tags/v1.0"))
    return {(cause.name, str(cause.severity)) for cause in check_transfer(workflow, runs)}


REPLACING = """
  sign:
    needs: wheels
    runs-on: ubuntu-latest
    steps:
      - uses: actions/upload-artifact@v5
        with: {{name: files-ubuntu-latest, path: dist, overwrite: {overwrite}}}
"""


@pytest.mark.parametrize("overwrite", ["true", "false"])
def test_later_job_may_replace_an_artifact(overwrite: str, tmp_path: Path) -> None:
    text = OTHER_STEPS.format(**GOOD) + REPLACING.format(overwrite=overwrite)

    assert ("artifact-lost" in cause_names(tmp_path, text)) is (overwrite == "false")
