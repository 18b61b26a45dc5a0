"""External data as nodes: files, OPTIMADE providers, the Materials Project."""
