"""Convert the authors' weights for Caffe: convert_caffe.py IN.caffemodel OUT.pth"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='one of the released .caffemodel files')
    parser.add_argument('out', type=Path, help='checkpoint to write, for test.py and load_from')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error(f'OUT is a .pth file, not {args.out}')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm import checkpoints
from artnet_mm.zoo.convert import convert


def main(args: argparse.Namespace) -> None:
    try:
        conversion = convert(args.source)
        checkpoint = dict(state_dict=conversion.state_dict, meta=conversion.meta)
        checkpoints.save(checkpoint, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    print(*conversion.notes, f'written to {args.out}', sep='\n')


if __name__ == '__main__':
    main(ARGS)
