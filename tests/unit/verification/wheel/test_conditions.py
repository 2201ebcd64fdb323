from __future__ import annotations

import ast

import pytest

from verification.models.subject import PlatformTarget
from verification.wheel.conditions import KnownValues, UnknownValue, evaluate, is_true
from verification.wheel.dependencies import marker_environment


def known_values(tag: str = "manylinux_2_28_x86_64", **constants: object) -> KnownValues:
    return KnownValues(marker_environment(PlatformTarget.of(tag), (3, 13)), constants)


def expression(code: str) -> ast.expr:
    return ast.parse(code, mode="eval").body


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.version_info >= (3, 8)", True),
        ("sys.version_info[:2] == (3, 13)", True),
        ("sys.version_info[0] == 2", False),
        ("sys.version_info.major < 3", False),
        ("sys.version_info.minor >= 14", False),
        ("sys.hexversion >= 0x030D0000", True),
        ("sys.maxsize > 2**32", True),
        ("sys.platform in ('win32', 'cygwin')", False),
        ("sys.platform.startswith(('linux', 'freebsd'))", True),
        ("platform.system().lower() == 'linux'", True),
        ("platform.python_implementation() != 'PyPy'", True),
        ("'__pypy__' in sys.builtin_module_names", False),
        ("'__pypy__' not in sys.builtin_module_names", True),
        ("hasattr(sys, 'pypy_version_info')", False),
        ("six.PY2 or typing.TYPE_CHECKING", False),
        ("unknown and os.name == 'nt'", False),
        ("os.name == 'posix' or unknown()", True),
        ("not (os.name == 'nt')", True),
        ("FLAG", 7),
    ],
)
def test_condition_of_the_system_has_a_value(code: str, expected: object) -> None:
    assert evaluate(expression(code), known_values(FLAG=7)) == expected


@pytest.mark.parametrize(
    "code",
    [
        "unknown",
        "unknown and os.name == 'posix'",
        "sys.version_info >= (3, 13, 2)",
        "sys.version_info[2] > 1",
        "hasattr(sys, 'getwindowsversion')",
        "os.environ.get('X')",
        "sys.platform < 3",
        "sys.version_info[9]",
        "(lambda: 1)()",
        "'time' in sys.builtin_module_names",
    ],
)
def test_other_conditions_are_unknown(code: str) -> None:
    with pytest.raises(UnknownValue):
        evaluate(expression(code), known_values())
    assert is_true(expression(code), known_values()) is None


@pytest.mark.parametrize(
    ("tag", "windows", "is_64_bit"),
    [("win_amd64", True, True), ("win32", True, False), ("macosx_11_0_arm64", False, True)],
)
def test_condition_is_evaluated_for_the_platform(tag: str, windows: bool, is_64_bit: bool) -> None:
    assert is_true(expression("sys.platform == 'win32'"), known_values(tag)) is windows
    assert is_true(expression("os.name == 'nt'"), known_values(tag)) is windows
    assert is_true(expression("sys.maxsize > 2**32"), known_values(tag)) is is_64_bit


def test_system_of_a_wheel_for_any_platform_is_unknown() -> None:
    unknown = KnownValues({"python_version": "3.13"})
    assert is_true(expression("os.name == 'nt'"), unknown) is None
    assert is_true(expression("sys.version_info < (3,)"), unknown) is False
