"""Searches for hyperparameters: trials, one process each, and the choice of the next one."""
