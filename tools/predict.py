"""Name the actions in videos: tools/predict.py CONFIG CHECKPOINT VIDEO... [--csv FILE] ..."""

import argparse
import csv
from pathlib import Path

from config_arguments import add_recognizer_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, URL or artnet:// name')
    parser.add_argument('videos', nargs='+', type=Path, help='video files')
    parser.add_argument('--csv', type=Path, help='file for video, rank, class, probability')
    parser.add_argument('--out-dir', type=Path, help='folder for annotated copies of the videos')
    add_recognizer_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.compat import prediction_of
from artnet_mm.datasets.video import Video
from artnet_mm.engine.launch import parse_options
from artnet_mm.evaluation.metrics import REMEDY, out_of_proportion
from artnet_mm.files import whole_file
from artnet_mm.inference.recognizer import load_recognizer

import av
import cv2
import numpy as np
import torch
from mmaction.apis import inference_recognizer
from rich.console import Console
from rich.progress import track

TOP = 5
BAR = 30  # characters of a bar that stands for certainty
console = Console(highlight=False, markup=False)

Answer = list[tuple[str, float]]  # class and probability, the likeliest first


def predict(model: torch.nn.Module, names: list[str], video: str) -> Answer:
    """The five likeliest classes of a video, by the views of the config's test pipeline.

    Raises:
        ValueError: If the scores are not finite.
    """
    scores, _ = prediction_of(inference_recognizer(model, video).to_dict())
    scores = scores.cpu()
    if not scores.isfinite().all():
        raise ValueError('the scores of the network are not finite')
    if out_of_proportion(scores.numpy()[None])[0]:
        console.print(
            f'{video}: scores out of all proportion: {REMEDY}', style='yellow', soft_wrap=True
        )
    values, labels = scores.softmax(0).topk(min(TOP, len(names)))
    return [(names[label], value) for label, value in zip(labels.tolist(), values.tolist())]


def annotate(video: Path, answer: Answer, copy: Path) -> None:
    """Write a copy of a video with the answer on every frame."""
    reader = Video(str(video))
    width, height = reader.size
    scale = max(height / 600, 0.4)
    with whole_file(copy) as place, av.open(str(place), 'w') as container:
        stream = container.add_stream('libx264', rate=reader.codec_rate)
        # H.264 takes even sizes only.
        stream.width, stream.height, stream.pix_fmt = width // 2 * 2, height // 2 * 2, 'yuv420p'
        for frame in reader.walk(reader.size):
            picture = np.ascontiguousarray(frame[: stream.height, : stream.width])
            picture[: round((len(answer) + 0.5) * 30 * scale)] //= 3  # dark, for white letters
            for line, (name, probability) in enumerate(answer, 1):
                text, corner = f'{100 * probability:.0f}% {name}', (6, round(line * 30 * scale))
                cv2.putText(
                    picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255),
                    max(round(1.5 * scale), 1), cv2.LINE_AA,
                )  # fmt: skip
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())


def main(args: argparse.Namespace) -> None:
    copies = [f'{video.stem}_answer.mp4' for video in args.videos]
    twice = next((name for name in copies if copies.count(name) > 1), None)
    if args.out_dir and twice:
        raise SystemExit(f'error: {args.out_dir / twice} would be the copy of two videos')
    try:
        options = parse_options(args.cfg_options)
        model, names = load_recognizer(
            args.config, args.checkpoint, args.device, options, args.classes
        )
        for folder in filter(None, (args.out_dir, args.csv and args.csv.parent)):
            folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None

    rows, failed = [], 0
    videos = track(zip(args.videos, copies), 'videos', len(copies), console=console)
    for video, copy in videos:
        try:
            answer = predict(model, names, str(video))
            if args.out_dir:
                annotate(video, answer, args.out_dir / copy)
        except Exception as error:  # decoders raise nearly anything; the others go on
            failed += 1
            console.print(f'{video}: no answer: {error}', style='red', soft_wrap=True)
            continue
        console.print(str(video), style='bold')
        for rank, (name, probability) in enumerate(answer, 1):
            bar = '█' * round(BAR * probability)
            console.print(f'  {100 * probability:5.1f}% {bar:{BAR}s} {name}')
            rows.append((video, rank, name, f'{probability:.6f}'))
    if args.csv:
        try:
            with (
                whole_file(args.csv) as place,
                place.open('w', newline='', encoding='utf-8') as file,
            ):
                csv.writer(file).writerows([('video', 'rank', 'class', 'probability'), *rows])
        except OSError as error:
            raise SystemExit(f'error: {args.csv}: {error}') from None
    if failed:
        raise SystemExit(f'error: {failed} of {len(args.videos)} videos could not be read')


if __name__ == '__main__':
    main(ARGS)
