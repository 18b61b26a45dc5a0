"""Bulk storage, queries and archives."""
