"""What crosses a border: packed arrays, task configurations, checkpoints, and readers of files."""
