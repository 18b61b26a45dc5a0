"""The parts of the benchmark `validator`."""
