"""Version and place of the package, and the releases of the stack that it supports.

Imports nothing of the stack.
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NoReturn

__version__ = '0.3.0'

_installed = Path(__file__).parent / '.mim'
ROOT = _installed if _installed.is_dir() else Path(__file__).parents[1]
"""Folder with ``configs/`` and ``tools/``: of the wheel, or the checkout."""

# Distributions that provide a package, and the range of it that is supported.
# torch before 2.6 can be made to run code by a file loaded with weights_only=True
# (CVE-2025-32434). mmaction2 1.2 wants mmcv < 2.2, and 1.1 wants mmcv < 2.1.
REQUIREMENTS = {
    'torch': (('torch',), '>=2.6,<3'),
    'mmengine': (('mmengine', 'mmengine-lite', 'onedl-mmengine'), '>=0.10.4,<1'),
    'mmcv': (('mmcv', 'mmcv-lite'), '>=2.0.1,<2.2'),
    'mmaction2': (('mmaction2',), '>=1.1,<1.3'),
}

HAS_MMACTION = importlib.util.find_spec('mmaction') is not None
"""Whether MMAction2 is there; without it, units and backbone are what the package has."""


def check_versions() -> None:
    """Check the stack before its own, terser checks fail on import.

    Raises:
        ImportError: If a package is missing or outside the supported range,
            saying what to install.
    """
    versions: dict[str, tuple[str, str]] = {}
    for package, (distributions, bounds) in REQUIREMENTS.items():
        installed = next(filter(_version, distributions), None)
        if installed is None:
            _refuse(package, bounds, f'{package} is not installed', distributions[-1])
        versions[package] = installed, importlib.metadata.version(installed)

    from packaging.specifiers import SpecifierSet  # not there where torch is alone

    for package, (_, bounds) in REQUIREMENTS.items():
        installed, version = versions[package]
        if package == 'mmcv' and SpecifierSet('<1.2').contains(versions['mmaction2'][1]):
            bounds = '>=2.0.1,<2.1'
        if not SpecifierSet(bounds).contains(version, prereleases=True):
            _refuse(package, bounds, f'{package} {version} is installed', installed)


def _refuse(package: str, bounds: str, problem: str, distribution: str) -> NoReturn:
    raise ImportError(
        f'artnet_mm needs {package}{bounds}, but {problem}: pip install "{distribution}{bounds}"'
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
