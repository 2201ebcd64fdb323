"""The rules for the release workflow and for its run."""
