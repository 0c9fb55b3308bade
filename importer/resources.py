"""The paths of the schemas and samples: inside the wheel, or beside the package in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent

SCHEMAS = _ROOT / "schemas"
SAMPLES = _ROOT / "samples"
