"""The report: what a run leaves behind for people and for programs."""
