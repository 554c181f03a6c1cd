"""The checked data sets on real lists and videos, good and broken."""

import shutil
import subprocess
import sys

import cv2
import pytest
import torch
from mmaction.registry import DATASETS

from artnet_mm.data_making.motion_clips import motion_clip

from ..helpers import ROOT
from ..servers import FileServer

PIPELINE = [
    dict(type='ClipVideoInit'),
    dict(type='UniformClipSampler', clip_len=4, num_clips=2),
    dict(type='ClipDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename',)),
]


def build(ann_file, videos, **kwargs):
    config = dict(ann_file=str(ann_file), data_prefix=dict(video=str(videos)), num_classes=10)
    return DATASETS.build(dict(type='ClipVideoDataset', pipeline=PIPELINE, **config | kwargs))


@pytest.fixture
def listed(tmp_path):
    """Data set of a list with the given text or bytes, in which videos/ is the folder."""

    def write(text, **kwargs):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / 'list.txt').write_bytes(content)
        return build(tmp_path / 'list.txt', tmp_path / 'videos', **kwargs)

    (tmp_path / 'videos').mkdir()
    return write


def label_of(packed):
    sample = packed['data_samples']
    return sample.gt_label if 'gt_label' in sample else sample.gt_labels.item  # mmaction2 1.2, 1.1


def names_and_labels(dataset):
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [(info['filename'].rsplit('videos/')[-1], info['label']) for info in infos]


def test_a_list_can_be_read_over_http(clips):
    with FileServer() as server:
        server.files['list.txt'] = (clips / 'train_list_videos.txt').read_bytes()
        dataset = build(f'{server.url}/list.txt', clips / 'videos_train')
        assert len(dataset) == 20 and label_of(dataset[3]).tolist() == [3]


def test_a_real_list_yields_packed_clips(clips):
    dataset = build(clips / 'train_list_videos.txt', clips / 'videos_train')
    assert len(dataset) == 20
    for index in (0, 19):
        packed = dataset[index]
        assert packed['inputs'].shape == (2, 3, 4, 64, 86)
        assert packed['inputs'].dtype == torch.uint8
        assert label_of(packed).tolist() == [index % 10]
    assert packed['data_samples'].filename == str(clips / 'videos_train/pulsing_00019.mp4')


def test_paths_start_at_data_root(clips):
    dataset = build('val_list_videos.txt', 'videos_val', data_root=str(clips), test_mode=True)
    assert len(dataset) == 10
    assert dataset[3]['data_samples'].filename == str(clips / 'videos_val/zoom_in_00003.mp4')


def test_names_may_hold_blanks_and_folders(listed, clips, tmp_path):
    name = 'arm wrestling/a  b.mp4'
    (tmp_path / 'videos/arm wrestling').mkdir()
    shutil.copy(clips / 'videos_val/up_00000.mp4', tmp_path / 'videos' / name)
    dataset = listed(f'{name} 7\r\n\n  plain.mp4 0\n')
    assert names_and_labels(dataset) == [(name, 7), ('plain.mp4', 0)]
    assert label_of(dataset[0]).tolist() == [7]


def test_a_name_without_an_ending_is_an_mp4_and_a_multi_class_list_is_refused(
    listed, clips, tmp_path
):
    shutil.copy(clips / 'videos_val/up_00000.mp4', tmp_path / 'videos/a.mp4')
    assert label_of(listed('a  7\n')[0]).tolist() == [7]
    with pytest.raises(ValueError, match='one label per video, not multi_class'):
        listed('a.mp4 1 2\n', multi_class=True)


def test_another_delimiter_splits_at_its_last_place(listed):
    dataset = listed('a, b.mp4,3\n', delimiter=',')
    assert names_and_labels(dataset) == [('a, b.mp4', 3)]


def test_a_test_list_without_labels_gives_minus_one(listed, clips, tmp_path):
    shutil.copy(clips / 'videos_val/up_00000.mp4', tmp_path / 'videos/a.mp4')
    dataset = listed('a.mp4\nb.mp4 4\n', test_mode=True)
    assert names_and_labels(dataset) == [('a.mp4', -1), ('b.mp4', 4)]
    assert label_of(dataset[0]).tolist() == [-1]


@pytest.mark.parametrize(
    'line',
    ['b.mp4 10', 'b.mp4 -1', 'b.mp4 1.0', 'b.mp4 one', 'b.mp4 ²', 'b.mp4', 'my clip.mp4'],
    ids=['too large', 'negative', 'fraction', 'word', 'superscript', 'missing', 'missing, blank'],
)
def test_a_bad_label_is_an_error_that_names_file_line_and_bounds(listed, tmp_path, line):
    with pytest.raises(ValueError) as error:
        listed(f'a.mp4 9\n\n{line}\n')
    for part in (f'{tmp_path}/list.txt, line 3:', 'from 0 to 9', 'num_classes=10', repr(line)):
        assert part in str(error.value)


