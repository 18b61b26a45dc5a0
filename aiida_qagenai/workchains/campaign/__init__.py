"""Campaigns: cycles, their initial set, and their state."""
