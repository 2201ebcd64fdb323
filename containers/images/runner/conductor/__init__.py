"""What runs in act's own container: act, the relay before the engine, the artifact service."""
