"""Read a pasted bug report: logs of pip and uv, tracebacks, platform lines, issue forms.

Every step takes a time that is linear in the length of the text, because anybody can write it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, get_args

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from verification.models.report import ReportedFact, ReportedName
from verification.report.scrub import Scrubber
from verification.reproduction import substitutes
from verification.reproduction.system_names import PROCESSORS, named_system
from verification.rules import reported_error

_NAMES: tuple[ReportedName, ...] = get_args(ReportedName)
_MAX_LINE = 1000
"""The characters of a line that are read."""
_MAX_SHOWN = 200
_MAX_LINES = 5000
"""The lines at the beginning and at the end that are read. A log has its error at the end."""
_CONTROL = re.compile(r"\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.")
_TAG = re.compile(
    r"</?(?:a|b|br|code|dd|details|div|dl|dt|em|h[1-6]|i|li|ol|p|pre|span|strong|summary|table|td|th"
    r"|tr|ul)(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"^[\s>|'\"]*(?:[-*+]\s+|\d+\.\s+)?(?:\[[xX]\]\s*)?")
_UNTICKED = re.compile(r"^[\s>]*[-*+]\s+\[ ?\]")
_HEADING = re.compile(r"^\s*(?:#{1,6}\s+(.+?)|\*\*([^*]{1,60}?):?\*\*:?)\s*$")
_FIELD = re.compile(r"^\**([A-Za-z][\w ./()?-]{0,60}?)\**\s*[:=|]\s*\**\s*(\S.*?)[\s|]*$")
_NO_VALUE = ("_no response_", "n/a", "none", "no response")
_PYTHON = r"3\.\d{1,2}(?:\.\d+)?(?:(?:a|b|rc)\d+)?t?"
_PROGRAM_VERSION = r"(\d+\.\d+(?:\.\d+)*)"


class _Line(NamedTuple):
    number: int
    text: str
    """The line without markup."""
    label: str = ""
    """The label of a field in lower case; empty if the line is not a field."""
    value: str = ""


class _Candidate(NamedTuple):
    """A possible value, and how far to trust it: 0 is best."""

    name: ReportedName
    value: str
    rank: int
    line: _Line
    prefers_last: bool = False


def read(text: str, project: str) -> Mapping[ReportedName, ReportedFact]:
    """Return what a bug report says about the machine, the installer and the release.

    ``project`` is the name of the package under test. Of several values the most exact one counts,
    then the first.
    """
    best: dict[ReportedName, _Candidate] = {}
    rules = [*_RULES, *_project_rules(project)]
    for line in _lines(text):
        for candidate in _candidates(line, rules, project):
            current = best.get(candidate.name)
            if current is None or (
                candidate.rank <= current.rank
                if candidate.prefers_last
                else candidate.rank < current.rank
            ):
                best[candidate.name] = candidate
    kept = _consistent(best)
    return {name: _fact(kept[name]) for name in _NAMES if name in kept}


def _fact(candidate: _Candidate) -> ReportedFact:
    scrubber = Scrubber()
    return ReportedFact(
        name=candidate.name,
        value=scrubber.text(candidate.value[: 2 * _MAX_SHOWN]),
        line=candidate.line.number,
        text=scrubber.text(candidate.line.text.strip())[:_MAX_SHOWN],
    )


def _consistent(best: dict[ReportedName, _Candidate]) -> dict[ReportedName, _Candidate]:
    """Remove values that cannot belong to the same machine."""
    kept = dict(best)
    program = best["installer"].value if "installer" in best else ""
    if "pip" in kept and program != "uv":
        kept.pop("uv", None)
    for name in ("pip", "uv"):
        if program == name and name in kept:
            kept.pop("installer")  # the version names the program too
        elif program and program != name:
            kept.pop(name, None)
    named = named_system(best["os"].value) if "os" in best else None
    if named and (named.system.os != "linux" or named.system.glibc == "musl"):
        kept.pop("glibc", None)
    environment = substitutes.named(best["scenario"].value) if "scenario" in best else None
    if named and environment and environment.os not in ("", named.system.os):
        kept.pop("scenario")
    return kept


# ---- lines ----


def decoded(data: bytes) -> str:
    """Return pasted bytes as text. PowerShell writes UTF-16 with a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines with content, without markup, comments and unticked boxes."""
    heading = ""
    for number, raw in enumerate(_without_comments(text), 1):
        if _UNTICKED.match(raw):
            continue
        if match := _HEADING.match(raw):
            heading = _label(match[1] or match[2])
            continue
        clean = html.unescape(_TAG.sub(" ", raw)) if "<" in raw or "&" in raw else raw
        line = _MARKUP.sub("", clean).replace("`", "").rstrip()
        if not line or line.startswith("```") or line.lower() in _NO_VALUE:
            continue
        match = _FIELD.match(line)
        label, value = (_label(match[1]), match[2].strip("*\"' ")) if match else ("", "")
        if heading and not match:
            label, value = heading, line
        heading = ""
        yield _Line(number, line, label, value)


def _without_comments(text: str) -> Iterator[str]:
    """Yield the lines without control characters, at most 1,000 characters, and HTML comments."""
    in_comment = False
    lines = re.split(r"\r\n|\n|\r", text)
    for number, raw in enumerate(lines):
        is_read = number < _MAX_LINES or number >= len(lines) - _MAX_LINES
        line = raw[:_MAX_LINE] if is_read else ""
        if "\x1b" in line:
            line = _CONTROL.sub("", line)
        if not line.isprintable():
            line = "".join(c if c.isprintable() else " " for c in line)
        visible = ""
        while line:
            if in_comment:
                _, end, line = line.partition("-->")
                in_comment = not end
            else:
                before, start, line = line.partition("<!--")
                visible += before
                in_comment = bool(start)
        yield visible


def _label(text: str) -> str:
    return " ".join(re.sub(r"[*_`:?]", " ", text).lower().split())


# ---- rules ----


class _Rule(NamedTuple):
    """Lines with this pattern contain a value. `value` makes it from the match; "" is none."""

    name: ReportedName
    rank: int
    pattern: re.Pattern[str]
    value: Callable[[re.Match[str]], str]


def _group(match: re.Match[str]) -> str:
    return match[1]


def _constant(value: str) -> Callable[[re.Match[str]], str]:
    return lambda _match: value


def _full_python(match: re.Match[str]) -> str:
    is_free_threaded = "free-threading" in match.string and not match[1].endswith("t")
    return match[1] + "t" * is_free_threaded


def _path_python(match: re.Match[str]) -> str:
    return f"3.{match[1]}{match[2]}"


def _system(match: re.Match[str]) -> str:
    return match[1].strip() if named_system(match[1]) else ""


def _processor(match: re.Match[str]) -> str:
    return PROCESSORS[match[1].lower()]


def _windows_processor(match: re.Match[str]) -> str:
    return {"AMD64": "x86_64", "ARM64": "aarch64"}.get(match[1], "i686")


def _kernel_system(match: re.Match[str]) -> str:
    """Return the distribution that built a kernel. It is that of the host of a container."""
    release = match[0]
    for pattern, name in _KERNELS:
        if found := re.search(pattern, release):
            return f"{name} {found[1] if found.groups() else ''}".strip()
    return match[1]


_KERNELS = (
    (r"microsoft.*WSL2|Microsoft", "WSL"),
    (r"~(\d\d\.\d\d)\.\d+-Ubuntu", "Ubuntu"),
    (r"-Ubuntu", "Ubuntu"),
    (r"Debian 5\.10\.", "Debian 11"),
    (r"Debian 6\.1\.", "Debian 12"),
    (r"Debian 6\.12\.", "Debian 13"),
    (r"\+rpt|-rpi|raspberrypi", "Raspberry Pi OS"),
    (r"\.el(\d+)", "RHEL"),
    (r"\.fc(\d+)", "Fedora"),
    (r"amzn(2023|2)\b", "Amazon Linux"),
    (r"-arch\d", "Arch Linux"),
)
_WHEEL_PROCESSORS: Mapping[str, str] = {
    "win32": "i686",
    "win_amd64": "x86_64",
    "win_arm64": "aarch64",
}
_PROCESSOR_NAMES = "|".join(map(re.escape, sorted(PROCESSORS, key=len, reverse=True)))
_PROSE_SYSTEM = (
    r"\b((?:Windows (?:Server )?\d[\w.]*|Win(?:7|10|11)|macOS \w+|Ubuntu \d\d\.\d\d|Debian \d+"
    r"|Debian (?:bullseye|bookworm|trixie)|Fedora \d+|Alpine(?: Linux)?(?: \d[\d.]*)?"
    r"|(?:RHEL|Rocky Linux|AlmaLinux|CentOS|Oracle Linux|Amazon Linux) ?\d[\d.]*"
    r"|Linux Mint \d+|openSUSE(?: Leap [\d.]+)?|WSL ?2?|Raspberry Pi(?: OS)?|Arch Linux|Manjaro"
    r"|NixOS|Termux|FreeBSD|Codespaces?|AWS Lambda|Google Colab|Colab)(?: \(?ARM(?:64)?\)?)?)(?!\w)"
)


def _rule(
    name: ReportedName, rank: int, pattern: str, value: Callable[[re.Match[str]], str] = _group
) -> _Rule:
    return _Rule(name, rank, re.compile(pattern), value)


_RULES = (
    # `python -VV`, pip debug, uv
    _rule("python", 0, rf"^Python ({_PYTHON})\b", _full_python),
    _rule("python", 0, rf"^(?:sys\.version|sys version): ?({_PYTHON})\b", _full_python),
    _rule("python", 0, rf"\bUsing (?:CPython|Python) ({_PYTHON})\b"),
    _rule("python", 1, rf"\(python ({_PYTHON})\)"),
    _rule("python", 1, rf"current Python version \(({_PYTHON})\)"),
    _rule("python", 1, rf"requires a different Python: ({_PYTHON})"),
    _rule("python", 3, rf"\b[Pp]ython[ =-]?v?({_PYTHON})(?![\w.]*[/\\])\b"),
    _rule("python", 4, r"python3\.(\d{1,2})(t?)[/\\]", _path_python),
    _rule("python", 4, r"[Pp]ython3(\d{1,2})(t?)(?:-\d\d)?[/\\]", _path_python),
    _rule("python", 5, r"-cp3(\d{1,2})-cp3\d{1,2}(t?)-", _path_python),
    # platform.platform(), lsb_release, os-release, ver, Dockerfiles, workflows
    _rule("os", 1, r"\b(Windows-\d[\w.]*-[\d.]+(?:-SP\d)?)", _system),
    _rule("os", 1, r"\b(macOS-[\d.]+-[\w-]+)", _system),
    _rule("os", 1, r"(Microsoft Windows \[Version [\d.]+\])", _system),
    _rule("os", 1, r"^FROM\s+(?:--platform=\S+\s+)?(\S+)", _system),
    _rule("os", 1, r"^PRETTY_NAME=\"?([^\"]+)", _system),
    _rule("os", 1, r"^ProductVersion:\s*([\d.]+)", lambda match: f"macOS {match[1]}"),
    _rule("os", 3, _PROSE_SYSTEM, _system),
    _rule("os", 2, r"^(Linux|Darwin|FreeBSD|OpenBSD|NetBSD) \S+ \d+\.\d.*", _kernel_system),
    _rule("os", 2, r"(Linux)-[\w.+-]{0,99}-with-musl", _constant("alpine")),
    _rule("os", 4, r"(Linux)-[\w.+-]{0,99}-with", _kernel_system),
    _rule("os", 6, r"(WindowsApps|[A-Z]:\\)", _constant("windows")),
    _rule("os", 6, r"(-win_amd64|-win32|-win_arm64|sys\.platform: win32)", _constant("windows")),
    _rule(
        "os", 6, r"(/Users/\w|-macosx_\d|/opt/homebrew|sys\.platform: darwin)", _constant("macos")
    ),
    _rule("os", 6, r"(-musllinux_\d)", _constant("alpine")),
    _rule("os", 7, r"(/home/\w|/usr/l|-manylinux\w|sys\.platform: linux)", _constant("linux")),
    # processors
    _rule("arch", 2, r"\[MSC v\.\d+ \d\d bit \((AMD64|ARM64|Intel)\)\]", _windows_processor),
    _rule(
        "arch",
        2,
        rf"^(?:Linux|Darwin|FreeBSD|Windows|macOS)[- ].*?[- ]({_PROCESSOR_NAMES})(?:[- ]|$)",
        _processor,
    ),
    _rule("arch", 3, r"(?:linux|macosx)_(?:\d+_)+(x86_64|aarch64|arm64|armv7l|i686)", _processor),
    _rule("arch", 3, r"-(win32|win_amd64|win_arm64)\b", lambda match: _WHEEL_PROCESSORS[match[1]]),
    # glibc: `ldd --version`, platform.platform(), pip debug
    _rule("glibc", 0, r"^ldd \(.*\) (2\.\d+)$"),
    _rule("glibc", 0, r"-with-glibc(2\.\d+)"),
    _rule("glibc", 1, r"\b(?:glibc|GLIBC|libc6?)[ :=-]{1,3}(2\.\d+)\b"),
    _rule("glibc", 2, r"^cp3\d+-cp3\d+t?-manylinux_2_(\d+)_", lambda match: f"2.{match[1]}"),
    # installers
    _rule("pip", 0, rf"\bpip {_PROGRAM_VERSION} from "),
    _rule("pip", 1, rf"new release of pip (?:is )?available: {_PROGRAM_VERSION}"),
    _rule("pip", 1, rf"You are using pip version {_PROGRAM_VERSION}"),
    _rule("uv", 0, rf"^uv {_PROGRAM_VERSION}\b"),
    _rule("uv", 0, rf"\buv v?{_PROGRAM_VERSION} \("),
    _rule("installer", 1, r"(?<![\w/.-])(uv tool|uv run|uvx|uv add|uv sync)\b"),
    _rule("installer", 1, r"\buv pip install\b", _constant("uv")),
    _rule(
        "installer",
        1,
        r"\b(poetry|pdm|pipx|pipenv|rye) (?:add|install|run|sync)\b",
    ),
    _rule("installer", 2, r"\bpip3? install\b", _constant("pip")),
    _rule("installer", 3, r"^(?:Collecting|Looking in indexes:) ", _constant("pip")),
    _rule("installer", 3, r"^(?:Resolved|Prepared|Installed) \d+ packages? in ", _constant("uv")),
    _rule(
        "installer",
        3,
        r"^Using (?:CPython|Python) \S+ (?:environment|interpreter)",
        _constant("uv"),
    ),
    # user environments
    _rule(
        "scenario",
        1,
        r"PythonSoftwareFoundation\.Python|[Mm]icrosoft Store",
        _constant("store-python"),
    ),
    _rule(
        "scenario",
        1,
        r"CERTIFICATE_VERIFY_FAILED|self.signed certificate in certificate chain|UnknownIssuer",
        _constant("tls-proxy"),
    ),
    _rule(
        "scenario",
        2,
        r"packaged by (?:conda-forge|Anaconda)|[/\\](?:mini|ana)(?:conda|forge)3?[/\\]",
        _constant("conda-environment"),
    ),
)
_ERROR = re.compile(
    r"^(?:[\w.]+\.)?\w*(?:Error|Exception)\b.*|^(?:ERROR|error|fatal|Fatal Python error): ?.*"
    r"|^(?:\u00d7|\u2570\u2500\u25b6|hint:|Because) ?.*"
    r"|.*(?:Segmentation fault|Illegal instruction|core dumped).*"
)


def _project_rules(project: str) -> tuple[_Rule, ...]:
    """Return the rules with the name of a project, which can have any separators."""
    name = r"[-_.]".join(map(re.escape, canonicalize_name(project).split("-")))
    version = r"(\d+(?:\.\d+)+(?:(?:a|b|rc|\.?dev|\.?post)\d+)*)"
    conda = rf"\b(conda|mamba|micromamba|pixi) (?:install|add)\b.*(?<![\w.-]){name}(?![\w-])"
    releases = (
        _Rule("release", rank, re.compile(pattern, re.IGNORECASE), _group)
        for rank, pattern in (
            (0, rf"(?<![\w.-]){name}(?:\[[\w,]*\])?=={version}"),
            (1, rf"^\s*Successfully installed .*?(?<![\w.-]){name}-{version}"),
            (2, rf"(?<![\w.-]){name}-{version}(?:-(?:cp|py)\d|\.tar\.gz)"),
            (2, rf"(?<![\w.-]){name}(?: version)?:? v?{version}(?![\w.]*-)"),
        )
    )
    return (_rule("installer", 0, conda), *releases)


def _candidates(line: _Line, rules: list[_Rule], project: str) -> Iterator[_Candidate]:
    if line.label:
        yield from _field_candidates(line, project)
    for rule in rules:
        if (match := rule.pattern.search(line.text)) and (value := rule.value(match)):
            yield _Candidate(rule.name, value, rule.rank + _vagueness(rule.name, value), line)
    for text in (line.text, line.value):
        if text and _ERROR.match(text):
            rank = 0 if reported_error.causes_of(text) else 1
            yield _Candidate("error", text, rank, line, prefers_last=True)
            break


def _vagueness(name: ReportedName, value: str) -> int:
    """Return 2 for a system without a version, because another line can name it."""
    return 2 if name == "os" and not re.search(r"\d", value) and value != "alpine" else 0


# ---- fields of forms ----

_LABELS: Mapping[str, ReportedName] = {
    **dict.fromkeys(
        (
            "os", "operating system", "os name", "platform", "distribution", "distro", "system",
            "pretty name", "os version", "environment", "description", "runs-on", "base image",
            "image", "operating system and version", "os / distribution", "machine", "where",
            "platform.platform()", "device",
        ),
        "os",
    ),
    **dict.fromkeys(("python", "python version", "python-version", "interpreter"), "python"),
    **dict.fromkeys(
        ("arch", "architecture", "cpu", "processor", "system type", "cpu architecture",
         "platform.machine()"),
        "arch",
    ),
    **dict.fromkeys(("glibc", "libc", "glibc version", "c library"), "glibc"),
    **dict.fromkeys(("pip", "pip version"), "pip"),
    **dict.fromkeys(("uv", "uv version"), "uv"),
    **dict.fromkeys(
        ("installer", "package manager", "installed with", "install method", "installation method",
         "how did you install", "how did you install it", "installation"),
        "installer",
    ),
    **dict.fromkeys(("version", "package version", "release", "library version"), "release"),
}  # fmt: skip
_FIELD_VALUES: Mapping[ReportedName, re.Pattern[str]] = {
    "python": re.compile(rf"({_PYTHON})(?![\d.])"),
    "arch": re.compile(rf"(?<![a-z0-9])({_PROCESSOR_NAMES})(?![a-z0-9])", re.IGNORECASE),
    "glibc": re.compile(r"\b(2\.\d+)\b"),
    "pip": re.compile(_PROGRAM_VERSION),
    "uv": re.compile(_PROGRAM_VERSION),
    "installer": re.compile(r"([A-Za-z][\w-]*(?: [A-Za-z]\w*){0,2})"),
    "release": re.compile(r"v?(\d+(?:\.\d+)+\S*)"),
}


def _field_candidates(line: _Line, project: str) -> Iterator[_Candidate]:
    name = _LABELS.get(line.label)
    if line.label in (project.lower(), f"{project.lower()} version"):
        name = "release"
    if name == "os":
        if named := named_system(line.value):
            rank = _vagueness("os", line.value)
            yield _Candidate("os", line.value, rank, line)
            if named.processor:
                yield _Candidate("arch", named.processor, 2, line)
    elif (
        name
        and (match := _FIELD_VALUES[name].search(line.value))
        and (value := _valid(name, match[1]))
    ):
        yield _Candidate(name, value, 1, line)


def _valid(name: ReportedName, value: str) -> str:
    """Return the value of a field in the form of its option; empty if it is not one."""
    match name:
        case "arch":
            return PROCESSORS[value.lower()]
        case "installer":
            word = value.lower().split()[0]
            return value if substitutes.named(value) else word if _is_installer(word) else ""
        case "release":
            try:
                return str(Version(value))
            except InvalidVersion:
                return ""
        case _:
            return value


def _is_installer(word: str) -> bool:
    return word in ("pip", "uv") or substitutes.named(word) is not None
