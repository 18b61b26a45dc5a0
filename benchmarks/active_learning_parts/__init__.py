"""Parts of ``active_learning.py``."""
