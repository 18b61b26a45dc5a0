"""The parts of the benchmark `noise`."""
