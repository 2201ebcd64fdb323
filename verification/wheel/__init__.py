"""The static inspection: find the faults of a wheel without running it."""
