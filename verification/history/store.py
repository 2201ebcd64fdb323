"""The history of runs, and what is new in one of them against another.

Every finished run's results are kept in one SQLite file in the state folder. A run is one
transaction: it is there as a whole or not at all, whoever else writes and whenever it is killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from containers.state import state_dir
from verification.models.errors import ExitCode, Parser, WrongUse
from verification.report import folder as folders
from verification.report import results

VERSION = 1
SECONDS_SLOWER, TIMES_SLOWER = 3.0, 1.5
"""A cell is slower by both of these than the slowest of its last runs; less is noise."""
LAST = 5
ENOUGH = 3
"""Of fewer runs, or fewer cells, no statistics are made: what is slower is told and is not bad."""
BYTES_GROWN, TIMES_GROWN = 10_240, 1.05
"""A wheel has grown by both of these; less is a change of the code."""
_GOOD = "verified"
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started TEXT NOT NULL,
    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    results TEXT NOT NULL
) STRICT
"""


class NewerHistory(Exception):
    """The history was written by a newer version of this project."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the history, or of a file; ``name`` is what it was asked for by."""

    name: str
    results: Mapping[str, Any]

    def cell(self, ident: str) -> Mapping[str, Any] | None:
        """Return the cell of that name, if the run had it."""
        return next((cell for cell in self.results["cells"] if cell["id"] == ident), None)

    @property
    def title(self) -> str:
        """The run as a person reads it."""
        version = self.results.get("version", "?")
        name = results.project(self.results)
        return f"{self.name} ({self.results.get('started', '?')}, {name} {version})"


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One difference; ``bad`` ones make ``compare`` end with 1."""

    kind: str
    where: str
    told: str
    bad: bool

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.told}"


# ---- keeping ----


def path() -> Path:
    """Return the history's file; ``QUIVERDB_E2E_HISTORY`` names another one."""
    named = os.environ.get("QUIVERDB_E2E_HISTORY")
    return Path(named) if named else state_dir() / "history.sqlite3"


def wanted() -> bool:
    """Return whether runs are to be kept: not if ``QUIVERDB_E2E_HISTORY`` is set to nothing."""
    return os.environ.get("QUIVERDB_E2E_HISTORY") != ""


def kind(results: Mapping[str, Any]) -> str:
    """Return what a run verified, and how: runs of one kind can be compared."""
    chosen = results.get("selection", {})
    given = next((k for k in ("source", "wheels", "release") if chosen.get(k)), "source")
    told = {
        "input": chosen.get("release") if given == "release" else given,
        "strict": chosen.get("strict", False),
        "narrowed": sorted(chosen.get("narrowed", ())),
    } | ({"subject": chosen["subject"]} if chosen.get("subject") else {})
    return json.dumps(told, sort_keys=True)


def record(results: Mapping[str, Any]) -> int:
    """Keep a finished run; return its number.

    Raises:
        sqlite3.Error: the file cannot be written, is locked for half a minute or is no database.
        NewerHistory: the file is of a newer form.
    """
    text = json.dumps(results)
    # One transaction; the lock is taken at its beginning, so that two runs wait for each other.
    with _open() as file:
        file.execute("BEGIN IMMEDIATE")
        added = file.execute(
            "INSERT INTO runs (started, verdict, kind, results) VALUES (?, ?, ?, ?)",
            (results.get("started", ""), results["verdict"], kind(results), text),
        )
        file.execute("COMMIT")
        return int(added.lastrowid or 0)


def runs(of_kind: str | None = None) -> list[Run]:
    """Return every run that was kept, oldest first, or those of one kind."""
    if not path().exists():
        return []
    with _open() as file:
        rows = file.execute(
            "SELECT id, results FROM runs WHERE ?1 IS NULL OR kind = ?1 ORDER BY id", (of_kind,)
        )
        return [Run(str(number), json.loads(text)) for number, text in rows]


def seconds() -> dict[str, float]:
    """Return how long each cell took when it last ran, of the last runs of any kind."""
    if not wanted() or not path().exists():
        return {}
    with _open() as file:
        rows = file.execute("SELECT results FROM runs ORDER BY id DESC LIMIT ?", (LAST,)).fetchall()
    every = [cell for (text,) in reversed(rows) for cell in json.loads(text)["cells"]]
    return {cell["id"]: float(cell["seconds"]) for cell in every if cell["seconds"]}


