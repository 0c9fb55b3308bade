"""The path, composed: what each command does, without its terminal."""
