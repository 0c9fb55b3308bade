"""What a command found and did: books that close, files that can be worked with, and last lines."""
