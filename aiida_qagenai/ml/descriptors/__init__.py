"""The descriptor model Φ_Q: quantum descriptors q from a structure, or from a composition alone."""
