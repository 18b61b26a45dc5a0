"""The parts of the benchmark `contest`."""
