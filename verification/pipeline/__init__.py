"""The release pipeline: what it must be, and what is wrong with one."""
