"""A profile, this computer and its codes."""
