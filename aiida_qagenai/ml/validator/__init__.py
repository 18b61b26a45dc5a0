"""The multi-fidelity equivariant validator (MF-ENNP): energies on every level of the ladder with uncertainties."""
