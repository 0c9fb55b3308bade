"""A local look-alike of Dixa to rehearse against: the documented behaviour, the documented limits, its state
in one SQLite file. It listens on loopback only and knows nothing of the importer that calls it."""

from importer.sandbox.server import Settings, running

__all__ = ["Settings", "running"]
