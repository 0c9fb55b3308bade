"""Dixa's side: each API's protocol without I/O, and the thin client that sends."""
