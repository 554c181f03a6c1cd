"""Name the action in a video by an exported network: run_onnx.py NETWORK.onnx VIDEO

It needs numpy, av and onnxruntime alone, and is meant to be copied.
"""

import argparse
import json

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('network', help='file of tools/export.py')
    parser.add_argument('video')
    ARGS = parser.parse_args()  # before the imports below, which take a second

import av
import numpy as np
import onnxruntime

CLIPS = 10


def read(path: str, width: int, height: int) -> list[np.ndarray]:
    """All frames of a video, uint8 (H, W, 3)."""
    with av.open(path) as container:
        return [
            frame.reformat(width, height, 'rgb24', interpolation='BILINEAR').to_ndarray()
            for frame in container.decode(video=0)
        ]


def main(network: str, video: str) -> None:
    session = onnxruntime.InferenceSession(network, providers=['CPUExecutionProvider'])
    notes = session.get_modelmeta().custom_metadata_map
    classes, length = json.loads(notes['classes']), int(notes['clip_len'])
    interval = int(notes['frame_interval'])
    frames = read(video, int(notes['width']), int(notes['height']))
    last = len(frames) - 1
    scores = []
    for first in np.linspace(0, max(last - length * interval + interval, 0), CLIPS).astype(int):
        clip = [frames[min(first + n * interval, last)] for n in range(length)]
        scores.append(session.run(['scores'], {'frames': np.stack(clip)[None]})[0][0])
    mean = np.mean(scores, 0)
    probabilities = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
    for label in probabilities.argsort()[::-1][:5]:
        print(f'{100 * probabilities[label]:5.1f}% {classes[label]}')


if __name__ == '__main__':
    main(ARGS.network, ARGS.video)
