"""Look at a run before it starts: tools/check.py CONFIG [--cfg-options KEY=VALUE ...]

Reads lists and some samples, looks at disk and shared memory, takes a training step and a test
step, and shows what it found; its exit status is 1 where something is wrong. `--check` of
tools/train.py and tools/test.py does the same with the data loaders that these use.
"""

import argparse

from config_arguments import add_config_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds

from artnet_mm.checks import show_checks
from artnet_mm.engine.launch import load_config

if __name__ == '__main__':
    show_checks(load_config(ARGS), ('train_dataloader', 'val_dataloader', 'test_dataloader'))
