"""What was sent and what became of it: one SQLite file, durable before each request leaves."""
