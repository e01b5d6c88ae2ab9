"""The engine under load and faults, for longer than a test may take."""
