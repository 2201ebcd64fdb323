from __future__ import annotations

import pytest

from verification.reproduction import pasted_report, similar_machine
from verification.reproduction.system_names import named_system

PIP_LOG = """\
$ pip --version
pip 24.3.1 from /home/ana/venv/lib/python3.12/site-packages/pip (python 3.12)
$ pip install quiverdb==0.13.5
Looking in indexes: https://token:hunter2@packages.example/simple
ERROR: Ignored the following versions that require a different python version: 0.13.5 Requires-Python >=3.13
ERROR: Could not find a version that satisfies the requirement quiverdb==0.13.5 (from versions: 0.1.0, 0.2.0)
ERROR: No matching distribution found for quiverdb==0.13.5

[notice] A new release of pip is available: 24.3.1 -> 25.0
"""  # noqa: E501
PIP_DEBUG = """\
WARNING: This command is only meant for debugging.
pip version: pip 24.2 from C:\\Program Files\\Python313\\Lib\\site-packages\\pip (python 3.13)
sys.version: 3.13.2 (tags/v3.13.2:4f8bb39, Feb  4 2025, 15:23:48) [MSC v.1942 64 bit (AMD64)]
sys.executable: C:\\Program Files\\Python313\\python.exe
sys.platform: win32
Compatible tags: 41
  cp313-cp313-win_amd64
  cp313-abi3-win_amd64
"""
PIP_DEBUG_LINUX = """\
pip version: pip 25.1 from /usr/lib/python3/dist-packages/pip (python 3.13)
sys.version: 3.13.1 (main, Jan  1 2025, 10:00:00) [GCC 13.3.0]
sys.platform: linux
Compatible tags: 800
  cp313-cp313-manylinux_2_39_x86_64
  cp313-cp313-manylinux_2_38_x86_64
"""
UV_LOG = """\
$ uv --version
uv 0.5.11 (c4d0caaee 2024-12-19)
$ uv pip install quiverdb
Using Python 3.12.8 environment at: .venv
  × No solution found when resolving dependencies:
  ╰─▶ Because the current Python version (3.12.8) does not satisfy Python>=3.13 and quiverdb==0.13.5 depends on Python>=3.13, we can conclude that quiverdb==0.13.5 cannot be used.
"""  # noqa: E501, RUF001
TRACEBACK = """\
I installed it yesterday on Windows 11 and it does not start:

```
Python 3.13.1 (tags/v3.13.1:0671451, Dec  3 2024, 19:06:28) [MSC v.1942 64 bit (AMD64)] on win32
>>> import quiverdb
>>> quiverdb.version()
Traceback (most recent call last):
  File "<stdin>", line 1, in <module>
  File "C:\\Users\\Ana\\AppData\\Local\\Programs\\Python\\Python313\\Lib\\site-packages\\quiverdb\\_loader.py", line 60, in load
    raise RuntimeError(f"cannot load {path}") from error
RuntimeError: cannot load library 'C:\\Users\\Ana\\quiverdb\\_libs\\libquiver.dll': error 0x7e
```
quiverdb 0.13.5
"""  # noqa: E501
ISSUE_FORM = """\
### Describe the bug

It crashes.

### Operating system

Ubuntu 22.04.3 LTS

### Python version

3.13.1

### Package version

0.13.5

### How did you install it?

pip

### Architecture

_No response_

### Error message

ImportError: /lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by libquiver.so)
"""  # noqa: E501
TEMPLATE_WITH_COMMENTS = """\
<!-- Thank you! Please fill in, for example:
OS: macOS 14, Python: 3.9 -->
- OS: Debian 12
- Python: 3.13
- [ ] Windows
- [x] I use a virtual environment
<!-- Version: 0.0.1 -->
- quiverdb version: 0.13.4
"""
TABLE = """\
| what | value |
|------|-------|
| OS | Fedora 41 |
| Python | 3.13.0 |
| Arch | aarch64 |
| uv version | 0.6.2 |
"""
DOCKERFILE = """\
FROM --platform=linux/amd64 python:3.13-alpine AS build
RUN pip install quiverdb==0.13.5
ERROR: Could not find a version that satisfies the requirement quiverdb==0.13.5 (from versions: none)
"""  # noqa: E501
PLATFORM = """\
>>> platform.platform()
'Linux-5.15.167.4-microsoft-standard-WSL2-x86_64-with-glibc2.35'
>>> sys.version
Python 3.13.0 experimental free-threading build (main, Oct  8 2024)
"""
MACOS = """\
$ sw_vers
ProductName:		macOS
ProductVersion:		14.5
$ uname -a
Darwin mac.local 23.5.0 Darwin Kernel Version 23.5.0: Wed May  1 20:12:58 PDT 2024; root:xnu-10063.121.3~5/RELEASE_ARM64_T6000 arm64
$ python3 -VV
Python 3.13.1 (main, Dec  3 2024, 17:59:52) [Clang 16.0.0 (clang-1600.0.26.4)]
"""  # noqa: E501
UNAME = """\
Linux web1 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64 GNU/Linux
ldd (Debian GLIBC 2.36-9+deb12u4) 2.36
  File "/srv/app/lib/python3.13/site-packages/quiverdb/__init__.py", line 3, in <module>
Segmentation fault (core dumped)
"""
SYSTEMINFO = """\
Host Name:                 DESKTOP-1
OS Name:                   Microsoft Windows 11 Home
OS Version:                10.0.22631 N/A Build 22631
System Type:               x64-based PC
Python 3.13.2
"""
OS_RELEASE = 'PRETTY_NAME="Rocky Linux 9.3 (Blue Onyx)"\nID="rocky"\nPython 3.13.1\n'
STORE = """\
pip 24.3.1 from C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.13_3.13.496.0_x64__qbz5n2kfra8p0\\Lib\\site-packages\\pip (python 3.13)
Successfully installed cffi-1.17.1 pycparser-2.22 quiverdb-0.13.5
"""  # noqa: E501
CONDA = """\
$ conda install -c conda-forge quiverdb
PackagesNotFoundError: The following packages are not available from current channels: quiverdb
Python 3.13.1 | packaged by conda-forge | (main, Dec  5 2024) [GCC 13.3.0] on linux
"""
PROXY = """\
OS: Windows 10, behind our Zscaler
Python 3.13.1
pip 24.0 from C:\\py\\pip (python 3.13)
WARNING: Retrying: SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain'))
ERROR: Could not find a version that satisfies the requirement quiverdb (from versions: none)
"""  # noqa: E501
POETRY = "OS: Ubuntu 24.04\nPython: 3.13\n$ poetry add quiverdb\nRuntimeError: no\n"
WORKFLOW = (
    "    runs-on: windows-2022\n    python-version: '3.13'\n    - run: pip install quiverdb\n"
)
HTML = "<ul><li><b>OS</b>: Windows&nbsp;10</li>\n<li>Python: <code>3.13</code></li></ul>"
QUOTED = "> OS: **Alpine Linux 3.20**\n>\n> Python 3.13.0\n"
ANSI = (
    "\x1b[31mERROR: No matching distribution found for quiverdb\x1b[0m\n"
    "OS: \x1b[1mDebian 11\x1b[0m\n"
)

REPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "pip log": (
        PIP_LOG,
        {"python": "3.12", "os": "linux", "pip": "24.3.1", "release": "0.13.5"},
    ),
    "pip debug on Windows": (
        PIP_DEBUG,
        {"python": "3.13.2", "os": "windows", "arch": "x86_64", "pip": "24.2"},
    ),
    "pip debug on Linux": (
        PIP_DEBUG_LINUX,
        {"python": "3.13.1", "os": "linux", "arch": "x86_64", "glibc": "2.39", "pip": "25.1"},
    ),
    "uv": (UV_LOG, {"python": "3.12.8", "uv": "0.5.11", "release": "0.13.5"}),
    "traceback": (
        TRACEBACK,
        {"python": "3.13.1", "os": "Windows 11", "arch": "x86_64", "release": "0.13.5"},
    ),
    "issue form": (
        ISSUE_FORM,
        {"python": "3.13.1", "os": "Ubuntu 22.04.3 LTS", "installer": "pip", "release": "0.13.5"},
    ),
    "template": (
        TEMPLATE_WITH_COMMENTS,
        {"python": "3.13", "os": "Debian 12", "release": "0.13.4"},
    ),
    "table": (TABLE, {"python": "3.13.0", "os": "Fedora 41", "arch": "aarch64", "uv": "0.6.2"}),
    "Dockerfile": (
        DOCKERFILE,
        {"os": "python:3.13-alpine", "installer": "pip", "release": "0.13.5"},
    ),
    "platform in WSL": (
        PLATFORM,
        {"python": "3.13.0t", "os": "WSL2", "arch": "x86_64", "glibc": "2.35"},
    ),
    "macOS": (MACOS, {"python": "3.13.1", "os": "macOS 14.5", "arch": "aarch64"}),
    "uname": (
        UNAME,
        {"python": "3.13", "os": "Debian 12", "arch": "x86_64", "glibc": "2.36"},
    ),
    "systeminfo": (
        SYSTEMINFO,
        {"python": "3.13.2", "os": "Microsoft Windows 11 Home", "arch": "x86_64"},
    ),
    "os-release": (OS_RELEASE, {"python": "3.13.1", "os": "Rocky Linux 9.3 (Blue Onyx)"}),
    "Store Python": (
        STORE,
        {
            "python": "3.13",
            "os": "windows",
            "pip": "24.3.1",
            "release": "0.13.5",
            "scenario": "store-python",
        },
    ),
    "conda": (
        CONDA,
        {"python": "3.13.1", "installer": "conda", "scenario": "conda-environment"},
    ),
    "proxy": (
        PROXY,
        {"python": "3.13.1", "os": "Windows 10, behind our Zscaler", "pip": "24.0",
         "scenario": "tls-proxy"},
    ),
    "Poetry": (POETRY, {"python": "3.13", "os": "Ubuntu 24.04", "installer": "poetry"}),
    "uv tool": (
        "OS: Fedora 41\nuv 0.6.2\n$ uvx --with quiverdb ipython\n",
        {"os": "Fedora 41", "installer": "uvx"},
    ),
    "another system": (
        "OS: Ubuntu 24.04\nNot the Python of the Microsoft Store.\n",
        {"os": "Ubuntu 24.04"},
    ),
    "workflow": (WORKFLOW, {"python": "3.13", "os": "windows-2022", "installer": "pip"}),
    "HTML": (HTML, {"python": "3.13", "os": "Windows\xa010"}),
    "quoted": (QUOTED, {"python": "3.13.0", "os": "Alpine Linux 3.20"}),
    "ANSI codes": (ANSI, {"os": "Debian 11"}),
    "one sentence": (
        "Windows 11, Python 3.13, quiverdb 0.13.5 does not load",
        {"python": "3.13", "os": "Windows 11", "release": "0.13.5"},
    ),
}  # fmt: skip


