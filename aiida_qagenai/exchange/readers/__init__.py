"""The reader of structure files and tables."""
