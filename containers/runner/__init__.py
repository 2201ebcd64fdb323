"""Run the unmodified release workflow, started by a pushed tag, on the engine."""
