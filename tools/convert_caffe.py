"""Convert the authors' weights for Caffe: convert_caffe.py IN.caffemodel OUT.pth"""

import argparse
from pathlib import Path

import torch

from artnet_mm.zoo.convert import Conversion, convert


def save(conversion: Conversion, out: Path) -> None:
    """Write a checkpoint that loads with ``weights_only=True``.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(f'{out}.unfinished')
    with unfinished.open('wb') as file:
        try:
            torch.save(dict(state_dict=conversion.state_dict, meta=conversion.meta), file)
        except RuntimeError as error:  # what torch makes of a full disk
            unfinished.unlink()
            raise OSError(f'{out} cannot be written: {error.__context__ or error}') from None
    unfinished.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='one of the released .caffemodel files')
    parser.add_argument('out', type=Path, help='checkpoint to write, for test.py and load_from')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error(f'OUT is a .pth file, not {args.out}')
    try:
        conversion = convert(args.source)
        save(conversion, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    print(*conversion.notes, f'written to {args.out}', sep='\n')


if __name__ == '__main__':
    main()
