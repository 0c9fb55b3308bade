"""Conversations go to Dixa: several at once, the steps of one in order."""
