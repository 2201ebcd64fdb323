"""The scripts that are copied onto a machine; standard library only."""
