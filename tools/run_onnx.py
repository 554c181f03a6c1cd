"""Name the action in a video by an exported network: run_onnx.py NETWORK.onnx VIDEO

It needs numpy, av and onnxruntime alone, and is meant to be copied.
"""

import argparse
import json
from collections.abc import Iterator

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('network', help='file of tools/export.py')
    parser.add_argument('video')
    ARGS = parser.parse_args()  # before the imports below, which take a second

import av
import numpy as np
import onnxruntime

CLIPS = 10


def decode(path: str) -> Iterator[av.VideoFrame]:
    with av.open(path) as container:
        yield from container.decode(video=0)


def upright(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """uint8 (H, W, 3), turned as phones say."""
    turns = frame.rotation // 90
    size = (height, width) if turns % 2 else (width, height)
    return np.rot90(frame.reformat(*size, 'rgb24', interpolation='BILINEAR').to_ndarray(), turns)


def main(network: str, video: str) -> None:
    session = onnxruntime.InferenceSession(network, providers=['CPUExecutionProvider'])
    notes = session.get_modelmeta().custom_metadata_map
    classes, length = json.loads(notes['classes']), int(notes['clip_len'])
    interval, size = int(notes['frame_interval']), (int(notes['width']), int(notes['height']))
    last = sum(1 for _ in decode(video)) - 1
    first = np.linspace(0, max(last - length * interval + interval, 0), CLIPS).astype(int)
    clips = np.minimum(first[:, None] + interval * np.arange(length), last)
    needed = {*clips.ravel().tolist()}
    frames = {n: upright(f, *size) for n, f in enumerate(decode(video)) if n in needed}
    scores = [
        session.run(['scores'], {'frames': np.stack([frames[n] for n in clip])[None]})[0][0]
        for clip in clips.tolist()
    ]
    mean = np.mean(scores, 0)
    probabilities = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
    for label in probabilities.argsort()[::-1][:5]:
        print(f'{100 * probabilities[label]:5.1f}% {classes[label]}')


if __name__ == '__main__':
    main(ARGS.network, ARGS.video)
