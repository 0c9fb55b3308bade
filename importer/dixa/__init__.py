"""The APIs of Dixa that conversations can be imported with. One package per API, without I/O."""

from collections.abc import Mapping

from importer.dixa import integrations, v1
from importer.dixa.api import Api

APIS: Mapping[str, Api] = {"dixa": v1, "integrations": integrations}
