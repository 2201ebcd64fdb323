"""Compare the files of a release with the machine of a bug report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.tags import Tag, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from verification.models.base import Model
from verification.models.release import allows_python
from verification.reproduction.similar_machine import BugReport
from verification.scenarios.expectation import linux_platforms, python_tags

# The assumed versions if the bug report names none. A file that does not fit the newest version
# does not fit an older one either.
_NEWEST = {"glibc": (2, 99), "musl": (1, 9)}
_NEWEST_MACOS = (99, 0)
_WINDOWS_TAGS = {"": "win_amd64", "x86_64": "win_amd64", "aarch64": "win_arm64", "i686": "win32"}
_SHOWN_NAMES = 3


class IndexedFile(Model):
    """A wheel or source distribution of the project."""

    name: str
    version: str
    requires_python: str = ""

    @property
    def is_wheel(self) -> bool:
        """True for a wheel."""
        return self.name.endswith(".whl")


class ReleaseFiles(Model):
    """The files of a release, and of the releases that an installer can choose instead."""

    project: str
    version: str
    files: tuple[IndexedFile, ...]
    earlier: tuple[IndexedFile, ...] = ()
    """The files of earlier releases that are neither yanked nor prereleases."""
    unknown: str = ""
    """Why the list of files may be incomplete; empty if it is complete."""


class FilesAnswer(Model):
    """The answer from the files. They can prove that none fits. A file that fits can still fail."""

    works: bool | None
    """False if no installer can use the release on the machine; None if the files do not decide."""
    text: str
    """The reason, in one sentence without a full stop."""
    cause: str = ""
    """The name of the cause, a key of causes.toml; empty if a wheel fits."""


def files_answer(bug_report: BugReport, release: ReleaseFiles) -> FilesAnswer:
    """Decide from the files whether an installer can use the release on the reported machine.

    Only tags and Requires-Python are compared. What the bug report does not name counts as a match.
    """
    name = f"{release.project} {release.version}"
    allowed = [file for file in release.files if _allows(bug_report, file)]
    if wheels := [file.name for file in allowed if file.is_wheel and _fits(bug_report, file.name)]:
        return FilesAnswer(works=None, text=f"an installer there chooses {' or '.join(wheels)}")
    if sources := [file.name for file in allowed if not file.is_wheel]:
        text = f"no wheel of {name} fits; an installer there builds {sources[0]}"
        return FilesAnswer(works=None, text=text, cause="sdist-fallback")
    if release.unknown:
        return FilesAnswer(works=None, text=f"no known wheel of {name} fits: {release.unknown}")
    if release.files and not allowed:
        required = sorted({file.requires_python for file in release.files})
        text = f"Requires-Python {' or '.join(required)} excludes Python {bug_report.python}"
        cause = "unsupported-python"
    else:
        # The cause is the platform if no wheel would fit with another Python either.
        any_python = bug_report.model_copy(update={"python": ""})
        fits_platform = any(_fits(any_python, file.name) for file in release.files if file.is_wheel)
        cause = "unsupported-python" if fits_platform else "unsupported-platform"
        names = sorted(file.name for file in release.files if file.is_wheel)
        hidden = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        shown = ", ".join(names[:_SHOWN_NAMES]) or "no wheel"
        text = f"no wheel of {name} fits; the release has {shown}{hidden}"
    if fallback := _fallback(bug_report, release.earlier):
        text += f"; without a named version, an installer chooses {release.project} {fallback}"
        cause = "silent-fallback"
    return FilesAnswer(works=False, text=text, cause=cause)


def _fallback(bug_report: BugReport, earlier: Iterable[IndexedFile]) -> str:
    """Return the newest earlier release with a file that fits; empty if there is none."""
    versions = [
        Version(file.version)
        for file in earlier
        if _allows(bug_report, file) and (not file.is_wheel or _fits(bug_report, file.name))
    ]
    return str(max(versions)) if versions else ""


def _allows(bug_report: BugReport, file: IndexedFile) -> bool:
    version = bug_report.python_version
    if version is None:
        return True
    minor = ".".join(map(str, version))
    return allows_python(file.requires_python, minor, bug_report.full_python)


def _fits(bug_report: BugReport, name: str) -> bool:
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return False  # no installer accepts such a name
    if bug_report.system and bug_report.os == "other":
        families = ("any", f"{bug_report.system.family}_")
        return any(tag.platform.startswith(families) for tag in tags)
    platforms = tuple(_platforms(bug_report))
    if bug_report.python_version is None:
        return any(tag.platform in ("any", *platforms) for tag in tags)
    fitting: frozenset[Tag] = python_tags(
        bug_report.python_version, platforms, free_threaded=bug_report.free_threaded
    )
    return not tags.isdisjoint(fitting)


def _platforms(bug_report: BugReport) -> Iterator[str]:
    """Yield the platform tags that fit the machine of the bug report."""
    match bug_report.os:
        case "windows":
            yield _WINDOWS_TAGS.get(bug_report.processor, f"win_{bug_report.processor}")
        case "macos":
            processors = {"": ("x86_64", "arm64"), "aarch64": ("arm64",)}
            for processor in processors.get(bug_report.processor, (bug_report.processor,)):
                yield from mac_platforms(_macos_version(bug_report), processor)
        case _:
            libc = "musl" if bug_report.libc == "musl" else "glibc"
            major, _, minor = bug_report.libc.partition(".")
            version = (int(major), int(minor)) if minor else _NEWEST[libc]
            yield from linux_platforms(libc, version, bug_report.processor or "x86_64")


def _macos_version(bug_report: BugReport) -> tuple[int, int]:
    """Return the version of macOS, as in platform tags; the newest if the bug report names none."""
    version = bug_report.named_system.version if bug_report.named_system else ()
    if not version:
        return _NEWEST_MACOS
    # The tags of macOS 11 and later have the minor version 0.
    return (version[0], version[1] if version[0] == 10 and len(version) > 1 else 0)
