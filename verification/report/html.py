"""``index.html``: the report for people, one file that asks no network for anything.

What is told of a run comes from ``results.json``; what is told of a cell comes from its evidence,
shortened. The template is in assets/, and every value in it is escaped.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from verification.models.cause import UNCLASSIFIED
from verification.report import summary as seen
from verification.report.results import project
from verification.rules import own_tests

ASSETS = Path(__file__).with_name("assets")
SIGNS = {"verified": "✔", "failed": "✘", "unverified": "?", "testbed-failure": "!"}
WORDS = {
    "verified": "Verified",
    "failed": "Failed",
    "unverified": "Not verified",
    "testbed-failure": "Testbed failure",
}
_MEANING = {
    "verified": "Everything that was required works on clean machines.",
    "failed": "The package is broken for users: each cause below says where, and what mends it.",
    "unverified": "Something required was not verified, so nothing is promised.",
    "testbed-failure": "The testbed failed: this says nothing about the package.",
}
_PLOTTED = 40  # rows of the plot of timings: more say nothing
_FEW = 200  # cells; with more, less of each log is shown
_CHARACTERS = {True: 6000, False: 1500}  # of a log, by whether the cells are few


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Write the page; the evidence is read from the folder beside it."""
    path.write_text(render(told, _evidence(path.parent, told)), "utf-8", "backslashreplace")


