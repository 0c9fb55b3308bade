"""Tables are judged: good rows, and a reason for every other row."""
