"""Evaluation of generated crystals by the definitions of the field: validity, matches, coverage, novelty, stability."""
