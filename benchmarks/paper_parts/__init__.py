"""Parts of ``paper.py``."""
