"""Test videos as frames, each once, and their views on the device; decoding for both."""

import copy
from itertools import product
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.apis.inferencers import ActionRecogInferencer
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.runner import Runner, save_checkpoint

from artnet_mm.compat import prediction_of
from artnet_mm.data_making.motion_clips import motion_clip, write_video
from artnet_mm.datasets import ClipDecode, ClipVideoInit
from artnet_mm.datasets.video import Video
from artnet_mm.models import ClipPreprocessor, ClipRecognizer3D
from artnet_mm.models.preprocessor import Views
from artnet_mm.models.recognizers import parts_of
from artnet_mm.views import Crops, TestProtocol

from .helpers import ROOT, let_a_cpu_take, settled_toy, step_of, tiny_config

SAMPLER = dict(type='UniformClipSampler', clip_len=4, num_clips=5)
PACK = dict(type='PackActionInputs')
SHARED = [
    dict(type='ClipVideoInit'),
    SAMPLER,
    dict(type='ShareFrames'),
    dict(type='ClipDecode', scale=(34, 26)),
    dict(type='PackActionInputs', collect_keys=('imgs', 'clips')),
]
TEN_CROPS = dict(type='ClipTenCrop', crop_size=20)
FORMAT = dict(type='FormatShape', input_format='NCTHW')
RESIZE = dict(type='Resize', scale=(34, 26), keep_ratio=False)


def write(path: Path, num_frames: int, codec: str = 'libx264', size: tuple = (66, 50)) -> Path:
    """A video of noise whose frames differ."""
    noise = np.random.default_rng(0)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size = 'yuv420p', 12
        for _ in range(num_frames):
            small = noise.integers(0, 256, (10, 12, 3), np.uint8)
            frame = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    return path


def video(path: Path) -> dict:
    return dict(filename=str(path), label=1, start_index=0, modality='RGB')


def stock_views(
    path: Path, preprocessor: ClipPreprocessor, crops: dict = TEN_CROPS
) -> torch.Tensor:
    frames = [dict(type='DecordInit'), SAMPLER, dict(type='DecordDecode'), RESIZE]
    steps = [*frames, crops, FORMAT, PACK]
    inputs = pseudo_collate([Compose(steps)(video(path))])
    return preprocessor(inputs)['inputs'][0]


@pytest.mark.parametrize('num_frames', [1, 3, 17, 40])
@pytest.mark.parametrize(('codec', 'suffix'), [('libx264', 'mp4'), ('mpeg4', 'avi')])
def test_views_of_a_video_are_those_of_ten_crop_bit_for_bit(num_frames, codec, suffix, tmp_path):
    path = write(tmp_path / f'video.{suffix}', num_frames, codec)
    preprocessor = ClipPreprocessor([123, 117, 104], std=[1, 2, 3], to_rgb=True, crop_size=20)
    expected = stock_views(path, preprocessor)
    sample = Compose(SHARED)(video(path))
    assert len(sample['inputs']['imgs']) == min(num_frames, 20)
    (views,) = preprocessor(pseudo_collate([sample]))['inputs']
    assert len(views) == len(expected) == 50
    for size in (1, 7, 25, 1000):
        parts = list(views.split(size))
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
        assert torch.equal(torch.cat(parts), expected)


@pytest.mark.parametrize('mirrored', [True, False])
@pytest.mark.parametrize(
    ('num_places', 'stock'), [(1, 'CenterCrop'), (3, 'ThreeCrop'), (5, 'ClipTenCrop')]
)
def test_any_crops_are_the_same_on_the_device_and_in_a_pipeline(
    num_places, stock, mirrored, tmp_path
):
    path = write(tmp_path / 'video.mp4', 17)
    options = dict(crop_size=26 if num_places == 3 else 20, num_places=num_places)
    preprocessor = ClipPreprocessor([0, 0, 0], **options, mirrored=mirrored)
    pipeline = dict(type='ClipCrops', **options, mirrored=mirrored)
    expected = stock_views(path, preprocessor, pipeline)
    (views,) = preprocessor(pseudo_collate([Compose(SHARED)(video(path))]))['inputs']
    assert len(views) == len(expected) == 5 * num_places * (1 + mirrored)
    assert torch.equal(torch.cat(list(views.split(4))), expected)
    of_place = expected.unflatten(0, (num_places, 1 + mirrored, 5))
    if mirrored:
        assert torch.equal(of_place[:, 1], of_place[:, 0].flip(-1))
    theirs = stock_views(path, preprocessor, dict(type=stock, crop_size=options['crop_size']))
    if stock == 'ClipTenCrop':
        theirs = theirs.unflatten(0, (5, 2, 5))[:, 0]
    elif stock == 'ThreeCrop':  # each clip's crops, not each crop's clips
        assert {v.numpy().tobytes() for v in theirs} == {
            v.numpy().tobytes() for v in of_place[:, 0].flatten(0, 1)
        }
        return
    assert torch.equal(of_place[:, 0].flatten(0, 1), theirs.reshape(-1, *theirs.shape[-4:]))


