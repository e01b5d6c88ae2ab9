"""Real servers for tests: started from wheels on a free port of the loopback, proven to be ours, stopped by pid."""
