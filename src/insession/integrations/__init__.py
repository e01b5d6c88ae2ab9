"""Frameworks that carry sessions: each module here needs the extra of its own name."""
