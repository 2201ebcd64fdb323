"""The rules for the release pipeline, and the faults that they find."""