def test_three_places_lie_along_the_longer_side():
    assert Crops((4, 4), 3).corners((11, 6)) == [(0, 1), (7, 1), (3, 1)]
    assert Crops((4, 4), 3).corners((6, 11)) == [(1, 0), (1, 7), (1, 3)]
    assert Crops((4, 4), 1).corners((11, 6)) == [(3, 1)]
    with pytest.raises(ValueError, match='num_places must be 1, 3 or 5, got 10'):
        Crops((4, 4), 10)


def test_a_config_tests_without_mirror_images(clips, tmp_path):
    """As data sets need it on which left and right make a class."""
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path)
    assert TestProtocol.of(cfg).num_views == 10 * len(Crops((56, 56)))
    cfg.model.data_preprocessor.update(num_places=3, mirrored=False)
    protocol = TestProtocol.of(cfg)
    assert protocol == TestProtocol(10, Crops((56, 56), 3, False), 50)
    assert protocol.num_views == 30
    assert Runner.from_cfg(cfg).test()['acc/evaluated'] > 0


def test_views_of_flow_are_those_of_ten_crop_bit_for_bit(tmp_path):
    noise = np.random.default_rng(0)
    for axis, index in product('xy', range(1, 12)):
        image = noise.integers(0, 256, (50, 66), np.uint8)
        cv2.imwrite(str(tmp_path / f'flow_{axis}_{index:05d}.png'), image)
    info = dict(
        frame_dir=str(tmp_path), total_frames=11, start_index=1, modality='Flow',
        filename_tmpl='flow_{}_{:05d}.png', label=0,
    )  # fmt: skip
    frames = [dict(type='RawFrameDecode'), dict(type='StackFlow'), RESIZE]
    preprocessor = ClipPreprocessor([128, 100], crop_size=20)
    stock = Compose([SAMPLER, *frames, TEN_CROPS, FORMAT, PACK])(copy.deepcopy(info))
    expected = preprocessor(pseudo_collate([stock]))['inputs'][0]
    (views,) = preprocessor(pseudo_collate([Compose(SHARED)(info)]))['inputs']
    assert torch.equal(torch.cat(list(views.split(9))), expected)


def test_a_video_weighs_less_than_an_eighth_in_the_data_loader(tmp_path):
    """280 frames of 170 x 128 instead of 250 views: what the Kinetics leaves send."""
    path = tmp_path / 'video.mp4'
    write_video(path, motion_clip(label=0, seed=0, num_frames=280, size=(170, 128)))
    pipeline = Config.fromfile(ROOT / 'configs/artnet_r18_d_kinetics.py').test_pipeline
    inputs = Compose(pipeline)(video(path))['inputs']
    size = sum(value.numel() * value.element_size() for value in inputs.values())
    assert size < 250 * 3 * 16 * 112 * 112 / 8
    assert inputs['imgs'].dtype == torch.uint8


@pytest.mark.parametrize('scale', [None, (34, 26)])
def test_frames_of_an_mp4_are_those_of_decord_bit_for_bit(scale, tmp_path):
    path = write(tmp_path / 'video.mp4', 30)
    needed = np.array([0, 3, 4, 17, 29])
    expected = decord.VideoReader(str(path)).get_batch(needed).asnumpy()
    if scale:
        expected = np.stack([cv2.resize(frame, scale) for frame in expected])
    results = ClipDecode(scale)({**ClipVideoInit()(video(path)), 'frame_inds': needed})
    assert np.array_equal(results['imgs'], expected)
    assert results['img_shape'] == expected.shape[1:3]
    assert 'video_reader' not in results


