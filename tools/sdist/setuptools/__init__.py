"""Shadows setuptools for archives without a pyproject.toml, for the reason in mesonpy.py."""
