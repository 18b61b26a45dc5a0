"""The alternatives to the multi-fidelity network on the same folds (paper Tables 9 and 16), and their contest."""
