"""Property heads on the latent features of the shipped validator: bulk and shear moduli."""
