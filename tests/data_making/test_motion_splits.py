"""Lists from the official files of Something-Something, Diving48 and Jester, tiny ones."""

import json
import shutil

import pytest
from mmaction.registry import DATASETS
from mmengine.config import Config

from artnet_mm.data_making.motion_splits import (
    count_images,
    read_diving48,
    read_jester,
    read_sthv2,
)
from artnet_mm.datasets import ClipRawframeDataset, ClipVideoDataset
from artnet_mm.datasets.lists import ListLine

from ..helpers import ROOT, run_tool

READERS = dict(sthv2=read_sthv2, diving48=read_diving48, jester=read_jester)
STHV2 = 'something-something-v2-{}.json'
BOOK = 'Pretending to put something on a surface, but missing'


def entry(video, template, **more):
    return {'id': video, 'label': 'what is seen', 'template': template, **more}


def dive(video, label, **more):
    return {'vid_name': video, 'label': label, 'start_frame': 0, 'end_frame': 48, **more}


SPLITS = {  # as the official files are, with fewer classes and videos
    'sthv2': {
        STHV2.format('labels'): {'Holding something next to something': '1', BOOK: '0'},
        STHV2.format('train'): [
            entry('78687', 'Holding [something] next to [something]', placeholders=['a', 'b']),
            entry('9', 'Pretending to put [something] on a surface, but missing'),
        ],
        STHV2.format('validation'): [entry('5', 'Holding [something] next to [something]')],
        STHV2.format('test'): [{'id': '1420'}, {'id': '3'}],
    },
    'diving48': {
        'Diving48_vocab.json': [['Back', '15som', '05Twis', 'FREE'], ['Forward', 'Dive', 'STR']],
        'Diving48_V2_train.json': [dive('-mmq0PT-u8k_00155', 1), dive('_8Vy3dlHg2w_00000', 0)],
        'Diving48_V2_test.json': [dive('2x00lRzlTVQ_00001', 0)],
    },
    'jester': {
        'jester-v1-labels.csv': 'Swiping Left\nNo gesture\n',
        'jester-v1-train.csv': '34870;No gesture\n56557;Swiping Left\r\n\n',
        'jester-v1-validation.csv': '9223;Swiping Left\n',
        'jester-v1-test.csv': '107742\n7\n',
    },
}
CLASSES = {
    'sthv2': [BOOK, 'Holding something next to something'],
    'diving48': ['Back+15som+05Twis+FREE', 'Forward+Dive+STR'],
    'jester': ['Swiping Left', 'No gesture'],
}
LISTS = {
    'sthv2': {
        'sthv2_train_list_videos': [ListLine('78687.webm', 1), ListLine('9.webm', 0)],
        'sthv2_val_list_videos': [ListLine('5.webm', 1)],
        'sthv2_test_list_videos': [ListLine('1420.webm'), ListLine('3.webm')],
    },
    'diving48': {
        'diving48_train_list_videos': [
            ListLine('-mmq0PT-u8k_00155.mp4', 1),
            ListLine('_8Vy3dlHg2w_00000.mp4', 0),
        ],
        'diving48_val_list_videos': [ListLine('2x00lRzlTVQ_00001.mp4', 0)],
    },
    'jester': {
        'jester_train_list_rawframes': [ListLine('34870', 1), ListLine('56557', 0)],
        'jester_val_list_rawframes': [ListLine('9223', 0)],
        'jester_test_list_rawframes': [ListLine('107742'), ListLine('7')],
    },
}


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text if isinstance(text, str) else json.dumps(text))


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


@pytest.fixture
def splits(tmp_path):
    """The folder of the official files of each data set."""
    folders = {name: tmp_path / f'{name}_splits' for name in SPLITS}
    for name, folder in folders.items():
        write(folder, SPLITS[name])
    return folders


@pytest.mark.parametrize('name', READERS)
def test_official_files_become_lists_with_the_labels_of_the_label_file(splits, name):
    assert READERS[name](splits[name]) == (LISTS[name], CLASSES[name])