@contextlib.contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as opened:
        # Readers and the writer do not wait for each other, and a crash leaves the last commit.
        opened.execute("PRAGMA journal_mode = WAL")
        (found,) = opened.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise NewerHistory(f"its form is {found}, and this version knows {VERSION}")
        opened.execute("BEGIN IMMEDIATE")
        opened.execute(_TABLE)
        opened.execute(f"PRAGMA user_version = {VERSION}")
        opened.execute("COMMIT")
        yield opened


# ---- comparing ----


def compare(base: Run, new: Run, history: Sequence[Run] = ()) -> list[Finding]:
    """Return what is new in ``new``, the bad first.

    ``history`` has the runs of this kind, oldest first: from them come what flakes, how long a
    cell takes, and which run was the first bad one.
    """
    earlier = _before(history, new, base)
    found = [
        *_verdicts(base, new, earlier),
        *_slower(base, new, earlier),
        *_wheels(base, new),
        *_changed("dependency", base.results.get("locked", {}), new.results.get("locked", {})),
        *_changed("image", _images(base), _images(new)),
    ]
    return sorted(found, key=lambda one: (not one.bad, one))


def _before(history: Sequence[Run], new: Run, base: Run) -> list[Run]:
    """Return the runs before ``new``, with ``base`` among them."""
    names = [run.name for run in history]
    found = list(history[: names.index(new.name)] if new.name in names else history)
    return found if base.name in {run.name for run in found} else [*found, base]


def _verdicts(base: Run, new: Run, earlier: Sequence[Run]) -> Iterator[Finding]:
    for ident in _idents(base, new):
        before, now = base.cell(ident), new.cell(ident)
        if before is None or now is None:
            which = "is not in" if now is None else "is only in"
            lost = now is None
            bad = lost or (now is not None and now["verdict"] == "failed")
            yield Finding("cell-gone" if lost else "cell-added", ident, f"{which} {new.name}", bad)
            continue
        was, is_now = before["verdict"], now["verdict"]
        causes = ", ".join(sorted(_causes(now))) or now["reason"]
        if is_now != _GOOD and was == _GOOD:
            if _inputs(base, ident) == _inputs(new, ident):
                told = f"{is_now} ({causes}), and {was} in {base.name} with the same wheels, "
                yield Finding("flaky", ident, told + "dependencies and image", True)
            else:
                told = f"{is_now} ({causes}), {was} in {base.name}{_first(ident, new, earlier)}"
                yield Finding("new-failure", ident, told, True)
        elif is_now == _GOOD and was != _GOOD:
            same = _inputs(base, ident) == _inputs(new, ident)
            told = f"was {was} ({', '.join(sorted(_causes(before))) or before['reason']})"
            if same:
                told += ", with the same wheels, dependencies and image"
            yield Finding("flaky" if same else "fixed", ident, told, False)
        else:
            yield from _more(ident, _causes(before), _causes(now), base)
    yield from _items(base, new)


def _items(base: Run, new: Run) -> Iterator[Finding]:
    """Yield what is new in the items' own causes: those of the wheel, the build, the pipeline."""
    before = {item["id"]: item for item in base.results["items"]}
    for item in new.results["items"]:
        was = before.pop(item["id"], None)
        if was is None:
            yield Finding("item-added", item["id"], f"{item['verdict']}", item["verdict"] != _GOOD)
            continue
        own, owned = _own(new, item), _own(base, was)
        more = sorted(_more(item["id"], owned, own, base))
        yield from more
        gone = sorted(owned - own)
        if gone:
            yield Finding("fixed", item["id"], f"{', '.join(gone)} is gone", False)
        explained = more or any(_is_worse(base, new, cell["id"]) for cell in new.results["cells"])
        if was["verdict"] == _GOOD != item["verdict"] and not explained:
            told = f"{item['verdict']} ({item['reason'] or 'no cause'}), was {was['verdict']}"
            yield Finding("new-failure", item["id"], told, True)
        if was["verdict"] != _GOOD == item["verdict"] and not gone and not _cells_of(item, base):
            yield Finding("fixed", item["id"], f"was {was['verdict']}", False)
    for ident in before:
        yield Finding("item-gone", ident, f"is not in {new.name}", True)


def _is_worse(base: Run, new: Run, ident: str) -> bool:
    before, now = base.cell(ident), new.cell(ident)
    return bool(before and now and before["verdict"] == _GOOD != now["verdict"])


def _cells_of(item: Mapping[str, Any], run: Run) -> bool:
    """Return whether cells tell of the item by themselves."""
    system = item["id"].removesuffix("-install")
    return any(_system(run, cell) == system for cell in run.results["cells"])


