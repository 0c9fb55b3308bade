"""What `init` finds out about an export, and the migration file that it writes."""
