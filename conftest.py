"""Makes the options, hooks and fixtures of verification/commands/gate_plugin.py known to pytest."""

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
]
