"""What the user says: the migration file, and the presets for known exports."""
