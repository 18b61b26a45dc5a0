"""The conditional diffusion generator of crystals."""
