"""The requirements, a file for each face, and the page of docs that maps each to the tests that prove it."""
