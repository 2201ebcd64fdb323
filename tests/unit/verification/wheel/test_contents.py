from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import LINUX_CORE, SUBJECT, linux_core, linux_wheel, windows_wheel
from verification.models.cause import Cause
from verification.wheel import Inspection, inspect, modules_of

RECORD = "quiverdb-1.0.0.dist-info/RECORD"


def look(wheel: Path) -> Inspection:
    return inspect(wheel, subject=SUBJECT)


def found(wheel: Path, name: str) -> list[Cause]:
    return [cause for cause in look(wheel).causes if cause.name == name]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


class TestRecord:
    def edit(self, folder: Path, out: Path, old: str, new: str) -> Path:
        def change(data: bytes) -> bytes:
            assert old.encode() in data
            return data.replace(old.encode(), new.encode(), 1)

        return wheels.mutate(linux_wheel(folder), out, edit={RECORD: change}, fix_record=False)

    def test_an_added_file_that_record_does_not_list_is_named(
        self, tmp_path: Path, out: Path
    ) -> None:
        wheel = wheels.mutate(
            linux_wheel(tmp_path), out, add={"quiverdb/new.py": ""}, fix_record=False
        )
        (cause,) = look(wheel).causes
        assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/new.py")

    def test_a_removed_file_that_record_lists_is_named(self, tmp_path: Path, out: Path) -> None:
        wheel = wheels.mutate(
            linux_wheel(tmp_path), out, remove=["quiverdb/py.typed"], fix_record=False
        )
        (cause,) = look(wheel).causes
        assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/py.typed")

    def test_a_changed_file_is_told_by_hash_and_by_size(self, tmp_path: Path, out: Path) -> None:
        wheel = wheels.mutate(
            linux_wheel(tmp_path),
            out,
            edit={"quiverdb/__init__.py": lambda data: data + b"\n"},
            fix_record=False,
        )
        messages = " ".join(cause.message for cause in found(wheel, "record-mismatch"))
        assert "does not have the hash" in messages
        assert "RECORD gives 34" in messages

    def test_a_wheel_without_record_is_told(self, tmp_path: Path, out: Path) -> None:
        wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[RECORD])
        (cause,) = look(wheel).causes
        assert cause.name == "record-mismatch"
        assert "has no RECORD" in cause.message

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("sha256=", "md5=", "has the hash 'md5="),
            ("quiverdb/py.typed,sha256=", "quiverdb/py.typed,,", "has the hash 'of no kind'"),
            ("quiverdb/py.typed,", "quiverdb/_loader.py,", "is in RECORD 2 times"),
            ("quiverdb/py.typed,", "quiverdb/py.typed,extra,", "has 4 fields"),
            ("quiverdb/py.typed,", 'quiverdb/"py.typed,', "is in RECORD and not in the archive"),
        ],
    )
    def test_a_wrong_line_is_told(
        self, tmp_path: Path, out: Path, old: str, new: str, message: str
    ) -> None:
        causes = found(self.edit(tmp_path, out, old, new), "record-mismatch")
        assert any(message in cause.message for cause in causes)

    def test_a_stronger_hash_is_accepted(self, tmp_path: Path, out: Path) -> None:
        # SHA-512 of nothing, as py.typed is empty.
        value = (
            "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg"
        )
        wheel = self.edit(
            tmp_path, out, "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", f"sha512={value}"
        )
        assert look(wheel).causes == ()

    @pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "C:evil.py", "quiverdb\\evil.py"])
    def test_a_file_that_leaves_its_place_is_told(self, tmp_path: Path, name: str) -> None:
        causes = found(linux_wheel(tmp_path, {name: ""}), "record-mismatch")
        assert [cause.where for cause in causes] == [name]

    def test_a_file_that_is_in_the_archive_twice_is_told(self, tmp_path: Path) -> None:
        wheel = linux_wheel(tmp_path)
        with (
            pytest.warns(UserWarning, match="Duplicate name"),
            zipfile.ZipFile(wheel, "a") as archive,
        ):
            archive.writestr("quiverdb/py.typed", "")
        (cause,) = look(wheel).causes
        assert "is in the archive 2 times" in cause.message

    def test_a_file_with_a_wrong_checksum_is_told(self, tmp_path: Path) -> None:
        wheel = linux_wheel(tmp_path, {"quiverdb/data.bin": b"stored as it is" * 3})
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo("quiverdb/data.bin")
        data = bytearray(wheel.read_bytes())
        data[member.header_offset + 30 + len(member.filename) + 2] ^= 0xFF
        wheel.write_bytes(data)
        (cause,) = look(wheel).causes
        assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/data.bin")
        assert "cannot be unpacked" in cause.message


