"""Structural motifs of known crystals (paper section 3.1.2): where the generator starts."""
