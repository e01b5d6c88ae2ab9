"""What insession costs, measured: one script per question, and all of them by ``python -m benchmarks``."""