class TestStray:
    def test_each_folder_beside_the_package_is_told_once(self, tmp_path: Path) -> None:
        files: dict[str, bytes | str] = {
            "lib64/liba.a": b"!<arch>",
            "lib64/cmake/a.cmake": "",
            "setup.cfg": "",
        }
        causes = look(linux_wheel(tmp_path, files)).causes
        assert [(cause.name, cause.where) for cause in causes] == [
            ("stray-top-level", "lib64/"),
            ("stray-top-level", "setup.cfg"),
        ]
        assert "2 files" in causes[0].message

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("cffi/lock.py", "dependency-overwritten"),
            ("_cffi_backend.cpython-313-x86_64-linux-gnu.so", "dependency-overwritten"),
            ("quiverdb-1.0.0.data/purelib/cffi/lock.py", "dependency-overwritten"),
            ("cffi_more/lock.py", "stray-top-level"),
            ("more/cffi/lock.py", "stray-top-level"),
        ],
    )
    def test_what_is_installed_over_a_dependency_is_told_apart(
        self, tmp_path: Path, path: str, name: str
    ) -> None:
        known = {
            canonicalize_name("cffi"): frozenset({"cffi", "_cffi_backend"}),
            canonicalize_name("quiverdb"): frozenset({"more"}),
        }
        wheel = linux_wheel(tmp_path, {path: ""})
        (cause,) = inspect(wheel, subject=SUBJECT, modules=known).causes
        assert cause.name == name
        assert ("is a module of cffi" in cause.message) == (name == "dependency-overwritten")

    @pytest.mark.parametrize("part", ["data", "scripts", "headers"])
    def test_files_for_the_environments_own_folders_are_stray(
        self, tmp_path: Path, part: str
    ) -> None:
        path = f"quiverdb-1.0.0.data/{part}/x"
        (cause,) = look(linux_wheel(tmp_path, {path: ""})).causes
        assert (cause.name, cause.where) == (
            "stray-top-level",
            f"quiverdb-1.0.0.data/{part}/",
        )

    def test_platlib_files_are_judged_by_where_they_are_installed(self, tmp_path: Path) -> None:
        files = {
            "quiverdb-1.0.0.data/platlib/quiverdb/x.py": "",
            "quiverdb-1.0.0.data/platlib/other/x.py": "",
        }
        causes = found(linux_wheel(tmp_path, files), "stray-top-level")
        assert [cause.where for cause in causes] == ["other/"]

    def test_the_folder_of_repaired_libraries_is_expected(self, tmp_path: Path) -> None:
        files = {
            "quiverdb.libs/libx-1234.so.1": linux_core(soname="libx-1234.so.1"),
            LINUX_CORE: linux_core(
                needed=["libx-1234.so.1", "libc.so.6"], run_path="$ORIGIN/../../quiverdb.libs"
            ),
        }
        assert look(linux_wheel(tmp_path, files)).causes == ()

    @pytest.mark.parametrize("path", ["quiverdb/__pycache__/a.cpython-313.pyc", "quiverdb/a-b.py"])
    def test_what_no_interpreter_uses_is_a_note(self, tmp_path: Path, path: str) -> None:
        (cause,) = look(linux_wheel(tmp_path, {path: ""})).causes
        assert (cause.name, cause.where, cause.severity) == ("stray-file", path, "note")