@pytest.mark.parametrize('name', ['sthv2', 'jester'])
def test_the_file_of_test_may_be_missing(splits, name):
    (test,) = splits[name].glob('*-test.*')
    test.unlink()
    lists = {k: v for k, v in LISTS[name].items() if '_test_' not in k}
    assert READERS[name](splits[name]) == (lists, CLASSES[name])


def test_something_something_may_have_the_names_of_todays_archive(splits):
    for path in splits['sthv2'].iterdir():
        path.rename(path.with_name(path.name.removeprefix('something-something-v2-')))
    assert read_sthv2(splits['sthv2']) == (LISTS['sthv2'], CLASSES['sthv2'])


HOLD = 'Holding [something] next to [something]'
WRONG = [
    ('sthv2', STHV2.format('labels'), {BOOK: '1', 'a': '2'}, 'no template has the index 0, of 2'),
    ('sthv2', STHV2.format('labels'), {BOOK: '0', 'a': '0'}, 'no template has the index 1, of 2'),
    ('sthv2', STHV2.format('labels'), [BOOK], 'expected a JSON object'),
    ('sthv2', STHV2.format('labels'), {}, 'expected a JSON object that is not empty'),
    ('sthv2', STHV2.format('train'), '[{"id": "1",\n"template"}]', 'line 2: not JSON: '),
    ('sthv2', STHV2.format('train'), {}, 'expected a JSON list'),
    ('sthv2', STHV2.format('train'), [entry('1', HOLD), 'a'], 'entry 2: expected {"id": <str>'),
    ('sthv2', STHV2.format('train'), [{'id': '1', 'label': 'a'}], '"template": <str>}, got {"id'),
    ('sthv2', STHV2.format('train'), [entry(1, HOLD)], 'entry 1: expected'),
    ('sthv2', STHV2.format('train'), [entry('', HOLD)], 'entry 1: expected'),
    ('sthv2', STHV2.format('train'), [entry('1', 'Hold [it]')], '"Hold .it." is not in something'),
    ('sthv2', STHV2.format('train'), [entry('1', HOLD)] * 2, 'entry 2: 1.webm is the same video'),
    ('sthv2', STHV2.format('validation'), [entry('9', HOLD)], 'as in .*train.json, entry 2'),
    ('sthv2', STHV2.format('validation'), [], 'expected a JSON list that is not empty'),
    ('sthv2', STHV2.format('test'), [{'id': '1'}, {}], 'entry 2: expected {"id": <str>}, got {}'),
    ('diving48', 'Diving48_vocab.json', [['a'], 'b'], 'entry 2: expected a list of words, got b'),
    ('diving48', 'Diving48_vocab.json', [['a', 1]], 'entry 1: expected a list of words'),
    ('diving48', 'Diving48_V2_train.json', [dive('a', 2)], 'Diving48_vocab.json has no label 2'),
    ('diving48', 'Diving48_V2_train.json', [dive('a', -1)], 'entry 1: .* no label -1'),
    ('diving48', 'Diving48_V2_train.json', [dive('a', True)], 'entry 1: expected'),
    ('diving48', 'Diving48_V2_train.json', [dive('a', '1')], 'entry 1: expected'),
    ('diving48', 'Diving48_V2_train.json', [{'label': 1}], 'entry 1: expected {"vid_name": <str>'),
    ('diving48', 'Diving48_V2_test.json', [dive('-mmq0PT-u8k_00155', 1)], 'train.json, entry 1'),
    ('diving48', 'Diving48_V2_test.json', 'a', 'line 1: not JSON'),
    ('jester', 'jester-v1-labels.csv', 'a\nb\na\n', '"a" is there twice'),
    ('jester', 'jester-v1-train.csv', '1;Swiping Left\n2\n', 'line 2: expected "<id>;<class>"'),
    ('jester', 'jester-v1-train.csv', ';Swiping Left\n', 'line 1: expected "<id>;<class>"'),
    ('jester', 'jester-v1-train.csv', '1;Swiping\n', 'line 1: "Swiping" is not in jester-v1-lab'),
    ('jester', 'jester-v1-validation.csv', '56557;No gesture\n', 'as in .*train.csv, line 2'),
    ('jester', 'jester-v1-validation.csv', '\n', 'jester_val_list_rawframes.txt would list no'),
    ('jester', 'jester-v1-test.csv', '1;No gesture\n', 'line 1: expected "<id>"'),
]


