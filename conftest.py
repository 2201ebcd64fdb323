"""The options, hooks and fixtures of a gate; they are in verification/commands/gate_plugin.py."""

from __future__ import annotations

from verification.commands.gate_plugin import (
    gate_session,
    handover,
    pipeline,
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_xdist_auto_num_workers,
    report_item,
    run_cell,
)

__all__ = [
    "gate_session",
    "handover",
    "pipeline",
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_xdist_auto_num_workers",
    "report_item",
    "run_cell",
]  # pytest finds hooks and fixtures here
