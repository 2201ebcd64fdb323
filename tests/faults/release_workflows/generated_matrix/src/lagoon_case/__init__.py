"""The package of a release workflow."""