class TestModules:
    def write(self, folder: Path, code: str, **changes: object) -> Path:
        return linux_wheel(folder, {"quiverdb/more.py": code}, **changes)

    def test_an_undeclared_import_is_named_with_the_file(self, tmp_path: Path) -> None:
        (cause,) = look(self.write(tmp_path, "import numpy.linalg\n")).causes
        assert (cause.name, cause.where) == ("missing-dependency", "quiverdb/more.py")
        assert "imports numpy, and the wheel requires cffi" in cause.message

    def test_a_module_that_the_wheel_itself_puts_beside_the_package_is_there(
        self, tmp_path: Path
    ) -> None:
        files = {
            "quiverdb/more.py": "import _quiver\n",
            "_quiver.cpython-313-x86_64-linux-gnu.so": "",
        }
        assert look(linux_wheel(tmp_path, files)).names() == {"stray-top-level"}

    def test_a_dependency_that_is_no_longer_declared_is_named(self, tmp_path: Path) -> None:
        (cause,) = look(linux_wheel(tmp_path, requires=())).causes
        assert (cause.name, cause.where) == ("missing-dependency", "quiverdb/_loader.py")

    @pytest.mark.parametrize(
        "requirement", ['cffi; extra == "fast"', 'cffi; sys_platform == "win32"', "cffi >>> 2"]
    )
    def test_a_dependency_that_does_not_hold_here_is_not_declared(
        self, tmp_path: Path, requirement: str
    ) -> None:
        wheel = linux_wheel(tmp_path, requires=[requirement])
        assert "missing-dependency" in look(wheel).names()

    def test_a_dependency_for_the_wheels_own_platform_is_declared(self, tmp_path: Path) -> None:
        wheel = linux_wheel(tmp_path, requires=['cffi; sys_platform == "linux"'])
        assert look(wheel).causes == ()

    @pytest.mark.parametrize(
        "code",
        [
            "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n",
            "import typing\nif typing.TYPE_CHECKING:\n    from numpy import array\n",
            "import contextlib\nwith contextlib.suppress(ImportError):\n    import numpy\n",
            "from contextlib import suppress\nwith suppress(ImportError):\n    import numpy\n",
            "def late():\n    import numpy\n",
            "import os, json.decoder\nfrom collections import abc\n",
            "from . import _loader\nfrom ._loader import load\nfrom quiverdb import _loader\n",
        ],
    )
    def test_an_import_that_need_not_be_declared_is_no_fault(
        self, tmp_path: Path, code: str
    ) -> None:
        assert look(self.write(tmp_path, code)).causes == ()

    @pytest.mark.parametrize(
        "code",
        [
            "import sys\nif sys.maxsize:\n    import numpy\n",
            "class A:\n    import numpy\n",
            "import warnings\nwith warnings.catch_warnings():\n    import numpy\n",
        ],
    )
    def test_an_import_that_runs_with_the_module_must_be_declared(
        self, tmp_path: Path, code: str
    ) -> None:
        assert look(self.write(tmp_path, code)).names() == {"missing-dependency"}

    @pytest.mark.parametrize("code", ["from quiverdb._gone import x\n", "from ._gone import x\n"])
    def test_a_module_of_the_package_that_is_absent_is_named(
        self, tmp_path: Path, code: str
    ) -> None:
        (cause,) = look(self.write(tmp_path, code)).causes
        assert cause.name == "missing-dependency"
        assert "imports quiverdb._gone, which is not in the wheel" in cause.message

    @pytest.mark.parametrize(
        "code",
        [
            "from quiverdb._gone import x",
            "from ._gone import x",
            "from . import _gone",
            "from quiverdb import _gone",
            "import quiverdb._gone",
            "from . import __path__, _gone",
            "if kind == 'csv':\n        from . import _gone",
            "with open('x'):\n        from . import _gone",
            "for one in kind:\n        from . import _gone",
            "match kind:\n        case 1:\n            from . import _gone",
        ],
    )
    @pytest.mark.parametrize("place", ["def f(kind):\n    {}", "class A:\n  def f(kind):\n    {}"])
    def test_a_module_of_the_package_that_a_function_imports_must_be_there(
        self, tmp_path: Path, out: Path, code: str, place: str
    ) -> None:
        (cause,) = look(_importing(tmp_path, out, place.format(code))).causes
        assert (cause.name, cause.severity) == ("missing-dependency", "broken")
        assert "imports quiverdb._gone, which is not in the wheel, when a function" in cause.message

    @pytest.mark.parametrize(
        "code",
        [
            "try:\n        from . import _gone\n    except ImportError:\n        pass",
            "with suppress(ImportError):\n        from . import _gone",
            "if sys.platform == 'win32':\n        from . import _gone",
            "if os.name != 'nt':\n        return\n    from . import _gone",
            "if not WINDOWS:\n        raise OSError\n    from . import _gone",
            "from . import _loader, load, __name__",
            "from quiverdb import _loader",
        ],
    )
    def test_a_module_that_a_function_imports_on_some_systems_may_be_absent(
        self, tmp_path: Path, out: Path, code: str
    ) -> None:
        assert look(_importing(tmp_path, out, f"def f():\n    {code}")).causes == ()

    def test_a_getter_of_other_names_gives_no_absent_module(self, tmp_path: Path) -> None:
        init = "from ._loader import load\nfrom . import more\n"
        init += "def __getattr__(name):\n    if name == 'v':\n        return 1\n"
        init += "    raise AttributeError(f'{name}')\n"
        more = "def f():\n    from . import _gone\n"
        files: dict[str, bytes | str] = {"quiverdb/__init__.py": init, "quiverdb/more.py": more}
        (cause,) = look(linux_wheel(tmp_path, files)).causes
        assert (cause.name, cause.severity) == ("missing-dependency", "broken")

    def test_a_function_that_asks_a_constant_is_a_risk(self, tmp_path: Path, out: Path) -> None:
        code = "def f():\n    if WINDOWS:\n        from . import _gone"
        (cause,) = look(_importing(tmp_path, out, code)).causes
        assert (cause.severity, "under a condition" in cause.message) == ("note", True)

    def test_what_only_some_systems_run_may_import_what_only_they_have(
        self, tmp_path: Path
    ) -> None:
        files: dict[str, bytes | str] = {
            "quiverdb/__init__.py": "import quiverdb._loader\nif WINDOWS:\n    from . import _w\n",
            "quiverdb/_w.py": "from . import _native\n",
        }
        (cause,) = look(linux_wheel(tmp_path, files)).causes
        assert (cause.severity, cause.where) == ("note", "quiverdb/_w.py")

    @pytest.mark.parametrize(
        "code",
        [
            "def __getattr__(name):\n    return table[name]\n",
            "__getattr__, x = attach()\n",
            "def __getattr__(name):\n    if name == '_gone':\n        return 1\n",
            "from ._loader import *\n",
            "globals()['_gone'] = 1\n",
            "_gone = 1\n",
            "class _gone: pass\n",
            "from ._loader import load as _gone\n",
        ],
    )
    def test_a_name_that_the_package_may_have_is_no_absent_module(
        self, tmp_path: Path, code: str
    ) -> None:
        files: dict[str, bytes | str] = {
            "quiverdb/__init__.py": f"from ._loader import load\n{code}",
            "quiverdb/more.py": "from . import _gone\nfrom quiverdb import _gone\n",
        }
        assert look(linux_wheel(tmp_path, files)).causes == ()

    def test_a_wheel_without_the_package_is_told(self, tmp_path: Path, out: Path) -> None:
        remove = ["quiverdb/__init__.py", "quiverdb/_loader.py"]
        wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=remove)
        (cause,) = look(wheel).causes
        assert cause.name == "missing-dependency"
        assert "holds no module of the package quiverdb" in cause.message

    def test_a_file_that_cannot_be_parsed_is_unverified_and_no_fault(self, tmp_path: Path) -> None:
        inspection = look(self.write(tmp_path, "match = = 1\n"))
        assert inspection.causes == ()
        assert any("quiverdb/more.py" in reason for reason in inspection.unverified)


