"""What a run is asked to verify: whose wheels, on which machines, how strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec
from verification.rules import own_tests
from verification.scenarios import machines, profiles
from verification.scenarios.profiles import Profile

DEFAULT_SOURCE = Path("bindings/python")


@dataclasses.dataclass(frozen=True)
class Selection:
    """The choices of one run. Exactly one of ``source``, ``wheels`` and ``release`` is set."""

    source: Path | None
    wheels: Path | None
    release: str | None
    machines: tuple[MachineSpec, ...]
    narrowed: tuple[str, ...]
    """The options that narrow the verdict, as typed; empty means all that the profile names."""
    left_to_others: tuple[MachineSpec, ...]
    """The machines that only other profiles ask for."""
    strict: bool
    provision: bool
    profile: Profile
    history: str = "all"
    """Which earlier releases are on the index beside the one under test: ``none`` or ``all``."""
    pipeline: bool = False
    """Whether the release workflow is run, and its wheels are those that are verified."""
    no_pipeline: str = ""
    """Why it is not."""
    actions_from: Path | None = None
    """A folder with checkouts of the workflow's real actions; without one, stand-ins run."""
    tests: Path | None = None
    """The folder of the package's own tests, which run on machines; None if they are left out."""
    no_tests: str = ""
    """Why they are."""
    subject: str = ""
    """The package under test, where it is not quiverdb."""

    @property
    def systems(self) -> tuple[str, ...]:
        """The operating systems of the selected machines: ``linux``, ``windows``."""
        return tuple(sorted({spec.os for spec in self.machines}))

    def to_dict(self) -> dict[str, Any]:
        """Return the choices as JSON-able data."""
        return {
            "source": str(self.source) if self.source else None,
            "wheels": str(self.wheels) if self.wheels else None,
            "release": self.release,
            "machines": [spec.name for spec in self.machines],
            "narrowed": list(self.narrowed),
            "strict": self.strict,
            "pipeline": self.pipeline,
            "actions_from": str(self.actions_from) if self.actions_from else None,
            "profile": self.profile.name,
            "history": self.history,
            "tests": str(self.tests) if self.tests else None,
        } | ({"subject": self.subject} if self.subject else {})


def select(
    *,
    root: Path,
    source: Path | None = None,
    wheels: Path | None = None,
    release: str | None = None,
    profile: str = "gate",
    pipeline: bool = True,
    actions_from: Path | None = None,
    history: str | None = None,
    tests: Path | None = None,
    names: list[str] | None = None,
    keyword: str = "",
    left_out: Sequence[str] = (),
    strict: bool = False,
    provision: bool = True,
    subject: str = "",
) -> Selection:
    """Check the choices and return them.

    Raises:
        WrongUse: two of source, wheels and release; a source that cannot be built; an unknown
            machine; a folder of tests without any.
    """
    given = [option for option, value in _inputs(source, wheels, release) if value is not None]
    if release is not None and not release.strip():
        raise WrongUse("--release is empty; write a version such as 0.13.5")
    if len(given) > 1:
        raise WrongUse(f"{' and '.join(given)} exclude one another; name one")
    if subject and not wheels and not release:
        raise WrongUse(
            f"--subject: how {subject} is built is not known here; name --wheels or --release"
        )
    asked = profiles.load()[profile]
    known = machines.load()
    wanted = list(dict.fromkeys(names or ()))
    for name in wanted:
        if name not in known:
            raise WrongUse(
                f"--machine {name}: there is no such machine; there are: {', '.join(known)}"
            )
    folder = None
    if not wheels and not release:
        folder = source or root / DEFAULT_SOURCE
        if not folder.is_dir():
            raise WrongUse(f"--source {folder}: there is no such folder")
        if not (folder / "pyproject.toml").is_file():
            raise WrongUse(f"--source {folder}: there is no pyproject.toml in it")
    reason = ""
    if not folder:
        reason = "the wheels came from elsewhere: no tag was pushed"
    elif not pipeline:
        reason = "left out by --no-pipeline"
    elif profile == "quick":
        reason = "the profile quick leaves it out"
    elif wanted:
        reason = f"the run is narrowed to {', '.join(wanted)}"
    if actions_from and reason:
        raise WrongUse(f"--actions-from: the release workflow is not run: {reason}")
    if actions_from and not actions_from.is_dir():
        raise WrongUse(f"--actions-from {actions_from}: there is no such folder")
    if tests and (wrong := own_tests.unusable(tests)):
        raise WrongUse(f"--tests {tests}: {wrong}; name the folder with the package's own tests")
    no_tests = ""
    if not tests and not folder:
        no_tests = "the wheels came from elsewhere: their own tests were not named by --tests DIR"
    elif not tests and folder:
        wrong = own_tests.unusable(folder / "tests")
        tests = None if wrong else folder / "tests"
        no_tests = f"{folder / 'tests'}: {wrong}" if wrong else ""
    mine = [spec for spec in known.values() if profile in spec.profiles]
    chosen = tuple(known[name] for name in wanted) if wanted else tuple(mine)
    return Selection(
        source=folder,
        wheels=wheels,
        release=release,
        machines=chosen,
        left_to_others=tuple(spec for spec in known.values() if spec not in (*mine, *chosen)),
        narrowed=tuple(
            [f"--machine {name}" for name in wanted]
            + ([f"-k {keyword}"] if keyword else [])
            + [f"without {path}" for path in left_out]
        ),
        strict=strict,
        provision=provision,
        pipeline=not reason,
        no_pipeline=reason,
        actions_from=actions_from,
        profile=asked,
        history=history or asked.history,
        tests=tests,
        no_tests=no_tests,
        subject=subject,
    )


def _inputs(
    source: Path | None, wheels: Path | None, release: str | None
) -> tuple[tuple[str, object], ...]:
    return (("--source", source), ("--wheels", wheels), ("--release", release))