def _own(run: Run, item: Mapping[str, Any]) -> set[str]:
    """Return the names of an item's causes that none of the run's cells has."""
    of_cells = {(c["name"], c["where"]) for cell in run.results["cells"] for c in cell["causes"]}
    return {
        cause["name"] for cause in item["causes"] if (cause["name"], cause["where"]) not in of_cells
    }


def _more(ident: str, before: set[str], now: set[str], base: Run) -> Iterator[Finding]:
    for name in sorted(now - before):
        yield Finding("new-cause", ident, f"{name}, not in {base.name}", True)


def _idents(base: Run, new: Run) -> list[str]:
    return list(dict.fromkeys(cell["id"] for run in (base, new) for cell in run.results["cells"]))


def _causes(cell: Mapping[str, Any]) -> set[str]:
    return {cause["name"] for cause in cell["causes"]}


def _system(run: Run, cell: Mapping[str, Any]) -> str:
    known = run.results.get("machines", {}).get(cell["machine"], {})
    return str(known.get("os") or ("windows" if "windows" in cell["machine"] else "linux"))


def _inputs(run: Run, ident: str) -> dict[str, Any]:
    """Return all that a cell's verdict can depend on, besides chance and the suite's own code."""
    cell = run.cell(ident)
    assert cell is not None
    windows = _system(run, cell) == "windows"
    results = run.results
    wheels = {
        name: digest
        for name, digest in results.get("wheels", {}).items()
        if name.endswith("-any.whl") or ("win" in name.rpartition("-")[2]) == windows
    }
    images = _images(run)
    wanted = (cell["machine"], "index")
    seen = results.get("seen", {}).get(ident, {})
    return {
        **{f"wheel {name}": digest for name, digest in wheels.items()},
        **{f"dependency {name}": v for name, v in results.get("locked", {}).items()},
        **{f"image {name}": images[name] for name in wanted if name in images},
        "strict": results.get("selection", {}).get("strict", False),
        **{f"own {key}": seen[key]["sha256"] for key in ("tests",) if key in seen},
    }


def _images(run: Run) -> dict[str, str]:
    # The tag is the hash of the recipe; the id differs with each build of the same.
    return {name: image["tag"] for name, image in run.results.get("images", {}).items()}


def _first(ident: str, new: Run, earlier: Sequence[Run]) -> str:
    """Return in words which run was the first bad one, and what changed since the last good."""
    first = new
    for run in reversed(earlier):
        cell = run.cell(ident)
        if cell is None or cell["verdict"] == "unverified":
            continue
        if cell["verdict"] == _GOOD:
            changed = list(_differences(_inputs(run, ident), _inputs(first, ident)))
            return (
                f"; first bad run {first.name}, last good run {run.name}; between them changed: "
                f"{', '.join(changed) or 'nothing that is recorded'}"
            )
        first = run
    return f"; first bad run {first.name}, no good run before it"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            if name.startswith("wheel "):
                yield name if name in before and name in now else f"{name} (other name)"
            else:
                yield f"{name} ({before.get(name, 'absent')} -> {now.get(name, 'absent')})"


def _slower(base: Run, new: Run, earlier: Sequence[Run]) -> Iterator[Finding]:
    times: dict[str, list[float]] = {}
    for cell in new.results["cells"]:
        past = [then for run in earlier if (then := run.cell(cell["id"]))]
        took = [then["seconds"] for then in past if then["verdict"] == _GOOD and then["seconds"]]
        if cell["verdict"] == _GOOD and took and base.cell(cell["id"]):
            times[cell["id"]] = took[-LAST:]
    now = {cell["id"]: cell["seconds"] for cell in new.results["cells"]}
    factors = [now[ident] / max(took) for ident, took in times.items()]
    # A busy host makes all cells slower alike, which says nothing about the package.
    busy = max(1.0, statistics.median(factors)) if len(factors) >= ENOUGH else 1.0
    for ident, took in times.items():
        slowest = max(took) * busy
        if now[ident] > max(slowest * TIMES_SLOWER, slowest + SECONDS_SLOWER):
            told = f"{now[ident]:.1f} s; the slowest of the {len(took)} before took "
            yield Finding("slower", ident, f"{told}{max(took):.1f} s", len(took) >= ENOUGH)


