"""Look at a run before it starts: tools/check.py CONFIG [--cfg-options KEY=VALUE ...]

Reads lists and some samples, looks at disk and shared memory, takes a training step and a test
step, and shows what it found; its exit status is 1 where something is wrong. `--check` of
tools/train.py and tools/test.py does the same with the data loaders that these use.
"""

import argparse

from artnet_mm.checks import show_checks
from artnet_mm.engine.launch import add_config_arguments, load_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    show_checks(
        load_config(parser.parse_args()),
        ('train_dataloader', 'val_dataloader', 'test_dataloader'),
    )


if __name__ == '__main__':
    main()
