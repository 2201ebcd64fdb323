"""The labels of GitHub-hosted runners, and the wheels that each runner builds."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from verification.models.hosted_runners import (
    HostedRunner,
    builds_on,
    context_expressions,
    hosted_runner,
)
from verification.pipeline.expressions import Context, evaluate


def runner(label: str) -> HostedRunner:
    found = hosted_runner(label)
    assert found is not None, label
    return found


@pytest.mark.parametrize(
    ("label", "system", "cpu"),
    [
        ("ubuntu-latest", "linux", "x86_64"),
        ("ubuntu-22.04", "linux", "x86_64"),
        ("Ubuntu-24.04", "linux", "x86_64"),
        ("ubuntu-24.04-arm", "linux", "aarch64"),
        ("windows-2022", "windows", "x86_64"),
        ("windows-2025", "windows", "x86_64"),
        ("windows-11-arm", "windows", "aarch64"),
        ("macos-latest", "macos", "aarch64"),
        ("macos-13", "macos", "x86_64"),
        ("macos-14", "macos", "aarch64"),
        ("macos-15", "macos", "aarch64"),
        ("macos-14-large", "macos", "x86_64"),
        ("macos-15-intel", "macos", "x86_64"),
        ("macos-13-xlarge", "macos", "aarch64"),
    ],
)
def test_label_names_the_system_and_the_processor(label: str, system: str, cpu: str) -> None:
    assert (runner(label).system, runner(label).cpu) == (system, cpu)


@pytest.mark.parametrize("label", ["self-hosted", "self-hosted, linux", "ubuntu", "buildjet-4"])
def test_other_label_has_no_hosted_runner(label: str) -> None:
    assert hosted_runner(label) is None


LINUX = "a-1-cp313-cp313-manylinux_2_28_x86_64.whl"
LINUX_ARM = "a-1-cp313-cp313-manylinux2014_aarch64.whl"
MUSL = "a-1-cp313-cp313-musllinux_1_2_x86_64.whl"
WINDOWS = "a-1-cp313-cp313-win_amd64.whl"
WINDOWS_ARM = "a-1-cp313-cp313-win_arm64.whl"
MACOS = "a-1-cp313-cp313-macosx_11_0_arm64.whl"
UNIVERSAL = "a-1-cp313-cp313-macosx_11_0_universal2.whl"
PURE = "a-1-py3-none-any.whl"
EVERY = (LINUX, LINUX_ARM, MUSL, WINDOWS, WINDOWS_ARM, MACOS, UNIVERSAL, PURE)


@pytest.mark.parametrize(
    ("label", "others", "wheels"),
    [
        ("ubuntu-latest", ("ubuntu-24.04-arm",), {LINUX, MUSL, PURE}),
        ("ubuntu-24.04-arm", ("ubuntu-latest",), {LINUX_ARM, PURE}),
        # Without an ARM runner, the other runner compiles for ARM.
        ("ubuntu-latest", (), {LINUX, LINUX_ARM, MUSL, PURE}),
        ("windows-latest", (), {WINDOWS, WINDOWS_ARM, PURE}),
        ("macos-13", ("macos-14",), {UNIVERSAL, PURE}),
        ("macos-14", ("macos-13",), {MACOS, UNIVERSAL, PURE}),
    ],
)
def test_wheel_belongs_to_the_runners_with_its_system(
    label: str, others: tuple[str, ...], wheels: set[str]
) -> None:
    runners = tuple(map(runner, (label, *others)))
    assert {wheel for wheel in EVERY if builds_on(wheel, runner(label), runners)} == wheels


VERSIONS = ("latest", "slim", "11", "12", "13", "14", "15", "26", "22.04", "24.04", "2022", "2025")


@pytest.mark.parametrize("kind", ["", "-arm", "-large", "-xlarge", "-intel"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("system", ["ubuntu", "windows", "macos", "MacOS"])
def test_expressions_have_the_values_of_the_label(system: str, version: str, kind: str) -> None:
    label = f"{system}-{version}{kind}"
    values: tuple[JsonValue, ...] = (label, [label])
    for value in values:
        context = Context(values={"matrix": {"os": value}})
        expressions = context_expressions("matrix.os")
        found = {name: evaluate(text, context) for name, text in expressions.items()}
        assert found == runner(label).context
