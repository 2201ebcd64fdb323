"""Steps that fail because they need another network, and steps that fail for another reason."""

from __future__ import annotations

import pytest

from containers.runner.network_limits import network_limits, replacement_limits
from tests.helpers.sample_pipeline import changed, failed, job
from verification.models.pipeline import ReplacedStep


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("pip install twine", "ERROR: No matching distribution found for twine"),
        ("pip install twine", "NewConnectionError: Failed to establish a new connection"),
        ("npm ci", "npm error code EAI_AGAIN"),
        ("cargo install maturin", "Could not resolve host: index.example"),
        ("sudo apt-get install -y jq", "E: Unable to locate package jq"),
        ("curl -sSf https://example.org", "curl: (6) Could not resolve host: example.org"),
    ],
)
def test_step_without_a_registry_is_a_limit_with_its_name(command: str, line: str) -> None:
    run = failed(job("build"), f"+ {command}", line)
    step = changed(run.steps[0], name=command, uses=None)
    (limit,) = network_limits([changed(run, steps=(step,))])
    assert command in limit
    assert line in limit


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("pip install ./missing", "ERROR: Invalid requirement: './missing'"),
        ("python check.py", "AssertionError: no matching distribution found"),
        ("pytest", "ConnectionError: name resolution"),
    ],
)
def test_other_failure_is_no_limit(command: str, line: str) -> None:
    run = failed(job("build"), line)
    step = changed(run.steps[0], name=command, uses=None)
    assert list(network_limits([changed(run, steps=(step,))])) == []


def test_passed_job_is_no_limit() -> None:
    assert list(network_limits([job("build")])) == []


def test_replaced_steps_are_one_line() -> None:
    step = ReplacedStep(where="publish.yml:7", command="python -m build", output="dist")
    (line,) = replacement_limits([step])
    assert "publish.yml:7" in line
    assert list(replacement_limits([])) == []
