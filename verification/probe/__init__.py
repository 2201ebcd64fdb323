"""The scripts that the suite copies onto a machine; standard library only."""
