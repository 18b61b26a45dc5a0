"""What the benchmark of guidance measures beside validity."""
