"""A page to drop clips on: tools/web_demo.py [CONFIG CHECKPOINT] [--port 7860]

Shows the likeliest classes, what happens when, and what appearance and relation see. By default by
the toy network, which is in the package and knows ten motions. The page is for this machine alone;
what is uploaded is deleted after ten minutes, and all that is left at the end.
"""

import argparse
from pathlib import Path

from config_arguments import add_recognizer_options

TOY = Path(__file__).parents[1] / 'configs/artnet_r18_d_toy.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='file, URL or name')
    parser.add_argument('--port', type=int, help='default: the first free one from 7860 on')
    parser.add_argument('--max-seconds', type=float, default=60, help='default: %(default)s')
    parser.add_argument('--max-megabytes', type=float, default=50, help='default: %(default)s')
    add_recognizer_options(parser)
    args = parser.parse_args()
    if args.config and not args.checkpoint:
        parser.error('CONFIG and CHECKPOINT go together')
    args.config, args.checkpoint = args.config or TOY, args.checkpoint or f'artnet://{TOY.stem}'
    if args.max_seconds <= 0 or args.max_megabytes <= 0:
        parser.error('--max-seconds and --max-megabytes are above 0')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.engine.launch import parse_options
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.web import serve


def main(args: argparse.Namespace) -> None:
    try:
        model, names = load_recognizer(
            args.config, args.checkpoint, args.device, parse_options(args.cfg_options),
            args.classes,
        )  # fmt: skip
        title = Path(args.config).stem
        serve(model, names, title, args.port, args.max_seconds, args.max_megabytes)
    except ImportError as error:
        raise SystemExit(f'error: {error}: pip install gradio') from None
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main(ARGS)
