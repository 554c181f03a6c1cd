"""Make a checkpoint ready for a zoo: tools/publish_checkpoint.py IN.pth NAME [--out-dir DIR]

Writes DIR/NAME-HASH8.pth with the weights, the class names and what they were trained
on; without the states of optimizer, schedulers and log. HASH8 begins the file's SHA-256,
which artnet:// names verify. Beside it: the same as NAME-HASH8.safetensors, which hf:// names and
--load-from take too; .py, the config of the run, where the checkpoint has it; .md, a model card.
"""

import argparse
import re
from contextlib import suppress
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a run')
    parser.add_argument('name', help='name in the zoo, such as that of the config')
    parser.add_argument('--out-dir', type=Path, default=Path(), help='folder of the zoo')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import checkpoints
from artnet_mm.files import sha256_of, write_whole
from artnet_mm.zoo.card import card_of, settings_of

META = ('dataset_meta', 'trained_on', 'experiment_name', 'mmengine_version', 'iter', 'time')


def publish(source: Path, name: str, folder: Path) -> Path:
    """Write the published form of a checkpoint, and what comes with it.

    Returns:
        Path: The file of the weights.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        RuntimeError: If it cannot be read.
        ValueError: If it holds no weights, or the name is not one.
    """
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9._-]*', name):
        raise ValueError(f'{name!r} is no name of letters, digits, ".", "_" and "-"')
    checkpoint = checkpoints.load(source)
    weights = checkpoint.get('state_dict')
    if not weights:
        raise ValueError(f'{source} holds no state_dict')
    known = checkpoint.get('meta') or {}
    settings = None
    with suppress(ValueError):  # not one that a run has written
        settings = settings_of(known.get('cfg') or '')
    meta = {key: value for key, value in known.items() if key in META}
    unfinished = folder / f'{name}.part'
    checkpoints.save(dict(state_dict=weights, meta=meta), unfinished)
    published = unfinished.replace(folder / f'{name}-{sha256_of(unfinished)[:8]}.pth')
    checkpoints.save_safetensors(weights, meta, published.with_suffix('.safetensors'))
    if settings:
        write_whole(published.with_suffix('.py'), known['cfg'])
    else:
        print(f'{source} has no config that can be published: there is none beside the weights')
    card = card_of(checkpoint, settings, name, published)
    write_whole(published.with_suffix('.md'), card)
    return published


def main(args: argparse.Namespace) -> None:
    try:
        published = publish(args.checkpoint, args.name, args.out_dir)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    before, after = (path.stat().st_size / 2**20 for path in (args.checkpoint, published))
    print(
        f'{published}: {after:.1f} MB of {before:.1f}; beside it .safetensors and a model card, .md'
    )
    print(f'artnet://{published.stem} where ARTNET_MM_MIRROR is the address of {args.out_dir}')


if __name__ == '__main__':
    main(ARGS)
