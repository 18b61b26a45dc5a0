"""Several databases as one: Algorithm 3 and the process that runs it."""
