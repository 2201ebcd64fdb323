"""The description of each package under test."""
