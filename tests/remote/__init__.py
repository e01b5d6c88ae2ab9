"""Tests of the remote face, against a small service of their own."""