def _wheels(base: Run, new: Run) -> Iterator[Finding]:
    before = {wheel["platform"]: wheel for wheel in _inspected(base)}
    for wheel in _inspected(new):
        was = before.pop(wheel["platform"], None)
        if was is None:
            continue
        size, old = wheel["size"], was["size"]
        if size > max(old * TIMES_GROWN, old + BYTES_GROWN):
            told = f"{old} -> {size} bytes (+{100 * (size - old) / old:.0f} %)"
            yield Finding("grown-wheel", wheel["file"], told, True)
    for platform, lost in before.items():
        if base.results.get("selection", {}).get("machines") == new.results.get(
            "selection", {}
        ).get("machines"):
            yield Finding("wheel-gone", lost["file"], f"no wheel for {platform}", True)


def _inspected(run: Run) -> list[Mapping[str, Any]]:
    return list(run.results.get("static", {}).get("wheels", ()))


def _changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
    # One that only one of the runs had at all was not changed: it was not selected.
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name]:
            yield Finding(f"changed-{what}", name, f"{before[name]} -> {now[name]}", False)


# ---- the command ----


def chosen(names: Sequence[str]) -> tuple[Run, Run, list[Run]]:
    """Return the two runs asked for and the runs of the new one's kind.

    Raises:
        WrongUse: there is no such run, or none to compare with.
    """
    every = runs()
    if len(names) > 2:
        raise WrongUse("compare: it takes at most two runs")
    if len(names) == 2:
        base, new = _named(names[0], every), _named(names[1], every)
        return base, new, _of_kind(every, new)
    if not names and not every:
        raise WrongUse(f"compare: no run is kept in {path()}; run ./e2e gate first")
    new = _named(names[0], every) if names else every[-1]
    alike = _of_kind(every, new)
    earlier = _until(alike, new)
    if not earlier:
        raise WrongUse(
            f"compare: there is no earlier run like {new.title}, of the same input, narrowed alike "
            "and as strict; name two runs"
        )
    return earlier[-1], new, alike


def _of_kind(every: Sequence[Run], new: Run) -> list[Run]:
    return [run for run in every if kind(run.results) == kind(new.results)]


def _until(alike: Sequence[Run], new: Run) -> list[Run]:
    names = [run.name for run in alike]
    if new.name in names:
        return list(alike[: names.index(new.name)])
    # A report by its file, which is kept as well, or is another machine's.
    return [run for run in alike if run.results["started"] < new.results["started"]]


def _named(name: str, every: Sequence[Run]) -> Run:
    for run in every:
        if run.name == name:
            return run
    file = folders.typed(name)
    if file.is_dir():
        file /= "results.json"
    try:
        told = json.loads(file.read_text("utf-8"))
        if not isinstance(told, dict) or not {"verdict", "cells", "items"} <= told.keys():
            raise WrongUse(f"compare: {file}: not a results.json")
        if wrong := results.misform(told):
            raise WrongUse(f"compare: {file}: not a results.json: {wrong}")
    except (OSError, ValueError) as error:
        numbers = ", ".join(run.name for run in every[-LAST:])
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error})"
        raise WrongUse(
            f"compare: no run and no readable results.json is named {name}{reason}; "
            f"the last runs are: {numbers or 'none'}"
        ) from None
    return Run(name, told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``./e2e compare``."""
    parser = Parser(
        prog="./e2e compare",
        description="Say what is new in a run: without names the last run against the one before "
        "it; with one name that run against the one before it; with two the second against the "
        "first. Ends with 1 if something is new and bad.",
    )
    parser.add_argument("run", nargs="*", help="a number that --list tells, or a results.json")
    parser.add_argument("--list", action="store_true", help="list the runs that are kept")
    try:
        asked = parser.parse_args(arguments)
        if asked.list:
            for run in runs():
                print(f"{run.title} {run.results['verdict']}")
            return ExitCode.VERIFIED
        base, new, alike = chosen(asked.run)
    except WrongUse as error:
        print(f"e2e: {error}", file=sys.stderr)
        return int(error.exit_code)
    except (sqlite3.Error, NewerHistory, OSError) as error:
        told = f"e2e: compare: {path()}: {error}; is it a history? Move it away to begin anew"
        print(told, file=sys.stderr)
        return ExitCode.TESTBED_FAILED
    found = compare(base, new, alike)
    print(f"{base.title} -> {new.title}")
    for finding in found:
        print(f"{'✘' if finding.bad else '·'} {finding}")
    bad = sum(finding.bad for finding in found)
    print(f"{bad} new and bad" if bad else "nothing new and bad")
    return ExitCode.PACKAGE_FAILED if bad else ExitCode.VERIFIED


if __name__ == "__main__":
    sys.exit(main())
