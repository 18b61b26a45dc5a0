"""Convex hulls, stability classes and their pictures."""
