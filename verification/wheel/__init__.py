"""The static inspection: what is wrong with a wheel, found without running it."""
