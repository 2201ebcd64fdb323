"""The testbed: the engine, images, machines, the package index and the wheel builder."""
