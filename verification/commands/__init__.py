"""The commands of the suite, one module for each command."""
