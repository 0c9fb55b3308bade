"""Texts as Dixa is to show them."""
