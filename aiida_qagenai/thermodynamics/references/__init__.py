"""Reference energies and extrapolations that energies refer to."""
