"""Closed-loop, quantum-aware materials discovery with full provenance, as an AiiDA plugin."""

__version__ = '0.1.0'
