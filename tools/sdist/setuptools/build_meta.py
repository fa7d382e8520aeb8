"""The backend that pip assumes for such archives, under both names it uses."""

import sys

from mesonpy import build_wheel, get_requires_for_build_wheel, prepare_metadata_for_build_wheel

__all__ = ["build_wheel", "get_requires_for_build_wheel", "prepare_metadata_for_build_wheel"]

__legacy__ = sys.modules[__name__]
