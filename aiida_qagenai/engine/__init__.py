"""All that touches the internals of AiiDA: bulk storage, one owner per process, resumption, the daemon."""
