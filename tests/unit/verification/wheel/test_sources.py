from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from verification.wheel.archive import open_wheel
from verification.wheel.sources import digests, is_public

PATCH = "# start delvewheel patch\nx = 1\n# end delvewheel patch\n"


def digest(folder: Path, code: str) -> str:
    return digests(open_wheel(wheels.build(folder, {"p/m.py": code})), "p")["p/m.py"]


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\r\ny = 2\r\n",
        "x = 1   \n\n\ny = 2",
        f"{PATCH}x = 1\ny = 2\n",
        f"x = 1\n{PATCH}y = 2\n{PATCH}".replace("\n", "\r\n"),
        f'""""""{" " + PATCH}x = 1\ny = 2\n',
    ],
)
def test_what_does_not_change_the_code_does_not_count(tmp_path: Path, code: str) -> None:
    assert digest(tmp_path, code) == digest(tmp_path, "x = 1\ny = 2\n")


@pytest.mark.parametrize(
    "code", ["x = 1\ny = 3\n", "x = 1\n  y = 2\n", "y = 2\nx = 1\n", f"x = '{PATCH}'\ny = 2\n"]
)
def test_every_other_change_counts(tmp_path: Path, code: str) -> None:
    assert digest(tmp_path, code) != digest(tmp_path, "x = 1\ny = 2\n")


def test_only_the_packages_own_modules_count(tmp_path: Path) -> None:
    files = ["p/m.py", "p/q/m.py", "p/m.pyi", "p/m.so", "q/m.py", "m.py", "q/p/m.py"]
    files += ["p/_version.py", "p/__config__.py", "p/_build.py", "p/_distributor_init.py", "p/"]
    wheel = wheels.build(tmp_path, dict.fromkeys(files, ""))
    assert list(digests(open_wheel(wheel), "p")) == ["p/m.py", "p/q/m.py"]


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("p/m.py", True),
        ("p/__init__.py", True),
        ("p/q/m.py", True),
        ("p/windmill.py", True),
        ("p/tester.py", True),
        ("p/content.py", True),
        ("p/_m.py", False),
        ("p/_q/m.py", False),
        ("p/__main__.py", False),
        ("p/win32.py", False),
        ("p/winapi64/m.py", True),
        ("p/windows/__init__.py", False),
        ("p/darwin.py", False),
        ("p/event.py", True),
        ("p/machine.py", True),
        ("p/nt.py", False),
        ("p/look_nt.py", False),
        ("p/macos.py", False),
        ("p/look_mac.py", False),
        ("p/linuxlook.py", False),
        ("p/posixpath.py", False),
        ("p/unix.py", False),
        ("p/look_win.py", False),
        ("p/tests/m.py", False),
        ("p/test.py", False),
        ("p/conftest.py", False),
        ("p/my_conftest.py", False),
    ],
)
def test_a_module_that_users_import_on_every_system_is_public(path: str, *, public: bool) -> None:
    assert is_public(path) == public
