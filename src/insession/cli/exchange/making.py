"""A session as the command line makes it: its engine, its desk, and who listens to it."""
