"""A stand-in build backend: answers pip's question for metadata and builds nothing.

pip prepares the metadata of a source archive even when it only downloads it, which would need the
real backend and would run code of the archive. An sdist already carries that metadata: PKG-INFO.
"""

import os
import re
import shutil


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        text = file.read()
    name = re.search(r"^Name: (\S+)", text, re.MULTILINE).group(1)
    version = re.search(r"^Version: (\S+)", text, re.MULTILINE).group(1)
    directory = f"{name}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, directory))
    shutil.copy("PKG-INFO", os.path.join(metadata_directory, directory, "METADATA"))
    return directory


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise RuntimeError("this stand-in only answers for metadata")
