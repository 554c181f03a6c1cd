"""Several clips of a video for one decoding, by the numbers in their frames."""

import pytest
from mmaction.registry import DATASETS
from mmengine.dataset import COLLATE_FUNCTIONS
from mmengine.runner import Runner

from artnet_mm.datasets.seeding import SeededIndex
from artnet_mm.datasets.video import Video

from ..helpers import tiny_config
from . import numbered

OPEN, SAMPLE, DECODE, PACK = (
    dict(type='ClipVideoInit'),
    dict(type='SegmentClipSampler', clip_len=4, num_segments=2),
    dict(type='ClipDecode'),
    [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')],
)


def build(root, pipeline, **kwargs):
    (root / 'list.txt').write_text('a.mp4 1\nb.mp4 0\n')
    for name, first in (('a.mp4', 0), ('b.mp4', 1000)):
        if not (root / name).exists():
            numbered.write(root / name, 'libx264', range(first, first + 60))
    prefix = dict(video=str(root))
    options = dict(ann_file=str(root / 'list.txt'), data_prefix=prefix, num_classes=2)
    return DATASETS.build(dict(type='ClipVideoDataset', pipeline=pipeline, **options, **kwargs))


def numbers_in(sample):
    """Numbers of the frames of a packed sample, a list per clip."""
    clips = sample['inputs'].permute(0, 2, 3, 4, 1).numpy()
    return [[numbered.number_of(frame) for frame in clip] for clip in clips]


def test_clips_of_a_video_are_drawn_one_by_one_and_decoded_at_once(tmp_path, monkeypatch):
    decoded = []
    frames = Video.frames
    monkeypatch.setattr(Video, 'frames', lambda *args: decoded.append(1) or frames(*args))
    dataset = build(tmp_path, [OPEN, SAMPLE, DECODE, *PACK], num_repeats=3)
    samples = dataset[SeededIndex(1, seed=5)]
    assert len(samples) == 3 and len(decoded) == 1
    seen = [numbers_in(sample) for sample in samples]
    for clips in seen:  # consecutive frames, a clip in each half
        for half, clip in enumerate(clips):
            assert clip == list(range(clip[0], clip[0] + 4))
            assert 1000 + 30 * half <= clip[0] <= 1000 + 30 * half + 26
    assert len({clips[0][0] for clips in seen} | {clips[1][0] for clips in seen}) > 3
    again = dataset[SeededIndex(1, seed=5)]
    assert [numbers_in(sample) for sample in again] == seen


def test_a_batch_has_the_clips_of_its_videos_with_their_labels(tmp_path):
    dataset = build(tmp_path, [OPEN, SAMPLE, DECODE, *PACK], num_repeats=2)
    batch = COLLATE_FUNCTIONS.get('repeat_pseudo_collate')([dataset[0], dataset[1]])
    videos = [numbers_in(dict(inputs=clip))[0][0] // 1000 for clip in batch['inputs']]
    assert videos == [0, 0, 1, 1]
    labels = [(getattr(s, 'gt_label', None) or s.gt_labels.item) for s in batch['data_samples']]
    assert [int(label) for label in labels] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    'pipeline, options',
    [
        ([OPEN, SAMPLE, DECODE, *PACK], dict(num_repeats=0)),
        ([OPEN, dict(SAMPLE, test_mode=True), DECODE, *PACK], dict(num_repeats=2)),
        ([OPEN, SAMPLE, dict(type='ShareFrames'), DECODE, *PACK], dict(num_repeats=2)),
        ([OPEN, dict(type='UniformClipSampler', clip_len=4), DECODE, *PACK], dict(num_repeats=2)),
        ([OPEN, SAMPLE], dict(num_repeats=2)),
    ],
)
def test_pipelines_that_cannot_be_repeated_are_refused(pipeline, options, tmp_path):
    with pytest.raises(ValueError, match=r'num_repeats=.: it is at least 1, and a training pipe'):
        build(tmp_path, pipeline, **options)


def test_a_training_counts_its_clips(clips, tmp_path, caplog):
    repeated = {
        'train_dataloader.dataset.num_repeats': 3,
        'train_dataloader.collate_fn': dict(type='repeat_pseudo_collate'),
        'train_cfg.max_iters': 1,
    }
    runner = Runner.from_cfg(tiny_config('artnet_r18_d_toy', clips, tmp_path, **repeated))
    caplog.set_level('INFO', runner.logger.name)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert 'batch: 6 samples = 1 processes x 2 x 3 clips of a video x 1 accumulated' in caplog.text
