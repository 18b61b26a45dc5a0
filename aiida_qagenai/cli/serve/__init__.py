"""The graph behind the OPTIMADE interface."""
