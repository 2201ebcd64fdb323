"""The programs in act's container: act, the relay to the engine, the artifact service."""
