"""Parts of ``inverse_design.py``."""
