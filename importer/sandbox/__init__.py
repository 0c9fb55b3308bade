"""A local simulation of Dixa for rehearsals, with the documented behaviour and limits. Its state is in one
SQLite file. It listens on loopback only and does not depend on the importer that calls it."""

from importer.sandbox.server import Settings, running

__all__ = ["Settings", "running"]
