"""From a wheel to a verdict."""
