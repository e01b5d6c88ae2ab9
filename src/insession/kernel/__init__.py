"""The engine: rules, operations, the store contract, and what callers hold."""
