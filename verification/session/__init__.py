"""Prepare the testbed and run cells."""