def _evidence(folder: Path, told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for cell in told["cells"]:
        try:
            text = (folder / "evidence" / f"{cell['id']}.json").read_text("utf-8")
            found[cell["id"]] = json.loads(text)
        except (FileNotFoundError, ValueError):
            continue  # it did not run, or the run was cut off while it was written
    return found


def render(told: Mapping[str, Any], evidence: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (ASSETS / "page.css").read_text("utf-8")
    script = (ASSETS / "page.js").read_text("utf-8")
    return environment.get_template("page.html.jinja").render(
        # Ours, and the page's own policy lets nothing else be run: not even what got past escaping.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=(
            f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        signs=SIGNS,
        words=WORDS,
        **view(told, evidence),
    )


def _source(text: str) -> str:
    """Return what a content security policy calls this inline text (CSP Level 3, hashes)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def view(told: Mapping[str, Any], evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the template shows, in its order."""
    few = len(told["cells"]) <= _FEW
    cells = [
        _cell(cell, evidence.get(cell["id"], {}), told, _CHARACTERS[few]) for cell in told["cells"]
    ]
    return {
        "verdict": told["verdict"],
        "meaning": _MEANING[told["verdict"]],
        "title": f"{project(told)} {told.get('version', '')}: {WORDS[told['verdict']]}".replace(
            " :", ":"
        ),
        "facts": _facts(told),
        "interrupted": bool(told.get("interrupted")),
        "narrowed": told.get("selection", {}).get("narrowed", []),
        "items": told["items"],
        "counts": {name: sum(c["verdict"] == name for c in told["cells"]) for name in SIGNS},
        "matrix": _matrix(told),
        "causes": _causes(told),
        "notes": told.get("notes", []),
        "pipeline": _pipeline(told.get("pipeline")),
        "cells": cells,
        "unverified": _unverified(told),
        "stand_ins": told.get("stand_ins", []),
        "timings": _timings(cells),
        "phases": [*seen.STEPS, "rest"],
        "tables": _tables(told),
    }


def _facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    chosen = told.get("selection", {})
    given = " ".join(_input(chosen)) or "the source in bindings/python"
    found = [
        ("Release", f"{project(told)} {told['version']}" if told.get("version") else "none"),
        ("From", given),
        ("Started", told.get("started", "unknown")),
        ("Took", f"{told.get('seconds', 0):.0f} s"),
    ]
    if chosen.get("strict"):
        found.append(("Strict", "what works and is wrong fails as well"))
    return found


def _input(chosen: Mapping[str, Any]) -> list[str]:
    for name in ("release", "wheels", "source"):
        if chosen.get(name):
            return [f"--{name}", shlex.quote(str(chosen[name]))]
    return []


def replay(cell: Mapping[str, Any]) -> str:
    """Return the command that runs this cell again, from what the run recorded."""
    return f"./e2e replay {shlex.quote(cell['id'])}"


# ---- the matrix ----


def _matrix(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for each scenario, and in it a place for each machine's installers."""
    installers: dict[str, list[str]] = {}
    rows: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for cell in told["cells"]:
        known = installers.setdefault(cell["machine"], [])
        if cell["installer"] not in known:
            known.append(cell["installer"])
        rows.setdefault(cell["scenario"], {})[cell["machine"], cell["installer"]] = cell
    titles = told.get("machines", {})
    return {
        "machines": [
            {
                "name": name,
                "title": titles.get(name, {}).get("title", ""),
                "installers": mine,
            }
            for name, mine in installers.items()
        ],
        "rows": [
            {
                "scenario": scenario,
                "places": [
                    (number == 0, cells.get((name, installer)))
                    for name, mine in installers.items()
                    for number, installer in enumerate(mine)
                ],
            }
            for scenario, cells in rows.items()
        ],
    }


# ---- causes ----


def _causes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the causes by name and remedy, so that a remedy is told once."""
    ids = {cell["id"] for cell in told["cells"]}
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in told["items"]:
        for cause in item["causes"]:
            key = (cause["name"], cause["severity"], cause["remedy"])
            group = found.setdefault(
                key, dict(zip(("name", "severity", "remedy"), key, strict=True)) | {"places": []}
            )
            place = {"where": cause["where"], "message": cause["message"]}
            place["cell"] = next((i for i in [cause["where"].partition(":")[0]] if i in ids), None)
            if place not in group["places"]:
                group["places"].append(place)
    return sorted(found.values(), key=lambda group: (group["name"] != UNCLASSIFIED, _rank(group)))


def _rank(group: Mapping[str, Any]) -> int:
    return ("broken", "testbed", "flawed", "note").index(group["severity"])


# ---- a cell ----


def _cell(
    cell: Mapping[str, Any], evidence: Mapping[str, Any], told: Mapping[str, Any], most: int
) -> dict[str, Any]:
    machine = told.get("machines", {}).get(cell["machine"], {})
    windows = evidence.get("os") == "windows"
    commands = []
    for name in seen.STEPS:
        ran = evidence.get(name)
        if not ran:
            continue
        logs = [(s, _shorten(ran.get(s, ""), most)) for s in ("stdout", "stderr") if ran.get(s)]
        commands.append(
            {
                "name": name,
                "typed": seen.typed(ran.get("command", ()), windows=windows),
                "code": ran.get("code"),
                "seconds": ran.get("seconds", 0.0),
                "timed_out": ran.get("timed_out", False),
                "logs": logs,
            }
        )
    times = {command["name"]: float(command["seconds"] or 0) for command in commands}
    steps = evidence.get("exercise", {}).get("steps", {})
    return {
        **cell,
        "title": machine.get("title", cell["machine"]),
        "has": machine.get("has", []),
        "replay": replay(cell),
        "kept": next((one for one in told.get("kept", ()) if one["cell"] == cell["id"]), None),
        "evidence": f"evidence/{cell['id']}.json" if evidence else None,
        "commands": commands,
        "steps": [
            {
                "name": name,
                "ok": bool(step.get("ok")),
                "told": _shorten(_told(step), 600),
            }
            for name, step in steps.items()
        ],
        "facts": _cell_facts(evidence),
        "times": [*times.items(), ("rest", max(0.0, cell["seconds"] - sum(times.values())))],
        "search": " ".join(
            [
                cell["id"],
                cell["verdict"],
                machine.get("title", ""),
                cell["reason"],
                *(f"{cause['name']} {cause['message']}" for cause in cell["causes"]),
            ]
        ).lower(),
    }


def _told(step: Mapping[str, Any]) -> str:
    told = step.get("value") if step.get("ok") else step.get("error") or step.get("value")
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def _cell_facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not evidence:
        return []
    python = f"{evidence.get('implementation', '')} {evidence.get('python', '')}".strip()
    found = [
        ("Python", python),
        ("System", str(evidence.get("system", ""))),
        ("Image", str(evidence.get("image", {}).get("tag", ""))),
        ("Deviation", str(evidence.get("deviation", ""))),
    ]
    if testbed := evidence.get("testbed"):
        found.append(("Testbed", f"{testbed.get('cause')}: {testbed.get('seen')}"))
    served = seen.summary(evidence).get("served", {})
    found += [("Served", f"{name} sha256 {sha}") for name, sha in served.items()]
    if (tests := evidence.get("tests", {})).get("counts"):
        found.append(("Own tests", f"{own_tests.sentence(tests)}; pytest {tests['pytest']}"))
        found += [(f"Own test {one['outcome']}", _failure(one)) for one in tests["failures"][:20]]
        found += [("Own tests left out", line) for line in own_tests.reasons(tests)]
    for key, name in (("loader", "Loader"), ("processes", "Left running")):
        found += [(name, str(line)) for line in evidence.get(key, ())[:20]]
    return [(name, value) for name, value in found if value]


def _failure(told: Mapping[str, Any]) -> str:
    return f"{told['node']}: {' '.join(told['text'].split())[-400:]}"


def _shorten(text: str, most: int) -> str:
    """Return a log's beginning and end; the whole is in the evidence."""
    if len(text) <= most:
        return text
    left = len(text) - most
    return f"{text[: most // 4]}\n[... {left} characters ...]\n{text[-3 * most // 4 :]}"


# ---- the rest ----


def _unverified(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(i["id"], i["reason"]) for i in told["items"] if i["verdict"] == "unverified"]
    found += [(c["id"], c["reason"]) for c in told["cells"] if c["verdict"] == "unverified"]
    known = {item["id"] for item in told["items"]}
    known |= {out["id"] for out in told.get("out_of_scope", ())}  # with its reason, below
    found += [
        (ident, "this run has no such item")
        for ident in ("pipeline", "publisher")
        if ident not in known
    ]
    found += [
        (name, "it is for none of the run's machines") for name in told.get("not_inspected", ())
    ]
    found += [
        (name, "it was inspected, and installed on no machine")
        for name in told.get("not_installed", ())
    ]
    found += [(out["id"], f"out of scope: {out['reason']}") for out in told.get("out_of_scope", ())]
    for ident in ("pipeline", "publisher"):
        part = told.get(ident)
        if isinstance(part, dict):
            found += [(ident, str(line)) for line in part.get("not_provable", ())]
    return found


def _timings(cells: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    ran = [cell for cell in cells if cell["seconds"]]
    slowest = sorted(ran, key=lambda cell: -cell["seconds"])[:_PLOTTED]
    longest = slowest[0]["seconds"] if slowest else 1.0
    return [
        {"id": cell["id"], "seconds": cell["seconds"], "bars": _bars(cell["times"], longest)}
        for cell in slowest
    ]


def _bars(times: Iterable[tuple[str, float]], longest: float) -> list[dict[str, Any]]:
    found, x = [], 0.0
    for name, seconds in times:
        width = 1000 * seconds / longest
        found.append({"name": name, "x": round(x, 1), "width": round(width, 1), "told": seconds})
        x += width
    return found


def _pipeline(told: Any) -> list[dict[str, Any]] | None:
    """Return the jobs on one axis of time; None if the run has no times of jobs."""
    if not isinstance(told, dict) or not told.get("jobs"):
        return None
    jobs = [
        (job, _moment(job.get("start")), _moment(job.get("end")))
        for job in (told["jobs"].values() if isinstance(told["jobs"], dict) else told["jobs"])
    ]
    known = [moment for _, *both in jobs for moment in both if moment is not None]
    if not known:
        return None
    first, span = min(known), max(known) - min(known) or 1.0
    return [
        {
            "id": job["id"],
            "needs": list(job.get("needs", ())),
            "result": str(job.get("result", "unknown")),
            "ran": start is not None and end is not None,
            "x": round(1000 * ((start or first) - first) / span, 1),
            "width": round(max(4.0, 1000 * ((end or first) - (start or first)) / span), 1),
            "seconds": (end - start) if start is not None and end is not None else 0.0,
            "after": (start or first) - first,
        }
        for job, start, end in jobs
    ]


def _moment(told: Any) -> float | None:
    if isinstance(told, (int, float)):
        return float(told)
    try:
        return datetime.datetime.fromisoformat(told).timestamp()
    except (TypeError, ValueError):
        return None


def _tables(told: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    egress = told.get("egress") or {}
    found = [
        ("Wheels, by sha256", sorted(told.get("wheels", {}).items())),
        ("Dependencies", sorted(told.get("locked", {}).items())),
        ("Images", [(n, f"{i['tag']} {i['id'][:19]}") for n, i in told.get("images", {}).items()]),
        ("The way out", [(name, json.dumps(value)) for name, value in egress.items()]),
    ]
    return [(name, rows) for name, rows in found if rows]