@pytest.mark.parametrize('name, file, content, message', WRONG)
def test_what_is_wrong_in_an_official_file_is_named(splits, name, file, content, message):
    write(splits[name], {file: content})
    with pytest.raises(ValueError, match=message) as error:
        READERS[name](splits[name])
    assert file in str(error.value) or 'would list no' in message


@pytest.mark.parametrize(
    'name, file',
    [(name, file) for name in SPLITS for file in SPLITS[name] if '-test' not in file],
)
def test_a_missing_official_file_is_named(splits, name, file):
    (splits[name] / file).unlink()
    with pytest.raises(FileNotFoundError, match=f'{file} does not exist'):
        READERS[name](splits[name])


def test_images_are_counted_and_folders_without_any_are_missing(tmp_path):
    touch(tmp_path, *(f'34870/{n:05d}.jpg' for n in range(1, 38)), '9223/00001.jpg')
    touch(tmp_path, '34870/Thumbs.db', '56557/00001.png', '107742')
    lists = {name: lines for name, lines in LISTS['jester'].items() if '_test_' not in name}
    assert count_images(lists, tmp_path) == (
        {
            'jester_train_list_rawframes': [ListLine('34870', 1, 37)],
            'jester_val_list_rawframes': [ListLine('9223', 0, 1)],
        },
        {'jester_train_list_rawframes': ['56557'], 'jester_val_list_rawframes': []},
    )


def test_a_folder_that_lacks_an_image_between_others_is_refused(tmp_path):
    touch(tmp_path, '34870/00001.jpg', '34870/00003.jpg')
    with pytest.raises(ValueError, match=r'34870 has 2 images, but no 00002\.jpg'):
        count_images(LISTS['jester'], tmp_path)


