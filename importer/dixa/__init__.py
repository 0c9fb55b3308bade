"""The APIs that conversations can go to, one module each, and the client that sends."""

from collections.abc import Mapping

from importer.dixa import integrations, v1
from importer.dixa.api import Api

APIS: Mapping[str, Api] = {"dixa": v1, "integrations": integrations}
