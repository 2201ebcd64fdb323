"""The scenarios: where and how a user installs and uses the package, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from verification.scenarios.installers import Installer

Command = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of installing and using; paths are as the machine's own programs see them.

    In commands ``{subject}``, ``{version}`` and ``{previous}`` stand for the package, the version
    under test and that of the newest earlier release, ``{suite}`` for the folder of the suite's own
    files.
    """

    name: str
    cwd: str
    environment: Mapping[str, str]
    roots: tuple[str, ...]
    """Where the file system is looked at."""
    skipped: tuple[str, ...]
    """What in it is the kernel's."""
    system: bool = False
    """Whether the machine's own Python is installed into, with no environment active."""
    skipped_keys: tuple[str, ...] = ()
    """Keys of the Windows registry that are not looked at."""
    title: str = ""
    """What it asserts, beyond that the package installs, works and is removed."""
    installers: tuple[str, ...] = ()
    """The installers that it makes sense with; none named means all."""
    systems: tuple[str, ...] = ("linux",)
    as_root: tuple[Command, ...] = ()
    """What was done to the machine before; not the user's doing."""
    tmpfs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """File systems in memory: mount options by folder."""
    setup: tuple[Command, ...] = ()
    """What the user has done before the first look; a failure is the testbed's."""
    first: tuple[Command, ...] = ()
    """What the user types after the first look and before the installation that is judged."""
    requirement: Command = ("{subject}",)
    """How the package is named, with the options of this way."""
    deviation: str = ""
    """In what the command is not the literal one."""
    python: Command = ("python",)
    prelude: str = ""
    """Code that runs in the interpreter before the package is imported."""
    uses: tuple[str, ...] = ()
    """What is tried with the package beyond the exercise; functions of uses.py."""
    after_install: tuple[Command, ...] = ()
    before_uninstall: tuple[Command, ...] = ()
    uninstall: Command = ()
    """The command that removes it, where it is not the installer's own."""
    again: bool = False
    """Whether the installation is repeated, and must then change nothing."""
    umask: int = -1
    files: tuple[str, ...] = ()
    """What the user has in the project's folder: hashes, wheels, decoys or old-runtime."""
    offline: bool = False
    """Whether the index must not be asked at all."""
    tests: bool = False
    """Whether the package's own tests run after the exercise."""
    keeps_dependencies: bool = False
    """Whether the user had dependencies before, which may stay where the release takes them."""
    needs_previous: bool = False
    """Whether it needs an earlier release on the index."""
    refuses: str = ""
    """The cause by which the installer must refuse here; empty where the machine decides."""
    cause: str = "use-not-supported"
    """What it is called when only this way of using fails."""
    user: str = "user"
    """Who does all this: the machine's ``user``, or ``root``."""
    windows: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """What is otherwise on Windows; for a scenario of both systems."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """The folders that are not looked at."""
        return self.skipped if self.user == "root" else (*self.skipped, *ROOTS_OWN)

    @property
    def pinned(self) -> bool:
        """Whether the version is named, so that no other release can be taken."""
        return any("{version}" in word for word in self.requirement)

    def on(self, system: str) -> Scenario:
        """Return the scenario as it is on this operating system."""
        changes: dict[str, Any] = {**self.windows, "windows": {}} if system == "windows" else {}
        return dataclasses.replace(self, **changes)

    def options(self, installer: Installer) -> tuple[str, ...]:
        """Return what this installer must be told here."""
        return installer.system_option if self.system else ()


ROOTS_OWN = ("/boot", "/etc", "/usr", "/var/lib")
"""What is root's on every Linux machine: nobody else can change anything there, so it is not looked
at. These are nine of ten files; tests/faults/test_machine_faults.py tries it."""
_HOME = "/home/user"
_VENV = f"{_HOME}/venv"
_BIN = "/usr/local/bin:/usr/bin:/bin"
_SITE = f"{_VENV}/lib/python3.13/site-packages"


def _active(venv: str, home: str = _HOME, **more: str) -> dict[str, str]:
    """Return the environment as ``source venv/bin/activate`` leaves it."""
    return {"HOME": home, "VIRTUAL_ENV": venv, "PATH": f"{venv}/bin:{_BIN}", **more}


# Debian marks its own Python as externally managed, so the user's way is a virtual environment.
VENV = Scenario(
    "venv",
    cwd=f"{_HOME}/project",
    environment=_active(_VENV),
    roots=("/", "/dev/shm"),  # noqa: S108  (there is shared memory, shm_open(3))
    skipped=("/proc", "/sys", "/dev", "/run"),
    title="pip install quiverdb in a virtual environment",
)


def _like_venv(name: str, title: str, **changes: object) -> Scenario:
    """Return the ordinary way with ``changes``; pip alone unless it says otherwise."""
    given = {"installers": ("pip",), **changes}
    return dataclasses.replace(VENV, name=name, title=title, **given)  # type: ignore[arg-type]


def _in(home: str, name: str, title: str, **changes: object) -> Scenario:
    """Return the ordinary way with the environment, the home and the data below ``home``."""
    return _like_venv(
        name,
        title,
        cwd=f"{home}/project",
        environment=_active(f"{home}/venv", home),
        as_root=(("install", "--directory", "--owner=user", "--group=user", home),),
        setup=(("python3", "-m", "venv", f"{home}/venv"),),
        uses=("absolute_paths",),
        cause="path-not-supported",
        **changes,
    )


# Python as its own installer puts it on Windows: its pip is on PATH and installs into it.
SYSTEM = Scenario(
    "system",
    cwd="C:\\users\\user\\project",
    environment={},
    roots=("C:\\",),
    skipped=(),
    system=True,
    # Thousands of keys, of classes and certificates, take seconds and are the system's; a
    # user who is no administrator cannot change them.
    skipped_keys=(
        "HKLM\\Software\\Classes",
        "HKLM\\Software\\Wow6432Node",
        "HKLM\\Software\\Microsoft\\SystemCertificates",
    ),
    systems=("windows",),
    title="pip install quiverdb into the Python of the machine",
)
_OTHER_SQLITE = """
import ctypes
ctypes.CDLL("libsqlite3.so.0", mode=ctypes.RTLD_GLOBAL)
import sqlite3
sqlite3.connect(":memory:").execute("SELECT 1").fetchall()
"""
_PYTHONS_SQLITE = """
import sqlite3
sqlite3.connect(":memory:").execute("SELECT 1").fetchall()
"""
_RUNTIME = "/opt/other/libstdc++.so.6"
_PUT_RUNTIME: tuple[Command, ...] = (
    ("install", "-D", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", _RUNTIME),
)
_OTHER_RUNTIME = f"""
import ctypes
ctypes.CDLL("{_RUNTIME}", mode=ctypes.RTLD_GLOBAL)
"""
# Found by the name of its file, a library that is in the process already is not looked for again.
_OLD_RUNTIME = """
import ctypes, os
for name in ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll"):
    ctypes.WinDLL(os.path.abspath(os.path.join("other", name)))
