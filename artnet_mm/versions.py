"""Which versions of the stack are supported; imports nothing of it."""

import importlib.metadata

from packaging.specifiers import SpecifierSet

# Distributions that provide a package, and the range of it that is supported.
# torch before 2.6 can be made to run code by a file loaded with weights_only=True
# (CVE-2025-32434). mmaction2 1.2 wants mmcv < 2.2, and 1.1 wants mmcv < 2.1.
REQUIREMENTS = {
    'torch': (('torch',), '>=2.6,<3'),
    'mmengine': (('mmengine', 'mmengine-lite'), '>=0.10.4,<1'),
    'mmcv': (('mmcv', 'mmcv-lite'), '>=2.0.1,<2.2'),
    'mmaction2': (('mmaction2',), '>=1.1,<1.3'),
}


def check_versions() -> None:
    """Check the stack before its own, terser checks fail on import.

    Raises:
        ImportError: If a package is missing or outside the supported range,
            saying what to install.
    """
    for package, (distributions, bounds) in REQUIREMENTS.items():
        installed = next(filter(_version, distributions), None)
        version = installed and _version(installed)
        if package == 'mmcv' and SpecifierSet('<1.2').contains(_version('mmaction2') or '1.2'):
            bounds = '>=2.0.1,<2.1'
        if version is None:
            problem = f'{package} is not installed'
        elif not SpecifierSet(bounds).contains(version, prereleases=True):
            problem = f'{package} {version} is installed'
        else:
            continue
        raise ImportError(
            f'artnet_mm needs {package}{bounds}, but {problem}: '
            f'pip install "{installed or distributions[-1]}{bounds}"'
        )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
