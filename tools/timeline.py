"""What happens when: tools/timeline.py CONFIG CHECKPOINT VIDEO... [--window 2s] [--step 0.5s]

Windows slide over each video, of any length; neighbours are averaged, and those of one class
become segments. With --out-dir each video gets NAME_timeline.json (segments and windows), .csv
(windows and their likeliest classes) and .png. A VIDEO may be an address or, with --live, a device
that FFmpeg opens (rtsp://..., /dev/video0 with --kind v4l2): answers are printed as they come, and
with --show the pictures are in a window; the timeline is that of the latest 20,000 windows.
"""

import argparse
from pathlib import Path

from config_arguments import add_recognizer_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, URL or artnet:// name')
    parser.add_argument('videos', nargs='+', help='video files; addresses or devices')
    parser.add_argument(
        '--window', help="seen at once: frames (64) or seconds (2.5s); default: a clip's extent"
    )
    parser.add_argument('--step', help='from one window to the next; default: half a window')
    parser.add_argument(
        '--smooth', type=int, default=3, help='windows that are averaged; default: %(default)s'
    )
    parser.add_argument(
        '--threshold', type=float, default=0.5,
        help='probability from which on a window belongs to a segment; default: %(default)s',
    )  # fmt: skip
    parser.add_argument('--out-dir', type=Path, help='folder for JSON, CSV and picture')
    parser.add_argument('--live', action='store_true', help='a stream: answer window by window')
    parser.add_argument('--show', action='store_true', help='a live stream in a window; q ends it')
    parser.add_argument('--kind', help="FFmpeg's format of a device, such as v4l2")
    add_recognizer_options(parser)
    args = parser.parse_args()
    if args.smooth < 1 or not 0 <= args.threshold <= 1:
        parser.error('--smooth is at least 1, and --threshold from 0 to 1')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


import csv
import json
from collections import deque
from itertools import islice

from artnet_mm.datasets.stream import Stream
from artnet_mm.datasets.video import Video
from artnet_mm.engine.launch import parse_options
from artnet_mm.files import whole_file, write_whole
from artnet_mm.inference.display import ShownStream
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.timeline import Moment, Segment, draw, segments_of, smooth, watch
from artnet_mm.inference.windows import frames_in

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn

TOP = 5
KEPT = 20_000
"""Windows of a stream, the latest, that become its timeline."""
console = Console(highlight=False, markup=False)


def follow(
    model: nn.Module, args: argparse.Namespace, source: str, names: list[str]
) -> list[Moment]:
    """The moments of a video, with progress, or of a stream, printed as they come."""
    if args.live or args.show or '://' in source:
        moments: deque[Moment] = deque(maxlen=KEPT)
        stream = (ShownStream if args.show else Stream)(source, args.kind)
        try:
            for moment in watch(model, stream, args.window, args.step, at_a_time=1):
                moments.append(moment)
                latest = [*islice(reversed(moments), args.smooth)][::-1]
                seen = smooth(latest, 2 * args.smooth - 1)[-1]
                label = int(seen.probabilities.argmax())
                words = f'{100 * seen.probabilities[label]:5.1f}%  {names[label]}'
                console.print(f'{moment.end:8.1f} s  {words}')
                if isinstance(stream, ShownStream):
                    stream.caption = words
        except KeyboardInterrupt:
            console.print('stopped')
        except ValueError as error:
            if not moments:
                raise
            console.print(f'{error}; this far:', style='red', soft_wrap=True)
        finally:
            stream.close()
        return [*moments]
    video = Video(source)
    seconds = len(video) / float(video.rate)
    watched = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(Path(source).name, total=seconds)
        for moment in watch(model, video, args.window, args.step):
            watched.append(moment)
            progress.update(bar, completed=moment.end)
    video.close()
    return watched


def write(
    folder: Path, source: str, names: list[str], moments: list[Moment], segments: list[Segment]
) -> None:
    """JSON, CSV and picture of a video."""
    stem = Path(source.rstrip('/')).stem or 'stream'
    likeliest = [
        [(int(k), float(m.probabilities[k])) for k in m.probabilities.argsort()[::-1][:TOP]]
        for m in moments
    ]
    content = dict(
        video=source,
        segments=[{**s._asdict(), 'class': names[s.label]} for s in segments],
        windows=[
            dict(start=m.start, end=m.end, classes={names[k]: round(p, 6) for k, p in top})
            for m, top in zip(moments, likeliest)
        ],
    )
    write_whole(folder / f'{stem}_timeline.json', f'{json.dumps(content, indent=1)}\n')
    with (
        whole_file(folder / f'{stem}_timeline.csv') as place,
        place.open('w', newline='', encoding='utf-8') as file,
    ):
        rows = csv.writer(file)
        rows.writerow(('start', 'end', 'rank', 'class', 'probability'))
        for moment, top in zip(moments, likeliest):
            times = f'{moment.start:.3f}', f'{moment.end:.3f}'
            rows.writerows((*times, n, names[k], f'{p:.6f}') for n, (k, p) in enumerate(top, 1))
    with whole_file(folder / f'{stem}_timeline.png') as place:
        draw(moments, segments, names, Path(source).name).savefig(place, dpi=100)


def main(args: argparse.Namespace) -> None:
    stems = [Path(video.rstrip('/')).stem for video in args.videos]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if args.out_dir and twice:
        raise SystemExit(f'error: {args.out_dir}/{twice}_timeline.json would be that of two videos')
    try:
        for length in filter(None, (args.window, args.step)):
            frames_in(length, 25)  # what is wrong is said before the network is loaded
        model, names = load_recognizer(
            args.config, args.checkpoint, args.device, parse_options(args.cfg_options),
            args.classes,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    failed = 0
    for source in args.videos:
        try:
            moments = smooth(follow(model, args, source, names), args.smooth)
            segments = segments_of(moments, args.threshold)
            if args.out_dir and moments:
                write(args.out_dir, source, names, moments, segments)
        except (OSError, RuntimeError, ValueError) as error:
            failed += 1
            console.print(f'{source}: no timeline: {error}', style='red', soft_wrap=True)
            continue
        table = Table('from (s)', 'to (s)', 'class', 'probability (%)', title=source)
        for start, end, label, probability in segments:
            table.add_row(f'{start:.1f}', f'{end:.1f}', names[label], f'{100 * probability:.1f}')
        console.print(table)
    if failed:
        raise SystemExit(f'error: {failed} of {len(args.videos)} videos have no timeline')


if __name__ == '__main__':
    main(ARGS)
