"""Physical constraints on structures in files."""
