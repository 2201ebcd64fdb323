"""The actions of every package, on a small installed package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.helpers import binaries
from tests.helpers.sample_exercise import FILES, PLAN_KEYS, exercise, install, write_scripts
from verification.models.evidence import StepError
from verification.models.machine import SCRIPTS
from verification.probe import uses

SMOKE = """
def native_call():
    import sample
    return {"version": sample.version()}
def round_trip():
    with open("written.txt", "w") as file:
        file.write("data")
"""
VERSION = "__version__ = '1.2'\ndef version(): return __version__\n"
DATA = "import os\nopen(os.path.join(os.path.dirname(__file__), 'core.py')).close()\n"


def installed(folder: Path, code: str = "", **files: str) -> Path:
    """Install the package with this code in its module, and with more files."""
    texts = FILES | {"sample/__init__.py": VERSION + code}
    texts |= {f"sample/{name}": text for name, text in files.items()}
    return install(folder / "site", texts)


def act(folder: Path, action: str, code: str = "", smoke: str = SMOKE) -> JsonValue | StepError:
    """Return what an action returns for a package with this code, or its error."""
    return run(folder, installed(folder, code), action, smoke)


def run(folder: Path, site: Path, action: str, smoke: str = SMOKE) -> JsonValue | StepError:
    result = exercise(folder, site, smoke, plan={"uses": [action]})
    assert result.code == 0
    step = result.steps.uses[action]
    return step.error or step.value


def message(result: JsonValue | StepError) -> str:
    """Return the message of an error."""
    assert isinstance(result, StepError)
    return result.message


# ---- the healthy package ----


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("in_another_folder", "1.2"),
        ("in_forked_child", 0),
        ("in_spawned_child", "1.2"),
        ("two_interpreters", ["1.2", "1.2"]),
        ("from_zip", "it works"),
        ("from_frozen", ["it works"]),
    ],
)
def test_a_healthy_package_passes(tmp_path: Path, action: str, value: JsonValue) -> None:
    assert act(tmp_path, action) == value


def test_the_smoke_test_runs_in_folders_with_unusual_names(tmp_path: Path) -> None:
    folders = act(tmp_path, "absolute_paths")
    assert isinstance(folders, list)
    assert [len(list(Path(str(folder)).glob("written.txt"))) for folder in folders] == [1] * 4


# ---- planted faults ----

FAULTS = {
    "absolute_paths": "import os\nos.getcwd().encode('ascii')\n",
    "in_another_folder": "import os\n__file__ = os.path.relpath(__file__)\n"
    "def version(): open(__file__).close(); return '1.2'\n",
    "in_forked_child": "import os\nos.register_at_fork(after_in_child=lambda: os._exit(3))\n",
    "in_spawned_child": "import multiprocessing\n"
    "if multiprocessing.parent_process(): raise OSError('a child')\n",
    "two_interpreters": "import os, time\n"
    "def version():\n"
    "    lock = os.path.join(os.path.dirname(__file__), 'lock')\n"
    "    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))\n"
    "    time.sleep(1)\n"
    "    os.remove(lock)\n"
    "    return '1.2'\n",
    "from_zip": "import os\nif '.zip' in __file__: os._exit(3)\n",
    "from_frozen": "import sys\nif getattr(sys, 'frozen', False): raise OSError\n",
}


@pytest.mark.parametrize("action", FAULTS)
def test_a_fault_is_found_by_its_action(tmp_path: Path, action: str) -> None:
    assert isinstance(act(tmp_path, action, FAULTS[action]), StepError)


# ---- fork ----

THREAD = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
HANGS = "import os, threading\nos.register_at_fork(after_in_child=lambda: os._exit(3))\n"


@pytest.mark.parametrize(
    "code",
    [
        f"import threading\n{THREAD}\n",
        # The child of a process with threads fails, and that of the process without succeeds.
        "import os, threading\n_pid = os.getpid()\ndef version():\n"
        "    if os.getpid() != _pid and hasattr(os, 'used'): os._exit(3)\n"
        f"    os.used = 1; {THREAD}; return '1.2'\n",
    ],
    ids=["works", "fails after use"],
)
def test_a_package_with_threads_passes(tmp_path: Path, code: str) -> None:
    assert act(tmp_path, "in_forked_child", code) == 0


def test_a_fault_of_a_package_with_threads_is_found(tmp_path: Path) -> None:
    code = f"{HANGS}def version(): {THREAD}; return '1.2'\n"
    assert "ended with 768" in message(act(tmp_path, "in_forked_child", code))


def test_a_fork_is_not_offered_if_the_import_starts_threads(tmp_path: Path) -> None:
    value = act(tmp_path, "in_forked_child", f"{HANGS}{THREAD}\n")
    assert isinstance(value, dict)
    assert list(value) == ["not_offered"]


# ---- archives ----


@pytest.mark.parametrize("action", ["from_zip", "from_frozen"])
def test_an_error_that_names_the_reason_is_accepted(tmp_path: Path, action: str) -> None:
    value = act(tmp_path, action, DATA)
    assert "core.py" in str(value)
    assert not isinstance(value, StepError)


@pytest.mark.parametrize("action", ["from_zip", "from_frozen"])
def test_the_installed_package_is_hidden(tmp_path: Path, action: str) -> None:
    site = installed(tmp_path, "from sample import extra\n")
    (site / "sample" / "extra.py").touch()  # RECORD does not list it, so the archive lacks it
    assert "extra" in str(run(tmp_path, site, action))


def test_a_crash_in_an_archive_is_a_fault(tmp_path: Path) -> None:
    code = "import faulthandler\nif '.zip' in __file__: faulthandler._sigsegv()\n"
    assert "ended with -11" in message(act(tmp_path, "from_zip", code))


def library(site: Path) -> Path:
    """Add a native library to the package. RECORD has it already."""
    path = site / "sample" / "libx.so"
    shutil.copy(zlib.__file__, path)
    return path


LOADS = """
import ctypes, os
def version():
    try:
        ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libx.so'))
    except OSError:
        if not {optional}: raise
    return '1.2'
