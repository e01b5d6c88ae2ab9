"""All benchmarks: ``python -m benchmarks [name ...] [--quick] [--profile] [--json FILE] [--markdown]``."""

from __future__ import annotations

import importlib

from .reporting import main

SCRIPTS = (
    "engine_cost",
    "memory_speed",
    "memory_interrupts",
    "memory_footprint",
    "expiry",
    "idle",
    "sqlite_batches",
    "sqlite_alone",
    "interrupt_processes",
    "grpc_interrupts",
    "valkey_batches",
    "valkey_memory",
    "postgres_batches",
    "shared_interrupts",
    "shared_scaling",
    "tracking",
    "blocking_cost",
    "service_load",
    "dialogue",
    "remote",
    "exchange",
)

modules = {name: importlib.import_module(f"benchmarks.{name}") for name in SCRIPTS}
raise SystemExit(main([(name, module.QUESTION, module.measure) for name, module in modules.items()]))