def _values(text: str) -> dict[str, str]:
    facts = pasted_report.read(text, "quiverdb")
    return {name: fact.value for name, fact in facts.items() if name != "error"}


@pytest.mark.parametrize("name", REPORTS)
def test_a_pasted_report_is_understood(name: str) -> None:
    text, expected = REPORTS[name]
    assert _values(text) == expected


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_understood_is_a_valid_request(name: str) -> None:
    facts = _values(REPORTS[name][0])
    options = ("python", "os", "arch", "glibc", "installer", "scenario")
    report = similar_machine.bug_report(**{key: facts[key] for key in options if key in facts})
    assert report.system or "os" not in facts


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (PIP_LOG, "No matching distribution"),
        (UV_LOG, "current Python version"),
        (TRACEBACK, "error 0x7e"),
        (ISSUE_FORM, "GLIBCXX_3.4.32"),
        (UNAME, "Segmentation fault"),
        (ANSI, "No matching distribution"),
        (POETRY, "RuntimeError: no"),
        ("OS: Debian 12", ""),
    ],
)
def test_the_error_line_is_found(text: str, error: str) -> None:
    fact = pasted_report.read(text, "quiverdb").get("error")
    assert error in (fact.value if fact else "")
    assert bool(fact) == bool(error)


def test_each_value_has_its_line_and_no_secret() -> None:
    text = "a\nOS: Debian 12 https://user:hunter2pass@packages.example/simple\n"
    fact = pasted_report.read(text, "quiverdb")["os"]
    assert fact.line == 2
    assert fact.text.startswith("OS: Debian 12")
    assert "hunter2pass" not in fact.text + fact.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n   \n",
        "it does not work, please help",
        "\x00\x01\x02" * 1000,
        "<!-- OS: Debian 12, Python 3.13",
        "- [ ] Windows 11\n- [ ] macOS 14\n",
        "### Operating system\n\n_No response_\n",
    ],
)
def test_a_text_without_facts_has_none(text: str) -> None:
    assert pasted_report.read(text, "quiverdb") == {}


@pytest.mark.parametrize(
    "text",
    [
        "OS: Debian 12\n" + "x" * 500_000,
        "OS: Debian 12\n" + "<!--" * 125_000,
        "OS: Debian 12\n" + "a-token=" * 60_000,
        "OS: Debian 12\n" + "Linux-" * 80_000,
        "OS: Debian 12\n" + "Python Python3\\ [MSC v.1 - quiverdb-1.2 \n" * 12_000,
        "OS: Debian 12\n" + "Successfully installed\tquiverdb Linux- \n" * 12_000,
        "OS: Debian 12\n" + "\x1b[31m\x1b]0;" * 50_000,
        "OS: Debian 12\n" + "<b <b " * 80_000,
    ],
    ids=["long line", "comments", "secrets", "kernel", "lines", "installed", "ANSI", "tags"],
)
def test_fact_before_a_long_text_is_read(text: str) -> None:
    # With a pattern that takes quadratic time, this reaches the time limit of the test.
    assert _values(text)["os"] == "Debian 12"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"OS: Debian 12", "OS: Debian 12"),
        (b"\xef\xbb\xbfOS: Debian 12", "OS: Debian 12"),
        ("OS: Debian 12".encode("utf-16"), "OS: Debian 12"),
        (b"\xff\xffOS", "\ufffd\ufffdOS"),
    ],
)
def test_bytes_of_every_shell_are_decoded(data: bytes, expected: str) -> None:
    assert pasted_report.decoded(data) == expected


def test_binary_data_does_not_fail() -> None:
    data = bytes(range(256)) * 400
    pasted_report.read(pasted_report.decoded(data), "quiverdb")


def test_values_of_systems_are_known_names() -> None:
    for text, _ in REPORTS.values():
        if value := _values(text).get("os"):
            assert named_system(value)
