"""Exchange formats between the AiiDA side and the GPU side (neither AiiDA nor torch)."""
