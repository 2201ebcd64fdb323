"""A task prints the report of its shard, or that it has none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shard import run_shard

from containers import swarm

GATE = """
import sys
from pathlib import Path
options = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
report = Path(options["report"])
report.mkdir()
(report / "results.json").write_text(options["shard"])
print("progress")
sys.exit(1)
"""
NO_REPORT = "import sys; sys.exit('e2e: no such option')"
WAIT = """
import signal, time
try:
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
START = """
import sys
from pathlib import Path
from shard import run_shard
run_shard.GATE = ("-c", sys.argv[1])
run_shard.run_gate("1/1", Path(sys.argv[2]), [])
"""


@pytest.mark.parametrize(
    ("slot", "number"), [("1", 2), ("11", 12), ("0", 1), ("qvggzumo82mg49cl1hbthfh2c", 1)]
)
def test_number_of_a_shard_follows_from_the_slot(slot: str, number: int) -> None:
    assert run_shard.number_of(slot) == number


def test_report_of_the_shard_is_printed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_shard, "GATE", ("-c", GATE))
    monkeypatch.setattr(run_shard, "REPORTS", tmp_path)
    monkeypatch.setenv("SLOT", "2")
    run_shard.main(["3"])
    output, errors = capfd.readouterr()
    assert swarm.unpack(output, tmp_path / "unpacked") == 1
    assert (tmp_path / "unpacked" / "results.json").read_text("utf-8") == "3/3"
    assert errors == "progress\n"


def test_a_gate_without_report_is_reported_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_shard, "GATE", ("-c", NO_REPORT))
    monkeypatch.setattr(run_shard, "REPORTS", tmp_path)
    monkeypatch.setenv("SLOT", "1")
    run_shard.main(["3"])
    output, errors = capfd.readouterr()
    assert swarm.unpack(output, tmp_path / "unpacked") == 1
    assert not (tmp_path / "unpacked").exists()
    assert errors == "e2e: no such option\n"


def test_lines_are_short(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(bytes(range(256)) * 400)
    (tmp_path / "random").write_bytes(Path(sys.executable).read_bytes()[:200_000])
    head, *lines = run_shard.lines_of(tmp_path, 0)
    assert json.loads(head)["exit_code"] == 0
    assert len(lines) > 1
    assert max(map(len, lines)) <= 4096


def test_stopped_task_interrupts_the_gate(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, WAIT, str(tmp_path / "report")]
    root = Path(__file__).parents[5]
    with subprocess.Popen(
        command, cwd=root / "containers" / "images", stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert process.stderr.readline() == "started\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() == "interrupted\n"
    assert time.monotonic() - began < 30
