"""Elements, radii, oxidation states, prototypes and constraints (no AiiDA)."""
