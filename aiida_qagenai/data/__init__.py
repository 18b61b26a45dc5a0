"""Node types of a campaign (entry points qagenai.*)."""