# ---- what belongs to those who built it ----

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("quiverdb/.env", "TOKEN=x\n"),
        ("quiverdb/.pypirc", "[pypi]\n"),
        ("quiverdb/deep/.netrc", "machine x\n"),
        ("quiverdb/id_rsa", KEY),
        ("quiverdb/server.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"),
        ("quiverdb-1.0.0.dist-info/direct_url.json", "{}"),
    ],
)
def test_a_file_of_those_who_built_the_wheel_is_named(tmp_path: Path, path: str, text: str) -> None:
    (cause,) = look(linux_wheel(tmp_path, {path: text})).causes
    assert (cause.name, cause.severity, cause.where) == ("private-file", "flawed", path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("quiverdb/.env", ""),
        ("quiverdb/.env.example", "TOKEN=\n"),
        ("quiverdb/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("quiverdb/key.pem", "-----BEGIN PUBLIC KEY-----\n"),
        ("quiverdb/keys.py", f'KEY = """\n{KEY}"""\n'),
        ("quiverdb/tests/server.key", KEY),
        ("quiverdb/direct_url.json", "{}"),
    ],
)
def test_what_looks_like_a_secret_and_is_none_is_no_fault(
    tmp_path: Path, path: str, text: str
) -> None:
    assert look(linux_wheel(tmp_path, {path: text})).causes == ()