"""


@pytest.mark.parametrize("optional", [True, False])
def test_a_frozen_program_has_the_libraries_in_its_folder(tmp_path: Path, optional: bool) -> None:
    site = installed(tmp_path, LOADS.format(optional=optional), **{"libx.so": ""})
    library(site)
    value = run(tmp_path, site, "from_frozen")
    assert isinstance(value, list)
    assert value[0] == "it works"
    # Without its library, a package can use Python code or name what is missing.
    assert value[1] == "it works" if optional else "libx.so" in str(value[1])


def test_an_installed_library_in_a_frozen_program_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "site" / "sample" / "libx.so"
    code = f"import ctypes\ndef version(): ctypes.CDLL({str(path)!r}); return '1.2'\n"
    library(installed(tmp_path, code, **{"libx.so": ""}))
    assert str(path) in message(run(tmp_path, tmp_path / "site", "from_frozen"))


# ---- replaced and interrupted installations ----


def command(folder: Path, site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code after the definitions of the actions, as the scenarios do."""
    write_scripts(folder, SMOKE, PLAN_KEYS)
    source = str(folder / SCRIPTS["uses.py"])
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"exec(compile(open({source!r}).read(), {source!r}, 'exec')); {code}",
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": "",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_interrupted_installation_has_half_of_its_files(tmp_path: Path) -> None:
    site = installed(tmp_path, **{"libx.so": ""})
    size = library(site).stat().st_size
    assert command(tmp_path, site, "interrupt_installation()").returncode == 0
    assert library_size(site) == size // 2
    assert not (site / "sample" / "core.py").exists()
    assert (site / "~ample" / "core.py").exists()
    assert [path.name for path in site.glob("*.dist-info")] == ["~ample_package-1.2.dist-info"]


def library_size(site: Path) -> int:
    return (site / "sample" / "libx.so").stat().st_size


@pytest.mark.parametrize("code", ["", "raise OSError('broken')\n"])
def test_a_replaced_release_may_be_broken(tmp_path: Path, code: str) -> None:
    site = installed(tmp_path, code)
    assert command(tmp_path, site, "use_replaced_release()").returncode == 0
    assert list(site.glob("sample/__pycache__/*"))


def held(folder: Path, code: str) -> JsonValue | StepError:
    """Return the result of `held_library` if a release with this code is replaced."""
    site = installed(folder, code)
    assert command(folder, site, "start_holder()").returncode == 0
    shutil.rmtree(site)
    return run(folder, installed(folder), "held_library")


def test_a_process_keeps_working_while_the_package_is_replaced(tmp_path: Path) -> None:
    assert held(tmp_path, "") == {"before": "1.2", "after": "1.2", "new": "1.2"}


def test_a_process_that_fails_after_the_replacement_is_a_fault(tmp_path: Path) -> None:
    late = "import os\n_late = os.path.join(os.path.dirname(__file__), 'late.txt')\n"
    code = f"{late}open(_late, 'w').close()\ndef version(): open(_late).close(); return '1.2'\n"
    assert "late.txt" in message(held(tmp_path, code))


def test_a_replaced_release_that_does_not_work_is_not_offered(tmp_path: Path) -> None:
    value = held(tmp_path, "raise OSError('broken')\n")
    assert isinstance(value, dict)
    assert "broken" in str(value["not_offered"])


# ---- which library's code runs ----


SYMBOL = ("inflate", "libx.so", "/lib/libz.so.1")


@pytest.mark.parametrize(
    ("usual", "is_fault"),
    [([], True), ([["inflate", "libx.so", "/usr/lib/libz.so.1"]], False)],
    ids=["only with the other library", "always"],
)
def test_only_a_symbol_that_the_other_library_replaces_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: list[list[str]], is_fault: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uses, "_bindings", lambda: ({"libx.so": {"libz.so.1": 1}}, [SYMBOL]))
    monkeypatch.setattr(uses, "_result_of", lambda *_, **__: usual)
    if is_fault:
        with pytest.raises(uses.Interposed, match=r"inflate of libx\.so is bound in /lib/libz"):
            uses.own_symbols()
    else:
        assert uses.own_symbols() == {"libx.so": {"libz.so.1": 1}}


def test_the_global_symbols_and_the_slots_of_a_library_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sample.so"
    path.write_bytes(binaries.elf(exports=["own", "other"], interposable=["own"]))
    exports, slots = uses._symbols(str(path))
    assert exports == {"own", "other"}
    assert slots == [("own", False, 0x2000, 0)]
