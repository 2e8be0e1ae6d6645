"""meson-python, without the limited API for free-threaded interpreters, which do not have it before Python 3.15.

For all others it builds one abi3 wheel for Python 3.11 and later.
"""

from __future__ import annotations

import sysconfig
from typing import Any

import mesonpy
from mesonpy import build_sdist, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

Settings = dict[str, Any] | None


def _settings(given: Settings) -> Settings:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return given
    settings = dict(given or {})
    before = settings.get("setup-args", [])
    before = [before] if isinstance(before, str) else before
    return settings | {"setup-args": ["-Dpython.allow_limited_api=false", *before]}


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return list(mesonpy.get_requires_for_build_wheel(_settings(config_settings)))


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return list(mesonpy.get_requires_for_build_editable(_settings(config_settings)))


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    return str(mesonpy.build_wheel(wheel_directory, _settings(config_settings), metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    return str(mesonpy.build_editable(wheel_directory, _settings(config_settings), metadata_directory))
