"""The APIs that conversations can go to, one module each, and the client that sends."""

from collections.abc import Mapping

from importer.dixa import v1
from importer.dixa.api import Api
from importer.dixa.integrations import protocol as integrations

APIS: Mapping[str, Api] = {"dixa": v1, "integrations": integrations}
