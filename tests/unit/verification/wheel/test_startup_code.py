from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.binaries import elf
from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause


@pytest.mark.parametrize(
    ("path", "text", "line", "code"),
    [
        ("x.pth", "import x", 1, "import x"),
        ("x.pth", "# a comment\n\n/srv/x\nimport\tx; x.run()\n", 4, "import\tx; x.run()"),
        ("x.pth", "\ufeffimport x\nimport y\n", 1, "import x"),
        ("x.pth", "# a comment\x0cimport x\n", 2, "import x"),
        ("quiverdb-1.0.0.data/purelib/x.pth", "import x", 1, "import x"),
        ("quiverdb-1.0.0-nspkg.pth", "import sys, types, os; m = 1\n", 1, None),
    ],
)
def test_code_in_a_path_file_is_reported_with_its_line(
    tmp_path: Path, path: str, text: str, line: int, code: str | None
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: text}))
    assert (cause.name, cause.severity) == ("startup-code", "flawed")
    assert cause.where == path.rpartition("/")[2]
    assert cause.facts["line"] == line
    assert code is None or cause.facts["code"] == code


@pytest.mark.parametrize(
    "path",
    [
        "sitecustomize.py",
        "usercustomize/__init__.py",
        "quiverdb-1.0.0.data/platlib/usercustomize.py",
    ],
)
def test_module_that_each_start_imports_is_reported(tmp_path: Path, path: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: "x = 1"}))
    assert (cause.name, cause.severity) == ("startup-code", "flawed")
    assert str(cause.facts["code"]).removeprefix("import ") in path


def test_extension_module_that_each_start_imports_is_reported(tmp_path: Path) -> None:
    path = "sitecustomize.cpython-313-x86_64-linux-gnu.so"
    cause = only_cause(linux_wheel(tmp_path, {path: elf()}))
    assert (cause.name, cause.where) == ("startup-code", path)
    assert cause.facts["code"] == "import sitecustomize"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("x.pth", "/srv/x\n../lib\nimportlib\n import x\n# import x\n"),
        ("quiverdb/x.pth", "import x"),  # Python reads only the files next to the packages
        (".hidden.pth", "import x"),
        ("quiverdb/sitecustomize.py", "x = 1"),
    ],
)
def test_file_without_code_at_start_is_no_startup_code(
    tmp_path: Path, path: str, text: str
) -> None:
    names = {cause.name for cause in inspect(linux_wheel(tmp_path, {path: text})).causes}
    assert "startup-code" not in names
