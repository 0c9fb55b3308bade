"""What is known about the hosts of attachments."""
