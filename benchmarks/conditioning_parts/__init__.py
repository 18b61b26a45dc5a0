"""Parts of the benchmark of conditioning."""