"""
_LOCALE = "import locale; locale.setlocale(locale.LC_ALL, '')"
_WINDOWS_USER = "C:\\users\\user"
_WINDOWS_PYTHON = f"{_WINDOWS_USER}\\AppData\\Local\\Programs\\Python\\Python313"
_WINDOWS_PATH = (
    "C:\\windows\\system32", "C:\\windows", f"{_WINDOWS_USER}\\.local\\bin",
    f"{_WINDOWS_PYTHON}\\Scripts", _WINDOWS_PYTHON,
)  # fmt: skip
_NON_ASCII = "José Müller 日本"
# Windows' own limit is 260 characters, the final zero included (Microsoft, Maximum Path Length
# Limitation); the longest path in a database's folder, and of the installed files, stays below.
_WINDOWS_LONG = f"{_WINDOWS_USER}\\{'a-long-name-' * 12}"


def _code(call: str) -> Command:
    """Return the command that runs a function of uses.py."""
    source = "r'{suite}/uses.py'"
    return ("python", "-c", f"exec(compile(open({source}, 'rb').read(), {source}, 'exec')); {call}")


_WRITE_OLD = _code("write_old_data()")


def _windows(**changes: object) -> dict[str, object]:
    """Return what is otherwise on Windows: the machine's own Python is installed into.

    It is done with uv, where nothing needs pip: pip takes three times as long there.
    """
    names = ("cwd", "environment", "roots", "skipped", "skipped_keys", "system")
    own = {name: getattr(SYSTEM, name) for name in names}
    return {**own, "installers": ("uv",), "prelude": "", "as_root": (), **changes}


def _windows_venv(home: str, **changes: object) -> dict[str, object]:
    """Return what is otherwise on Windows, in a virtual environment below ``home``."""
    return _windows(
        cwd=f"{home}\\project",
        environment={"USERPROFILE": home, "VIRTUAL_ENV": f"{home}\\venv"},
        system=False,
        setup=(("uv", "venv", "--quiet", f"{home}\\venv"),),
        python=(f"{home}\\venv\\Scripts\\python.exe",),
        **changes,
    )


_BOTH = ("linux", "windows")
_ALL = (
    VENV,
    SYSTEM,
    _like_venv(
        "pinned",
        "the release asked for by its version; nothing else can be taken in its place",
        installers=(),
        requirement=("{subject}=={version}",),
        deviation="the version is named",
    ),
    _like_venv(
        "managed",
        "an environment that the installer itself makes, keeps and removes",
        environment={"HOME": _HOME, "PATH": f"{_HOME}/.local/bin:{_BIN}"},
        installers=("uv-tool", "uv-run"),
    ),
    _like_venv(
        "user",
        "pip install --user: no environment, nothing written outside the home",
        environment={"HOME": _HOME, "PATH": f"{_HOME}/.local/bin:{_BIN}"},
        requirement=("--user", "--break-system-packages", "{subject}"),
        uninstall=("pip3", "uninstall", "--yes", "--break-system-packages", "{subject}"),
        python=("python3",),
        deviation="--user, and Debian's leave for it",
        systems=_BOTH,
        windows=_windows(
            title="pip install --user, in a home beyond ASCII",
            installers=("pip",),
            cwd=f"{_WINDOWS_USER}\\{_NON_ASCII}\\project",
            environment={
                "USERPROFILE": f"{_WINDOWS_USER}\\{_NON_ASCII}",
                "APPDATA": f"{_WINDOWS_USER}\\{_NON_ASCII}\\AppData\\Roaming",
                "LOCALAPPDATA": f"{_WINDOWS_USER}\\{_NON_ASCII}\\AppData\\Local",
            },
            requirement=("--user", "{subject}"),
            uninstall=(),
            python=("python",),
            uses=("absolute_paths",),
            cause="path-not-supported",
            deviation="--user",
        ),
    ),
    _like_venv(
        "root",
        "pip install as root into the system's Python, as in a container, used by another user",
        user="root",
        cwd="/root/project",
        environment={"HOME": "/root", "PATH": f"/usr/local/sbin:/usr/sbin:{_BIN}"},
        requirement=("--break-system-packages", "{subject}"),
        uninstall=("pip3", "uninstall", "--yes", "--break-system-packages", "{subject}"),
        python=("python3",),
        uses=("as_another_user",),
        cause="permission",
        deviation="--break-system-packages: Debian's leave to install into its own Python",
    ),
    _like_venv(
        "target",
        "pip install --target: a folder on PYTHONPATH",
        installers=("pip", "uv"),
        environment=_active(_VENV, PYTHONPATH=f"{_HOME}/lib"),
        requirement=("--target", f"{_HOME}/lib", "{subject}"),
        uninstall=("rm", "-r", f"{_HOME}/lib"),
        deviation="--target",
        systems=_BOTH,
        windows=_windows(
            environment={"PYTHONPATH": f"{_WINDOWS_USER}\\lib"},
            requirement=("--target", f"{_WINDOWS_USER}\\lib", "{subject}"),
            uninstall=("cmd", "/c", "rmdir", "/s", "/q", f"{_WINDOWS_USER}\\lib"),
        ),
    ),
    _like_venv(
        "read-only",
        "nothing is written beside the package after it was installed",
        after_install=(("chmod", "-R", "u-w", _SITE),),
        before_uninstall=(("chmod", "-R", "u+w", _SITE),),
        cause="permission",
    ),
    _like_venv(
        "noexec-temp",
        "nothing is run from the folder for temporary files",
        tmpfs={"/tmp": "rw,noexec,nosuid,mode=1777"},  # noqa: S108  (a mount, not a file of ours)
        skipped=(*VENV.skipped, "/tmp"),  # noqa: S108
    ),
    _in(
        f"{_HOME}/my things",
        "space-path",
        "a path with spaces, for the package and its data",
        systems=_BOTH,
        windows=_windows_venv(f"{_WINDOWS_USER}\\my things"),
    ),
    _in(
        f"{_HOME}/José Müller/日本語",
        "non-ascii-path",
        "a path and a home beyond ASCII, for the package and its data",
    ),
    _in(
        f"{_HOME}/{'a-long-name-' * 10}/{'another-one-' * 9}",
        "long-path",
        # SQLite itself opens no file whose path has more than 511 bytes (os_unix.c, MAX_PATHNAME).
        "a path of more than 400 characters, for the package and its data",
        systems=_BOTH,
        windows=_windows_venv(
            _WINDOWS_LONG, title="paths up to what Windows takes without a setting, 259 characters"
        ),
    ),
    Scenario(
        "non-ascii-home",
        title="a home beyond ASCII on Windows, for the package and its data",
        systems=("windows",),
        uses=("absolute_paths",),
        cause="path-not-supported",
        **_windows_venv(f"{_WINDOWS_USER}\\{_NON_ASCII}"),  # type: ignore[arg-type]
    ),
    _like_venv(
        "require-hashes",
        "an installation by hash takes exactly what was built",
        installers=(),
        requirement=("--require-hashes", "--requirement", "requirements.txt"),
        files=("hashes",),
        deviation="--require-hashes, from a file",
        systems=_BOTH,
        windows=_windows(),
    ),
    _like_venv(
        "no-binary",
        "where wheels are forbidden it is refused, and nothing is compiled",
        installers=("pip", "uv"),
        requirement=("--no-binary", "{subject}", "{subject}=={version}"),
        refuses="no-binary",
        deviation="--no-binary, and the version is named",
        systems=_BOTH,
        windows=_windows(),
    ),
    _like_venv(
        "offline",
        "a folder of wheels is enough: no index is asked",
        installers=("pip", "uv"),
        requirement=("--no-index", "--find-links", "wheels", "{subject}"),
        files=("wheels",),
        offline=True,
        deviation="--no-index --find-links, from a folder",
        systems=_BOTH,
        windows=_windows(),
    ),
    _like_venv(
        "twice",
        "a second installation changes nothing",
        installers=(),
        again=True,
        systems=_BOTH,
        windows=_windows(),
    ),
    _like_venv(
        "upgrade",
        "the newest earlier release is replaced, and its data are read",
        installers=(),
        first=(("install", "{subject}=={previous}"), _WRITE_OLD),
        requirement=("--upgrade", "{subject}"),
        uses=("old_data",),
        needs_previous=True,
        cause="upgrade-broken",
        deviation="--upgrade",
        systems=_BOTH,
        windows=_windows(installers=("pip",)),
    ),
    _like_venv(
        "downgrade",
        "an earlier release takes its place and gives it back, and the data are read",
        first=(
            ("install", "{subject}=={version}"),
            _WRITE_OLD,
            ("install", "{subject}=={previous}"),
            ("python", "-c", "import {subject}; {subject}.version()"),
        ),
        requirement=("--upgrade", "{subject}"),
        uses=("old_data",),
        needs_previous=True,
        cause="upgrade-broken",
        deviation="--upgrade",
    ),
    # Linux: the files are removed, not overwritten, so the old process keeps what it has loaded and
    # a new one gets the new release. Windows: a loaded DLL can be neither removed nor overwritten,
    # but renamed: pip moves it aside. The earlier release does not load on every Windows, so there
    # the same one is installed over itself.
    _like_venv(
        "upgrade-in-use",
        "it is replaced while a process uses it: that one goes on, a new one gets the new release",
        installers=("pip", "uv"),
        first=(("install", "{subject}=={previous}"), _code("start_holder(r'{suite}/uses.py')")),
        requirement=("--upgrade", "{subject}"),
        uses=("held_library",),
        needs_previous=True,
        cause="upgrade-broken",
        deviation="--upgrade",
        systems=_BOTH,
        windows=_windows(
            installers=("pip",),
            first=(("install", "{subject}"), _code("start_holder(r'{suite}/uses.py')")),
            requirement=("--force-reinstall", "--no-deps", "{subject}"),
            needs_previous=False,
            deviation="--force-reinstall --no-deps",
        ),
    ),
    _like_venv(
        "interrupted",
        "an earlier installation was ended half-way, and the next one mends it",
        installers=("pip", "uv"),
        first=(("install", "{subject}=={version}"), _code("interrupt_installation()")),
        cause="upgrade-broken",
    ),
    _like_venv(
        "old-cffi",
        "an older cffi is there, which the release's requirement replaces",
        installers=("pip", "uv"),
        first=(("install", "cffi==1.17.1"),),
        keeps_dependencies=True,
        cause="upgrade-broken",
    ),
    _like_venv(
        "decoy",
        "other libraries of the same names on LD_LIBRARY_PATH and PATH are passed over",
        environment=_active(_VENV, LD_LIBRARY_PATH="/opt/decoy")
        | {"PATH": f"{_VENV}/bin:/opt/decoy:{_BIN}"},
        as_root=(
            ("mkdir", "/opt/decoy"),
            *(
                ("sh", "-c", f"cp -L /lib/x86_64-linux-gnu/libz.so.1 /opt/decoy/{name}")
                for name in ("libquiver.so", "libquiver_c.so")
            ),
        ),
        cause="wrong-library-loaded",
        systems=_BOTH,
        windows=_windows(
            title="other libraries of the same names on PATH and in the folder are passed over",
            environment={"PATH": ";".join((f"{_WINDOWS_USER}\\project\\decoy", *_WINDOWS_PATH))},
            files=("decoys",),
        ),
    ),
    _like_venv(
        "other-sqlite",
        "another SQLite that came first, with global symbols, is not used in place of its own",
        prelude=_OTHER_SQLITE,
        uses=("own_sqlite", "own_symbols"),  # two of one source answer alike
        cause="symbol-interposition",
        systems=_BOTH,
        windows=_windows(
            title="the SQLite of Python, which came first, is not used in place of its own",
            prelude=_PYTHONS_SQLITE,
            uses=("own_sqlite",),  # Windows looks for no symbol in other libraries than the named
        ),
    ),
    _like_venv(
        "preloaded-sqlite",
        "another SQLite, by LD_PRELOAD before all else, is not used in place of its own",
        environment=_active(_VENV, LD_PRELOAD="libsqlite3.so.0"),
        uses=("own_sqlite", "own_symbols"),
        cause="symbol-interposition",
    ),
    _like_venv(
        "other-cpp-runtime",
        "another package's C++ run-time came first: code of its own is not looked for there",
        as_root=_PUT_RUNTIME,
        prelude=_OTHER_RUNTIME,
        uses=("own_symbols",),
        cause="symbol-interposition",
        systems=_BOTH,
        windows=_windows(
            title="another package's old C++ run-time, from before 14.40, came first",
            prelude=_OLD_RUNTIME,
            files=("old-runtime",),
            uses=(),
            cause="runtime-too-old",
        ),
    ),
    _like_venv(
        "preloaded-cpp-runtime",
        "another C++ run-time, by LD_PRELOAD before all else: its own code is not looked for there",
        environment=_active(_VENV, LD_PRELOAD=_RUNTIME),
        as_root=_PUT_RUNTIME,
        uses=("own_symbols",),
        cause="symbol-interposition",
    ),
    _like_venv(
        "thread",
        "first imported and used in a thread that is not the main one",
        environment=_active(_VENV, E2E_IN="thread"),
        systems=_BOTH,
        windows=_windows(environment={"E2E_IN": "thread"}),
    ),
    _like_venv("isolated", "python -I: neither the folder nor PYTHON* count",
               python=("python", "-I")),
    _like_venv("other-folder", "imported in one folder and first called in another",
               uses=("in_another_folder",)),
    _like_venv("fork", "a forked child uses it on", uses=("in_forked_child",)),
    _like_venv("spawn", "a spawned child imports and uses it", uses=("in_spawned_child",),
               systems=_BOTH, windows=_windows()),
    _like_venv(
        "two-interpreters", "two interpreters write to one database", uses=("two_interpreters",),
        systems=_BOTH, windows=_windows(),
    ),
    _like_venv(
        "zip", "imported from a zip archive it refuses, and says why", uses=("from_zip",),
        systems=_BOTH, windows=_windows(),
    ),
    _like_venv(
        "frozen",
        "in a program's own folder, modules in an archive, it works or says why not",
        uses=("from_frozen",),
        systems=_BOTH,
        windows=_windows(),
    ),
    _like_venv(
        "c-locale",
        "the C locale, with ASCII as the preferred encoding",
        environment=_active(_VENV, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        prelude=_LOCALE,
    ),
    _like_venv(
        "c-utf8-locale",
        "the C.UTF-8 locale, which has an encoding and neither language nor country",
        environment=_active(_VENV, LC_ALL="C.UTF-8"),
        prelude=_LOCALE,
    ),
    _like_venv(
        "turkish-locale",
        "a locale with a comma in numbers and an i of its own",
        environment=_active(_VENV, LC_ALL="tr_TR.UTF-8"),
        as_root=(("localedef", "-i", "tr_TR", "-f", "UTF-8", "tr_TR.UTF-8"),),
        prelude=_LOCALE,
    ),
    _like_venv(
        "umask-and-zone",
        "files for their owner only, and a time zone three quarters of an hour from others",
        environment=_active(_VENV, TZ="Asia/Kathmandu"),
        umask=0o077,
    ),
    _like_venv(
        "own-tests",
        "the package's own tests pass, away from its source",
        tests=True,
        systems=_BOTH,
        windows=_windows(),
    ),
)  # fmt: skip
SCENARIOS = {one.name: one for one in _ALL}
