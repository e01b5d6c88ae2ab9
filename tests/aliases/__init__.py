"""The documents' own import paths and names."""