def test_frames_that_another_step_has_opened_are_refused(tmp_path):
    path = write(tmp_path / 'video.mp4', 3)
    opened = Compose([dict(type='DecordInit')])(video(path))
    with pytest.raises(TypeError, match='reads what ClipVideoInit has opened, not a decord'):
        ClipDecode()({**opened, 'frame_inds': np.arange(3)})


@pytest.mark.parametrize('kind', ['video', 'array'])
def test_the_inferencer_reads_what_the_pipeline_of_the_config_reads(kind, tmp_path):
    """It would put decord in its place, which fails or errs here."""
    path = write(tmp_path / 'video.mp4', 20, 'libsvtav1', (86, 64))
    config = str(ROOT / 'configs/artnet_r18_d_toy.py')
    model = init_recognizer(config, device='cpu')
    expected, _ = prediction_of(inference_recognizer(model, str(path)).to_dict())
    save_checkpoint(model.state_dict(), str(tmp_path / 'weights.pth'))
    inferencer = ActionRecogInferencer(
        config, str(tmp_path / 'weights.pth'), device='cpu', input_format=kind
    )
    inputs = str(path) if kind == 'video' else np.stack(list(Video(str(path)).walk()))
    (found,) = inferencer(inputs, return_datasamples=True)['predictions']
    torch.testing.assert_close(prediction_of(found.to_dict())[0], expected)


def test_a_batch_of_videos_of_unequal_length_has_the_scores_of_one_at_a_time(tmp_path):
    model = settled_toy().eval()
    assert type(model) is ClipRecognizer3D
    pipeline = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').test_pipeline
    step_of(pipeline, 'UniformClipSampler').num_clips = 2
    samples = []
    for number, frames in enumerate((5, 20, 33)):
        clip = motion_clip(label=number, seed=number, num_frames=frames)
        write_video(tmp_path / f'{number}.mp4', clip)
        samples.append(Compose(pipeline)(video(tmp_path / f'{number}.mp4')))
    scores = []
    with torch.no_grad():
        for batch in ([samples], [[sample] for sample in samples]):
            tested = [model.test_step(pseudo_collate(part)) for part in batch]
            scores.append([prediction_of(s.to_dict())[0] for part in tested for s in part])
    torch.testing.assert_close(torch.stack(scores[0]), torch.stack(scores[1]))


def test_no_forward_pass_has_more_views_than_the_limit(monkeypatch):
    model, seen = settled_toy().eval(), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model.test_cfg.max_testing_views = 7
    frames = torch.zeros(16, 64, 86, 3, dtype=torch.uint8)
    sample = dict(imgs=frames, clips=torch.arange(16)[None])
    data = Compose([PACK])(dict(imgs=np.zeros(1), label=0))
    with torch.no_grad():
        model.test_step(pseudo_collate([{**data, 'inputs': sample}] * 2))
        model.val_step(pseudo_collate([{**data, 'inputs': torch.zeros(1, 3, 16, 56, 56)}] * 9))
        assert seen == [7, 3, 7, 3, 7, 2]
        let_a_cpu_take(monkeypatch, 2)
        model.test_step(pseudo_collate([{**data, 'inputs': sample}]))
    assert seen[6:] == [2] * 5


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    'most, size, passes',
    [(None, 112, [10]), (9, 112, [4, 4, 2]), (3, 112, [3, 3, 3, 1]), (9, 224, [1] * 10)],
)
def test_a_cpu_takes_few_large_views_at_a_time_and_in_their_order(most, size, passes, two_threads):
    frames = torch.randint(0, 256, (16, size, size, 3), dtype=torch.uint8)
    clips = torch.stack([torch.randperm(16) for _ in range(5)])
    views = Views(frames, clips, Crops((size, size), 1), lambda x: x.float())
    assert views.shape == (10, 3, 16, size, size)
    parts = [*parts_of(views, most)]
    assert list(map(len, parts)) == passes
    (whole,) = views.split(10)
    assert views.shape == whole.shape
    assert torch.cat(parts).equal(whole)
    assert torch.cat([*parts_of(whole, most)]).equal(whole)
    of_another_device = [len(part) for part in parts_of(whole.to('meta'), most)]
    assert of_another_device == [len(part) for part in whole.split(most or 10)]
    images = whole[:, :, 0]
    assert [*map(len, parts_of(images, most))] == [*map(len, images.split(most or 10))]


