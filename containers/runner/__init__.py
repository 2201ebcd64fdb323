"""Run the release workflow: the unmodified file, started by a pushed tag, on the engine."""
