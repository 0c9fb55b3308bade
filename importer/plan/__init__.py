"""Good rows become conversations, in a stable order."""
