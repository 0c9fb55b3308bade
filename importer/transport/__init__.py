"""One request until its response proves something, at the account's rate."""
