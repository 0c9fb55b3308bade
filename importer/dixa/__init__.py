"""The APIs that conversations can go to, one package each, without I/O."""

from collections.abc import Mapping

from importer.dixa import integrations, v1
from importer.dixa.api import Api

APIS: Mapping[str, Api] = {"dixa": v1, "integrations": integrations}
