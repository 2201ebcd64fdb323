"""The typed values that cross module boundaries."""
