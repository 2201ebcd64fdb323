from __future__ import annotations

from pathlib import Path

from tests.helpers import wheel_builder as wheels
from verification.wheel.archive import open_wheel
from verification.wheel.sources import digests, is_public

PATCH = "# start delvewheel patch\nx = 1\n# end delvewheel patch\n"


def digest(folder: Path, code: str) -> str:
    return digests(open_wheel(wheels.build(folder, {"p/m.py": code})), "p")["p/m.py"]


def test_digest_ignores_line_ends_blank_lines_and_the_delvewheel_patch(tmp_path: Path) -> None:
    codes = [
        "x = 1\ny = 2\n",
        "x = 1\r\ny = 2\r\n",
        "x = 1   \n\n\ny = 2",
        f"{PATCH}x = 1\ny = 2\n",
        f"x = 1\n{PATCH}y = 2\n{PATCH}".replace("\n", "\r\n"),
        f'""""""{" " + PATCH}x = 1\ny = 2\n',
    ]
    assert len({digest(tmp_path, code) for code in codes}) == 1


def test_digest_ignores_the_order_of_imports_only(tmp_path: Path) -> None:
    first, other = "import a\nfrom b import c\nx = 1\n", "from b import c\nx = 1\nimport a\n"
    assert digest(tmp_path, first) == digest(tmp_path, other)
    assert digest(tmp_path, first) != digest(tmp_path, first.replace("import a", "import d"))


def test_digest_changes_with_the_code(tmp_path: Path) -> None:
    codes = [
        "x = 1\ny = 2\n",
        "x = 1\ny = 3\n",
        "x = 1\n  y = 2\n",
        "y = 2\nx = 1\n",
        f"x = '{PATCH}'\ny = 2\n",
    ]
    assert len({digest(tmp_path, code) for code in codes}) == len(codes)


def test_only_modules_of_the_package_that_are_not_generated_have_a_digest(tmp_path: Path) -> None:
    files = ["p/m.py", "p/q/m.py", "p/m.pyi", "p/m.so", "q/m.py", "m.py", "q/p/m.py"]
    files += ["p/_version.py", "p/__config__.py", "p/_build.py", "p/_distributor_init.py", "p/"]
    wheel = wheels.build(tmp_path, dict.fromkeys(files, ""))
    assert list(digests(open_wheel(wheel), "p")) == ["p/m.py", "p/q/m.py"]


def test_module_is_public_if_users_import_it_on_every_system() -> None:
    public = (
        "p/m.py", "p/__init__.py", "p/q/m.py", "p/windmill.py", "p/tester.py", "p/content.py",
        "p/winapi64/m.py", "p/event.py", "p/machine.py",
    )  # fmt: skip
    private = (
        "p/_m.py", "p/_q/m.py", "p/__main__.py", "p/win32.py", "p/windows/__init__.py",
        "p/darwin.py", "p/nt.py", "p/look_nt.py", "p/macos.py", "p/look_mac.py", "p/linuxlook.py",
        "p/posixpath.py", "p/unix.py", "p/look_win.py", "p/tests/m.py", "p/test.py",
        "p/conftest.py", "p/my_conftest.py",
    )  # fmt: skip
    assert [path for path in public if not is_public(path)] == []
    assert [path for path in private if is_public(path)] == []
