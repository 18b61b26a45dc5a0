"""Parts of ``closed_loop.py``."""
