"""The scenarios: where and how a user installs and uses the package, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.support.installers import Installer

Command = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way of installing and using; paths are as the machine's own programs see them.

    In commands ``{subject}``, ``{version}`` and ``{previous}`` stand for the package, the version
    under test and that of the newest earlier release.
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
    """What the user has in the project's folder: ``hashes`` or ``wheels``."""
    offline: bool = False
    """Whether the index must not be asked at all."""
    tests: bool = False
    """Whether the package's own tests run after the exercise."""
    needs_previous: bool = False
    """Whether it needs an earlier release on the index."""
    refuses: str = ""
    """The cause by which the installer must refuse here; empty where the machine decides."""
    cause: str = "use-not-supported"
    """What it is called when only this way of using fails."""

    def options(self, installer: Installer) -> tuple[str, ...]:
        """Return what this installer must be told here."""
        return installer.system_option if self.system else ()


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
    roots=("/",),
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
_WINDOWS_HOME = "C:\\users\\user\\José Müller 日本"
_OTHER_SQLITE = """
import ctypes
ctypes.CDLL("libsqlite3.so.0", mode=ctypes.RTLD_GLOBAL)
import sqlite3
sqlite3.connect(":memory:").execute("SELECT 1").fetchall()
"""
_WRITE_OLD = ("python", "-c", "exec(compile(open('/e2e/uses.py', 'rb').read(), 'uses.py', 'exec'));"
              "write_old_data()")  # fmt: skip
_LOCALE = "import locale; locale.setlocale(locale.LC_ALL, '')"
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
        "user",
        "pip install --user: no environment, nothing written outside the home",
        environment={"HOME": _HOME, "PATH": f"{_HOME}/.local/bin:{_BIN}"},
        requirement=("--user", "--break-system-packages", "{subject}"),
        uninstall=("pip3", "uninstall", "--yes", "--break-system-packages", "{subject}"),
        python=("python3",),
        deviation="--user, and Debian's leave for it",
    ),
    _like_venv(
        "target",
        "pip install --target: a folder on PYTHONPATH",
        installers=("pip", "uv"),
        environment=_active(_VENV, PYTHONPATH=f"{_HOME}/lib"),
        requirement=("--target", f"{_HOME}/lib", "{subject}"),
        uninstall=("rm", "-r", f"{_HOME}/lib"),
        deviation="--target",
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
    _in(f"{_HOME}/my things", "space-path", "a path with spaces, for the package and its data"),
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
    ),
    Scenario(
        "non-ascii-home",
        title="a home beyond ASCII on Windows, for the package and its data",
        cwd=f"{_WINDOWS_HOME}\\project",
        environment={
            "USERPROFILE": _WINDOWS_HOME,
            "VIRTUAL_ENV": f"{_WINDOWS_HOME}\\venv",
        },
        python=(f"{_WINDOWS_HOME}\\venv\\Scripts\\python.exe",),
        setup=(("uv", "venv", "--quiet", f"{_WINDOWS_HOME}\\venv"),),
        roots=SYSTEM.roots,
        skipped=(),
        skipped_keys=SYSTEM.skipped_keys,
        systems=("windows",),
        installers=("uv",),
        uses=("absolute_paths",),
        cause="path-not-supported",
    ),
    _like_venv(
        "require-hashes",
        "an installation by hash takes exactly what was built",
        installers=(),
        requirement=("--require-hashes", "--requirement", "requirements.txt"),
        files=("hashes",),
        deviation="--require-hashes, from a file",
    ),
    _like_venv(
        "no-binary",
        "where wheels are forbidden it is refused, and nothing is compiled",
        installers=("pip", "uv"),
        requirement=("--no-binary", "{subject}", "{subject}=={version}"),
        refuses="no-binary",
        deviation="--no-binary, and the version is named",
    ),
    _like_venv(
        "offline",
        "a folder of wheels is enough: no index is asked",
        installers=("pip", "uv"),
        requirement=("--no-index", "--find-links", "wheels", "{subject}"),
        files=("wheels",),
        offline=True,
        deviation="--no-index --find-links, from a folder",
    ),
    _like_venv("twice", "a second installation changes nothing", installers=(), again=True),
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
    ),
    _like_venv(
        "other-sqlite",
        "another SQLite that came first, with global symbols, is not used in place of its own",
        prelude=_OTHER_SQLITE,
        uses=("own_sqlite",),
        cause="symbol-interposition",
    ),
    _like_venv(
        "thread",
        "first imported and used in a thread that is not the main one",
        environment=_active(_VENV, E2E_IN="thread"),
    ),
    _like_venv("isolated", "python -I: neither the folder nor PYTHON* count",
               python=("python", "-I")),
    _like_venv("fork", "a forked child uses it on", uses=("in_forked_child",)),
    _like_venv("spawn", "a spawned child imports and uses it", uses=("in_spawned_child",)),
    _like_venv(
        "two-interpreters", "two interpreters write to one database", uses=("two_interpreters",)
    ),
    _like_venv(
        "zip", "imported from a zip archive it refuses, and says why", uses=("from_zip",)
    ),
    _like_venv(
        "c-locale",
        "the C locale, with ASCII as the preferred encoding",
        environment=_active(_VENV, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
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
        "files for their owner only, and a time zone that the machine does not know",
        environment=_active(_VENV, TZ="Asia/Kathmandu"),
        umask=0o077,
    ),
    _like_venv("own-tests", "the package's own tests pass, away from its source", tests=True),
    dataclasses.replace(
        SYSTEM,
        name="system-own-tests",
        title="the package's own tests pass on Windows, away from its source",
        installers=("uv",),  # pip takes 8 seconds more
        tests=True,
    ),
)  # fmt: skip
SCENARIOS = {one.name: one for one in _ALL}
