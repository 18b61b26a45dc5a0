"""Relaxations at PBE."""
