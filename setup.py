"""Package artnet_mm with its configs and tools inside."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    return (HERE / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()


class BuildWithConfigsAndTools(build_py):
    """Put configs/, tools/ and model-index.yml into artnet_mm/.mim, as OpenMMLab packages do."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout has them beside the package
            return
        for folder in ('configs', 'tools'):
            target = Path(self.build_lib, 'artnet_mm', '.mim', folder)
            shutil.copytree(
                HERE / folder,
                target,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns('__pycache__'),
            )
        shutil.copy(HERE / 'model-index.yml', target.parent)


setup(
    name='artnet_mm',
    version=re.search(
        r"__version__ = '(.+)'", (HERE / 'artnet_mm/version.py').read_text(encoding='utf-8')
    )[1],
    description='Appearance-and-Relation Networks (CVPR 2018) for MMAction2',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['artnet_mm', 'artnet_mm.*']),
    package_data={'artnet_mm.zoo': ['weights/*.pth']},
    install_requires=requirements('runtime'),
    extras_require={
        # mmcv is no requirement: a full mmcv must never be replaced by mmcv-lite
        'lite': [r.replace('mmcv', 'mmcv-lite') for r in requirements('mminstall')],
        'full': requirements('mminstall'),
        'optional': requirements('optional'),
        'export': requirements('export'),
        'web': ['gradio>=6.31'],
        'torchcodec': ['torchcodec>=0.10'],
        # where curves go, by MMEngine's visualizer backends
        'tensorboard': ['tensorboard'],
        'wandb': ['wandb'],
        'mlflow': ['mlflow'],
        'tests': requirements('tests'),
    },
    cmdclass={'build_py': BuildWithConfigsAndTools},
)