# ---- what is imported, and from where ----


def _importing(folder: Path, out: Path, code: str, *, file: str = "_loader") -> Path:
    path = f"quiverdb/{file}.py"
    if file == "_loader":
        return wheels.mutate(
            linux_wheel(folder), out, edit={path: lambda data: data + f"\n{code}\n".encode()}
        )
    return wheels.mutate(linux_wheel(folder), out, add={path: code})


@pytest.mark.parametrize(
    "condition",
    [
        "sys.version_info < (3, 11)", "sys.platform == 'win32'", "os.name == 'nt'",
        "__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING",
    ],
)  # fmt: skip
def test_an_import_for_some_runs_only_is_left_to_the_machines(
    tmp_path: Path, out: Path, condition: str
) -> None:
    code = f"if {condition}:\n    import pandas"
    assert found(_importing(tmp_path, out, code), "missing-dependency") == []


@pytest.mark.parametrize("condition", ["name", "1", "sys.argv", "load()"])
def test_an_import_under_any_other_condition_is_a_note(
    tmp_path: Path, out: Path, condition: str
) -> None:
    code = f"if {condition}:\n    import pandas"
    (cause,) = found(_importing(tmp_path, out, code), "missing-dependency")
    assert (cause.severity, "under a condition" in cause.message) == ("note", True)


def test_a_module_that_the_package_does_not_import_is_a_note(tmp_path: Path, out: Path) -> None:
    wheel = _importing(tmp_path, out, "import pandas\n", file="extra")
    (cause,) = found(wheel, "missing-dependency")
    assert (cause.severity, cause.where) == ("note", "quiverdb/extra.py")


@pytest.mark.parametrize(
    "code",
    ["from quiverdb import extra", "from . import extra", "def f():\n    import quiverdb.extra"],
)
def test_a_module_that_the_package_imports_somehow_is_no_note(
    tmp_path: Path, out: Path, code: str
) -> None:
    (tmp_path / "first").mkdir()
    first = _importing(tmp_path, tmp_path / "first", "import pandas\n", file="extra")
    edit = {"quiverdb/_loader.py": lambda data: data + f"\n{code}\n".encode()}
    (cause,) = found(wheels.mutate(first, out, edit=edit), "missing-dependency")
    assert cause.severity == "broken"


def test_the_modules_of_a_declared_dependency_are_known(tmp_path: Path, out: Path) -> None:
    wheel = _importing(tmp_path, out, "import _cffi_backend")
    (cause,) = found(wheel, "missing-dependency")
    assert "_cffi_backend" in cause.message
    known = {canonicalize_name("cffi"): frozenset({"cffi", "_cffi_backend"})}
    assert inspect(wheel, subject=SUBJECT, modules=known).causes == ()