def test_a_test_list_without_images_is_left_out_and_another_is_an_error(tmp_path):
    touch(tmp_path, *(f'{video}/00001.jpg' for video in ('34870', '56557', '9223')))
    kept, missing = count_images(LISTS['jester'], tmp_path)
    assert [*kept] == ['jester_train_list_rawframes', 'jester_val_list_rawframes']
    assert missing['jester_test_list_rawframes'] == ['107742', '7']
    (tmp_path / '9223/00001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'jester_val_list.*looked for 9223/00001\.jpg'):
        count_images(LISTS['jester'], tmp_path)


def build(name, *words, **options):
    return run_tool('data/build_annotations.py', name, *words, **options)


@pytest.mark.parametrize('name', ['sthv2', 'diving48'])
def test_the_tool_writes_lists_that_the_dataset_reads(tmp_path, splits, name):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    train, val, *_ = LISTS[name].values()
    touch(videos, train[1].path, val[0].path.replace('.webm', '.mp4'))  # converted
    result = build(name, '--splits', splits[name], '--videos', videos, '--out-dir', out)
    expected = {'sthv2': 174, 'diving48': 48}[name]
    assert f'warning: 2 classes, not {expected}; labels differ' in result.stderr
    (first, _, *test) = LISTS[name]
    assert (out / f'{first}_missing.txt').read_text() == f'{train[0].path}\n'
    assert (out / 'classes.txt').read_text().splitlines() == CLASSES[name]
    assert not [path for path in test if (out / f'{path}.txt').exists()]
    lists = {part: f'{name}_{part}_list_videos.txt' for part in ('train', 'val')}
    read = {
        part: ClipVideoDataset(ann_file=str(out / file), num_classes=2, pipeline=[])
        for part, file in lists.items()
    }
    assert read['train'].get_data_info(0)['filename'] == train[1].path
    assert read['val'].get_data_info(0)['filename'] == val[0].path.replace('.webm', '.mp4')
    assert read['val'].get_data_info(0)['label'] == val[0].label
    assert [*map(len, read.values())] == [1, 1]


def test_the_tool_lists_the_images_of_jester(tmp_path, splits):
    videos, out = tmp_path / '20bn-jester-v1', tmp_path / 'out'
    touch(videos, *(f'{v}/{n:05d}.jpg' for v in ('34870', '9223', '7') for n in range(1, 13)))
    build('jester', '--splits', splits['jester'], '--videos', videos, '--out-dir', out)
    texts = {path.name: path.read_text() for path in out.iterdir()}
    assert texts == {
        'classes.txt': 'Swiping Left\nNo gesture\n',
        'jester_train_list_rawframes.txt': '34870 12 1\n',
        'jester_train_list_rawframes_missing.txt': '56557\n',
        'jester_val_list_rawframes.txt': '9223 12 0\n',
        'jester_test_list_rawframes.txt': '7 12\n',
        'jester_test_list_rawframes_missing.txt': '107742\n',
    }
    read = ClipRawframeDataset(
        ann_file=str(out / 'jester_train_list_rawframes.txt'), num_classes=2, pipeline=[]
    )
    info = read.get_data_info(0)
    assert (info['frame_dir'], info['total_frames'], info['label']) == ('34870', 12, 1)


@pytest.mark.parametrize('name', READERS)
def test_what_the_tool_lists_is_read_through_the_data_config(
    name, tmp_path, splits, clips, image_clips
):
    cfg = Config.fromfile(ROOT / f'configs/artnet_r18_d_{name}.py')
    given, copy, place = clips, shutil.copy, 'videos'
    if name == 'jester':
        given, copy, place = image_clips, shutil.copytree, 'rawframes'
    (tmp_path / name / place).mkdir(parents=True)
    sources = sorted((given / 'videos_val').iterdir())
    wanted = [line.path for lines in LISTS[name].values() for line in lines]
    for path, source in zip(wanted, sources):
        copy(source, tmp_path / name / place / path.replace('.webm', '.mp4'))
    videos = ('--videos', tmp_path / name / place)
    build(name, '--splits', splits[name], *videos, '--out-dir', tmp_path / name)

    data = {}
    for part in ('train', 'val', 'test'):
        config = cfg[f'{part}_dataloader'].dataset
        config.update(data_root=str(tmp_path / name), num_classes=2)
        data[part] = DATASETS.build(config)
    train, val, *_ = LISTS[name].values()
    assert [len(dataset) for dataset in data.values()] == [len(train), len(val), len(val)]
    assert data['train'].metainfo['classes'] == CLASSES[name]
    clip = (2 if name == 'diving48' else 1, 3, 16, 112, 112)
    for part, lines in (('train', train), ('val', val)):
        assert data[part][0]['inputs'].shape == clip
        assert data[part].get_data_info(0)['label'] == lines[0].label
    tested = data['test'][0]['inputs']
    # of 24 frames every second one, from the first, and the last again and again
    assert tested['imgs'].shape == (13, 128, 170, 3)
    assert tested['clips'].shape == (25, 16)


def test_the_tool_asks_for_the_images_of_jester(tmp_path, splits):
    result = build('jester', '--splits', splits['jester'], '--out-dir', tmp_path, check=False)
    assert result.returncode == 2
    assert 'the following arguments are required: --videos' in result.stderr


def test_the_tool_reports_what_is_wrong_in_one_line(tmp_path, splits):
    write(splits['sthv2'], {STHV2.format('train'): '[{"id": "1"]'})
    out = tmp_path / 'out'
    result = build('sthv2', '--splits', splits['sthv2'], '--out-dir', out, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f'error: {splits["sthv2"] / STHV2.format("train")}, line 1: not JSON')
    assert not out.exists()
