"""Mutation testing: change the product in one place, and check that a unit test fails.

Run ``python3 tests/benchmarks/mutation.py [OPTIONS] [FILES OR FOLDERS]`` in the environment of
``tox run -e mutation``. Without paths it uses those of mutation.toml. mutmut creates the mutants.
Each is tested in a copy of the checkout, by the test file that mirrors its module.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.mirror import mirror_of

PLAN = Path(__file__).with_suffix(".toml")
# Imported once, before the test processes are forked: these imports take longer than most tests.
PRELOADED = (
    *("auditwheel.policy", "check_wheel_contents.checker", "docker"),
    *("elftools.elf.elffile", "hypothesis.strategies", "jinja2", "pefile", "pydantic", "rich.live"),
)
Operator = Callable[[cst.CSTNode], Iterable[cst.CSTNode]]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str
    """Relative to the checkout."""
    line: int
    original: str
    mutant: str
    code: str = dataclasses.field(repr=False)
    """The whole file with the change."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.original} -> {self.mutant}"


# ---- making mutants ----


def change_string(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield another value for a string without spaces. Tests do not compare sentences."""
    if isinstance(node, cst.SimpleString) and not node.value.startswith(('"""', "'''")):
        value = str(node.raw_value)
        if " " not in value:
            quote = node.quote
            yield node.with_changes(value=f"{node.prefix}{quote}XX{value}XX{quote}")


def remove_statement(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield `pass` instead of a call, a yield, a raise or an augmented assignment such as `+=`."""
    match node:
        case cst.Expr(value=cst.Call() | cst.Yield()) | cst.AugAssign() | cst.Raise():
            yield cst.Pass()
        case _:
            pass


def negate_condition(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield the negated condition of an `if`, a `while`, a comprehension or a guard."""
    match node:
        case cst.If(test=test) | cst.While(test=test) | cst.CompIf(test=test):
            yield node.with_changes(test=_negated(test))
        case cst.MatchCase(guard=cst.BaseExpression() as guard):
            yield node.with_changes(guard=_negated(guard))
        case _:
            pass


def remove_keyword_argument(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield a call without one of its keyword arguments."""
    if isinstance(node, cst.Call):
        for number, argument in enumerate(node.args):
            if argument.keyword:
                yield node.with_changes(args=[*node.args[:number], *node.args[number + 1 :]])


def _negated(test: cst.BaseExpression) -> cst.BaseExpression:
    inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(operator=cst.Not(), expression=inner)


OPERATORS: list[tuple[type, Operator]] = [
    *((kind, operator) for kind, operator in mutators.mutation_operators
      if operator not in (mutators.operator_string, mutators.operator_arg_removal,
                          mutators.operator_dict_arguments)),
    *((cst.CSTNode, operator) for operator in (change_string, remove_statement, negate_condition,
                                               remove_keyword_argument)),
]  # fmt: skip


def mutants(file: str) -> list[Callable[[], Mutant]]:
    """Return one function for each mutant of a file. Its call makes the mutant, which is slow."""
    wrapper = MetadataWrapper(cst.parse_module((ROOT / file).read_text("utf-8")))
    visitor = MutationVisitor(OPERATORS, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    positions = wrapper.resolve(PositionProvider)

    def make(before: cst.CSTNode, after: cst.CSTNode) -> Mutant:
        code = cst.ensure_type(module.deep_replace(before, after), cst.Module).code
        line = positions[before].start.line
        return Mutant(file, line, _shown(module, before), _shown(module, after), code)

    return [
        functools.partial(make, mutation.original_node, mutation.mutated_node)
        for mutation in visitor.mutations
    ]


def _shown(module: cst.Module, node: cst.CSTNode) -> str:
    text = " ".join(module.code_for_node(node).split())
    return text if len(text) <= 70 else f"{text[:67]}..."


# ---- testing them ----


def mirrored_tests(file: str) -> str:
    """Return the test file that mirrors a module, or the folder where it would be."""
    mirrored = Path(mirror_of(file))
    return str(mirrored if (ROOT / mirrored).exists() else mirrored.parent)


_copy = Path()
"""The copy of the checkout in which this process tests mutants."""


def start_worker(folder: str) -> None:
    """Copy the checkout for this process, and import the slow packages."""
    global _copy
    _copy = Path(folder) / str(os.getpid())
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (_copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, _copy / name)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def is_killed(mutant: Mutant, seconds: float) -> bool:
    """Return True if a test of the module fails or exceeds the time limit with this mutant."""
    path = _copy / mutant.file
    original = path.read_text("utf-8")
    path.write_text(mutant.code, "utf-8")
    try:
        return run_tests(mirrored_tests(mutant.file), seconds) != 0
    finally:
        path.write_text(original, "utf-8")


def run_tests(tests: str, seconds: float) -> int | None:
    """Run tests in the copy of this process; return pytest's exit code, or None if it hangs."""
    child = os.fork()
    if child == 0:
        os._exit(_pytest(tests))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _pytest(tests: str) -> int:
    os.setsid()
    os.chdir(_copy)
    sink = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(sink, stream)
    sys.path[0] = str(_copy)
    sys.dont_write_bytecode = True
    # --confcutdir: the conftest.py of the checkout is for the gate.
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={_copy}",
        "--confcutdir=tests/unit",
    ]
    # pytest cannot rewrite the assertions of modules that are already imported.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, tests]))


def measure(tests: str) -> float | None:
    """Return the time of the tests without a mutant, in seconds; None if they fail."""
    start = time.monotonic()
    return time.monotonic() - start if run_tests(tests, 600) == 0 else None


# ---- the command ----


def files_of(paths: Iterable[str]) -> list[str]:
    """Return the modules in these files and folders, relative to the checkout."""
    files = []
    for path in paths:
        absolute = (ROOT / path).resolve()
        modules = sorted(absolute.rglob("*.py")) if absolute.is_dir() else [absolute]
        files += [str(module.relative_to(ROOT)) for module in modules]
    return files


def survivors(chosen: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Test the mutants, and return and print those that no test kills.

    Raises:
        SystemExit: the tests fail without a mutant.
    """
    alive = []
    tests = sorted({mirror_of(mutant.file) for mutant in chosen})
    context = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(prefix="mutation-") as folder,
        ProcessPoolExecutor(jobs, context, start_worker, (folder,)) as pool,
    ):
        limits = {}
        for name, seconds in zip(tests, pool.map(measure, tests), strict=True):
            if seconds is None:
                raise SystemExit(f"{name} fails without a mutant; correct it first")
            limits[name] = 20 + 5 * seconds
        allowed = [limits[mirror_of(mutant.file)] for mutant in chosen]
        for mutant, killed in zip(chosen, pool.map(is_killed, chosen, allowed), strict=True):
            if not killed:
                print(f"survived  {mutant}", flush=True)
                alive.append(mutant)
    return alive


def judge(title: str, chosen: Sequence[Mutant], jobs: int, percent: float) -> bool:
    """Test mutants, print the result, and return True if at least ``percent`` % were killed."""
    listed = tomllib.loads(PLAN.read_text("utf-8")).get("equivalent", [])
    equivalent = {(entry["file"], entry["original"], entry["mutant"]) for entry in listed}
    considered = [
        mutant
        for mutant in chosen
        if (mutant.file, mutant.original, mutant.mutant) not in equivalent
    ]
    alive = len(survivors(considered, jobs))
    killed = len(considered) - alive
    rate = 100 * killed / len(considered) if considered else 100.0
    skipped = len(chosen) - len(considered)
    note = f"; {skipped} are listed as equivalent" if skipped else ""
    print(f"{title}: {killed} of {len(considered)} mutants killed ({rate:.1f} %){note}", flush=True)
    return rate >= percent


def main() -> int:
    """Return 0 if enough mutants are killed, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", help="modules and folders (default: mutation.toml)")
    parser.add_argument("--sample", type=int, help="the number of mutants (default: all)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--percent", type=float, help="the percentage to be killed (default: 100)")
    options = parser.parse_args()
    plan = tomllib.loads(PLAN.read_text("utf-8"))

    def drawn(paths: Iterable[str], count: int | None) -> list[Mutant]:
        makers = [make for file in files_of(paths) for make in mutants(file)]
        if count is not None and count < len(makers):
            print(f"{count} of {len(makers)} mutants, drawn by --seed {options.seed}", flush=True)
            makers = random.Random(options.seed).sample(makers, count)  # noqa: S311 - no secret
        return [make() for make in makers]

    if options.paths:
        title, percent = " ".join(options.paths), options.percent or 100
        chosen = drawn(options.paths, options.sample)
        return 0 if judge(title, chosen, options.jobs, percent) else 1
    whole = judge(" ".join(plan["whole"]), drawn(plan["whole"], None), options.jobs, 100)
    sample = drawn(plan["sampled"], options.sample or plan["sample"])
    sampled = judge(" ".join(plan["sampled"]), sample, options.jobs, plan["percent"])
    return 0 if whole and sampled else 1


if __name__ == "__main__":
    sys.exit(main())