def test_the_modules_of_wheels_are_read(tmp_path: Path) -> None:
    name = "a_b-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in ("one/__init__.py", "_two.cpython-313.so", "a_b-1.0.dist-info/RECORD"):
            archive.writestr(path, "")
    found = modules_of([tmp_path / name, tmp_path / "a-1.0.tar.gz"])
    assert found == {"a-b": frozenset({"one", "_two"})}


@pytest.mark.parametrize("code", ["x = " + "-" * 100_000 + "1", "x = a" + ".b" * 50_000])
def test_code_that_no_parser_can_hold_is_told_and_ends_nothing(
    tmp_path: Path, out: Path, code: str
) -> None:
    inspection = look(_importing(tmp_path, out, code, file="extra"))
    assert inspection.causes == ()
    assert not inspection.unverified or "quiverdb/extra.py" in inspection.unverified[0]


# ---- two files in one place ----


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
def test_a_file_that_overwrites_another_is_named(tmp_path: Path, out: Path, kind: str) -> None:
    path = f"quiverdb-1.0.0.data/{kind}/quiverdb/_loader.py"
    (cause,) = found(wheels.mutate(linux_wheel(tmp_path), out, add={path: ""}), "record-mismatch")
    assert "is installed in the same place as" in cause.message


def test_names_that_differ_in_case_are_one_on_windows_alone(tmp_path: Path, out: Path) -> None:
    add: dict[str, bytes | str] = {"quiverdb/_Loader.py": ""}
    told = found(wheels.mutate(windows_wheel(tmp_path), out, add=add), "record-mismatch")
    assert ["quiverdb/_Loader.py" in str(cause) for cause in told] == [True]
    assert found(wheels.mutate(linux_wheel(tmp_path), out, add=add), "record-mismatch") == []


# ---- names ----


@pytest.mark.parametrize(
    "name",
    [
        "aux.py",
        "Com1",
        "conin$",
        "CONOUT$.txt",
        "a:b",
        "what?",
        "trailing.",
        "nul.tar.gz",
        "x" * 256,
    ],
)
def test_a_name_that_windows_cannot_have_is_named(tmp_path: Path, out: Path, name: str) -> None:
    add: dict[str, bytes | str] = {f"quiverdb/{name}": ""}
    causes = found(wheels.mutate(windows_wheel(tmp_path), out, add=add), "file-name-unusable")
    assert {cause.where for cause in causes} == {f"quiverdb/{name}"}
    assert found(wheels.mutate(linux_wheel(tmp_path), out, add=add), "file-name-unusable") == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("quiverdb/" + "x" * 162, False),
        ("quiverdb/" + "x" * 163, True),
        ("quiverdb/" + "deep/" * 33 + "x.txt", True),
        ("quiverdb-1.0.0.data/platlib/quiverdb/" + "x" * 162, False),
        ("quiverdb-1.0.0.data/platlib/quiverdb/" + "x" * 163, True),
    ],
)
def test_a_path_that_is_too_long_in_a_users_folder_is_named(
    tmp_path: Path, out: Path, path: str, *, told: bool
) -> None:
    add: dict[str, bytes | str] = {path: ""}
    causes = found(wheels.mutate(windows_wheel(tmp_path), out, add=add), "file-name-unusable")
    assert bool(causes) == told
    assert all("characters long where a user's Python is" in cause.message for cause in causes)
    assert found(wheels.mutate(linux_wheel(tmp_path), out, add=add), "file-name-unusable") == []


@pytest.mark.parametrize("name", ["auxiliary.py", "console.py", "com0", "com10.py", ".hidden"])
def test_a_name_that_only_begins_like_a_device_is_none(
    tmp_path: Path, out: Path, name: str
) -> None:
    add: dict[str, bytes | str] = {f"quiverdb/{name}": ""}
    assert found(wheels.mutate(windows_wheel(tmp_path), out, add=add), "file-name-unusable") == []
