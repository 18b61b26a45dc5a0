"""Generation, prediction and training."""