@pytest.mark.parametrize('content', ['missing', 'empty', 'text', 'truncated'])
@pytest.mark.parametrize('test_mode', [False, True])
def test_a_broken_video_is_an_error_that_names_it(listed, clips, tmp_path, content, test_mode):
    whole = (clips / 'videos_val/up_00000.mp4').read_bytes()
    broken = {
        'empty': b'',
        'text': b'this is not a video\n',
        'truncated': whole[: len(whole) * 6 // 10],
    }
    if content != 'missing':
        (tmp_path / 'videos/bad.mp4').write_bytes(broken[content])
    dataset = listed('bad.mp4 0\n', test_mode=test_mode)
    with pytest.raises(RuntimeError, match=f'cannot read a clip from {tmp_path}/videos/bad.mp4: '):
        dataset[0]


def test_a_cut_avi_is_an_error_that_names_it_and_no_crash(tmp_path):
    path = tmp_path / 'cut.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 25, (86, 64))
    for frame in motion_clip(label=0, seed=0):
        writer.write(frame)
    writer.release()
    whole = path.read_bytes()
    list_file = tmp_path / 'list.txt'
    list_file.write_text('cut.avi 0\n')
    code = (
        'import artnet_mm\n'
        'from mmengine.registry import init_default_scope\n'
        'from tests.datasets.test_clip_datasets import build\n'
        'init_default_scope("mmaction")\n'
        f'sample = build({str(list_file)!r}, {str(tmp_path)!r})[0]\n'
        'print(sample["inputs"].shape)\n'
    )
    for share in (0.0, 0.05, 0.6, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        result = subprocess.run(
            [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
        )
        if result.returncode:
            assert result.returncode == 1, f'{share}: died with {result.returncode}'
            assert f'cannot read a clip from {path}' in result.stderr
        else:  # the frames that are there
            assert 'torch.Size([2, 3, 4, 64, 86])' in result.stdout


def frames(listed_lines, tmp_path, **kwargs):
    (tmp_path / 'frames.txt').write_text(listed_lines)
    config = dict(type='ClipRawframeDataset', ann_file=str(tmp_path / 'frames.txt'))
    config |= dict(data_prefix=dict(img=str(tmp_path)), num_classes=10, pipeline=[])
    return DATASETS.build(config | kwargs)


def test_a_list_of_frame_folders_gives_lengths_labels_and_ids(tmp_path):
    dataset = frames('arm wrestling/a b 23 7\r\n\nplain 1 0\n', tmp_path)
    first, second = (dataset.get_data_info(index) for index in (0, 1))
    assert first['frame_dir'] == f'{tmp_path}/arm wrestling/a b'
    assert first['video_id'] == 'arm wrestling/a b'
    assert (first['total_frames'], first['label'], first['start_index']) == (23, 7, 1)
    assert (second['video_id'], second['total_frames'], second['label']) == ('plain', 1, 0)


def test_a_test_list_of_frame_folders_may_lack_labels(tmp_path):
    dataset = frames('a 5\nb 6 3\n', tmp_path, test_mode=True)
    infos = [dataset.get_data_info(index) for index in (0, 1)]
    assert [(i['video_id'], i['total_frames'], i['label']) for i in infos] == [
        ('a', 5, -1),
        ('b', 6, 3),
    ]


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(
    'line', ['b 5 10', 'b 0 1', 'b -3 1', 'b 5 -1', 'b five 1', 'b', 'my folder 5', 'b 5.0 1']
)
def test_a_bad_line_of_a_frame_list_is_an_error_that_names_it(tmp_path, line, test_mode):
    expected = 'expected "<path> <frames> <label>" with a label from 0 to 9'
    with pytest.raises(ValueError) as error:
        frames(f'a 5 9\n{line}\n', tmp_path, test_mode=test_mode)
    assert f'{tmp_path}/frames.txt, line 2: {expected}' in str(error.value)
    assert repr(line) in str(error.value)


def test_frame_lists_without_labels_are_for_testing_and_other_forms_are_refused(tmp_path):
    with pytest.raises(ValueError, match='line 1'):
        frames('a 5\n', tmp_path)
    for option in ('multi_class', 'with_offset'):
        with pytest.raises(ValueError, match='not multi_class or with_offset ones'):
            frames('a 0 5 1\n', tmp_path, **{option: True})


def test_missing_frames_are_an_error_that_names_the_folder(tmp_path):
    pipeline = [dict(type='SegmentClipSampler', clip_len=4), dict(type='RawFrameDecode')]
    dataset = frames('gone 5 1\n', tmp_path, pipeline=pipeline)
    with pytest.raises(RuntimeError, match=f'cannot read a clip from {tmp_path}/gone: '):
        dataset[0]


def test_both_lists_give_a_video_the_same_id(listed, tmp_path):
    video = listed('arm wrestling/a.b.mp4 7\n').get_data_info(0)
    flow = frames('arm wrestling/a.b 23 7\n', tmp_path).get_data_info(0)
    assert video['video_id'] == flow['video_id'] == 'arm wrestling/a.b'


def test_names_of_classes_lie_beside_the_list(listed, tmp_path):
    names = [f'class {label}' for label in range(10)]
    assert 'classes' not in listed('a.mp4 1\n').metainfo
    (tmp_path / 'classes.txt').write_text('\r\n'.join(names))
    assert listed('a.mp4 1\n').metainfo['classes'] == names
    assert frames('a 5 1\n', tmp_path).metainfo['classes'] == names
    mine = listed('a.mp4 1\n', metainfo=dict(classes=['mine'])).metainfo
    assert mine['classes'] == ['mine']
    (tmp_path / 'classes.txt').write_text('one\ntwo\n')
    with pytest.raises(ValueError, match=r'classes\.txt names 2 classes, but num_classes is 10'):
        listed('a.mp4 1\n')
