"""Stores, one file or folder each; the table of schemes in `kernel.urls` names them."""