@pytest.mark.parametrize('num_frames, distinct', [(3, 1), (16, 1), (20, 5), (25, 10), (90, 10)])
def test_clips_that_come_again_are_run_once_and_count_as_often(num_frames, distinct, tmp_path):
    model, seen = settled_toy().eval(), []
    pipeline = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').test_pipeline
    write_video(tmp_path / 'short.mp4', motion_clip(1, seed=1, num_frames=num_frames))
    data = pseudo_collate([Compose(pipeline)(video(tmp_path / 'short.mp4'))])
    with torch.no_grad():
        (views,) = model.data_preprocessor(data)['inputs']
        of_each = model(torch.cat([*views.split(100)]).unsqueeze(1), stage='head', mode='tensor')
        model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        (sample,) = model.test_step(data)
    assert sum(seen) == 10 * distinct
    found, _ = prediction_of(sample.to_dict())
    expected = model.cls_head.predict_by_feat(of_each, [ActionDataSample()])
    torch.testing.assert_close(found, prediction_of(expected[0].to_dict())[0])


@pytest.mark.parametrize(
    ('crop_size', 'shape', 'message'),
    [
        (None, (4, 64, 86, 3), 'need data_preprocessor.crop_size'),
        (65, (4, 64, 86, 3), 'crop_size 65x65 .* is larger than the 86x64 frames'),
        (56, (4, 64, 86, 2), r'expected clips of \(M, H, W, 3\)'),
        (56, (64, 86, 3), r'expected clips of \(M, H, W, 3\)'),
    ],
)
def test_frames_that_cannot_be_cropped_are_refused(crop_size, shape, message):
    preprocessor = ClipPreprocessor([0, 0, 0], crop_size=crop_size)
    sample = dict(imgs=torch.zeros(shape, dtype=torch.uint8), clips=torch.zeros(1, 4).long())
    with pytest.raises(ValueError, match=message):
        preprocessor(dict(inputs={k: [v] for k, v in sample.items()}, data_samples=[None]))


def test_channels_last_changes_the_memory_format_alone():
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_toy.py').model
    views, outputs = torch.randn(2, 1, 3, 16, 56, 56), []
    for memory_format in ('contiguous', 'channels_last'):
        torch.manual_seed(0)
        model = MODELS.build({**cfg, 'memory_format': memory_format})
        outputs.append(model(views, stage='backbone', mode='tensor'))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)
    assert [x.is_contiguous() for x in outputs] == [True, False]
    assert outputs[1].is_contiguous(memory_format=torch.channels_last_3d)


def test_folders_of_images_go_through_the_same_leaf(clips, tmp_path):
    """--frames, with the frames of the clips as PNG, gives the videos' own predictions."""
    names = [line.split() for line in (clips / 'val_list_videos.txt').read_text().splitlines()]
    lines = []
    for name, label in names:
        folder = tmp_path / 'data' / Path(name).stem
        folder.mkdir(parents=True)
        with av.open(str(clips / 'videos_val' / name)) as container:
            for number, frame in enumerate(container.decode(video=0), 1):
                image = frame.to_ndarray(format='bgr24')
                cv2.imwrite(str(folder / f'img_{number:05d}.png'), image)
        lines.append(f'{folder.name} {number} {label}\n')
    (tmp_path / 'list.txt').write_text(''.join(lines))
    scores = []
    for frames in (False, True):
        cfg = tiny_config('artnet_r18_d_kinetics', clips, tmp_path, num_clips=2, frames=frames)
        cfg.experiment_name = f'frames{frames}'
        dataset = cfg.test_dataloader.dataset
        if frames:
            assert cfg.train_dataloader.dataset.data_root == 'data/kinetics400_frames/'
            dataset.ann_file, dataset.filename_tmpl = str(tmp_path / 'list.txt'), 'img_{:05d}.png'
            dataset.data_prefix = dict(img=str(tmp_path / 'data'))
        torch.manual_seed(0)
        runner = Runner.from_cfg(cfg)
        (views,) = runner.model.data_preprocessor(next(iter(runner.test_dataloader)))['inputs']
        scores.append(torch.cat(list(views.split(5))))
    assert torch.equal(*scores)
