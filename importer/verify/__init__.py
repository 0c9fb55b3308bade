"""Whether Dixa holds what was sent: the comparison, and the proof of it."""
