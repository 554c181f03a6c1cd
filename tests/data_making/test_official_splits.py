"""Lists from official split files and from folders, on tiny ones written here."""

import pytest

from artnet_mm.data_making.official_splits import (
    keep_existing,
    read_folder,
    read_hmdb51,
    read_kinetics400,
    read_ucf101,
    write_lists,
)
from artnet_mm.datasets import ClipVideoDataset
from artnet_mm.datasets.lists import ListLine

from ..helpers import run_tool

TRAIN, VAL, TEST = (f'kinetics400_{part}_list_videos' for part in ('train', 'val', 'test'))
HEADER = 'label,youtube_id,time_start,time_end,split\n'
CLASSES = ['arm, wrestling', "massaging person's head", 'shooting goal (soccer)']


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def lists_in(folder):
    return {path.name: path.read_text(encoding='utf-8') for path in folder.iterdir()}


@pytest.fixture
def ucf101(tmp_path):
    """Three splits of two classes; Windows line ends and blank last lines, as in the originals."""
    splits = tmp_path / 'ucf101_splits'
    write(splits, {'classInd.txt': '1 YoYo\r\n2 HandstandPushups\r\n\r\n'})
    for n in (1, 2, 3):
        train = f'YoYo/v_YoYo_g0{n}_c01.avi 1\r\n'
        train += f'HandstandPushups/v_HandStandPushups_g0{n}_c01.avi 2\r\n\r\n'
        test = f'HandstandPushups/v_HandStandPushups_g0{n}_c02.avi\r\n \r\n'
        write(splits, {f'trainlist0{n}.txt': train, f'testlist0{n}.txt': test})
    return splits


@pytest.fixture
def hmdb51(tmp_path):
    """Three splits of two classes, one's name the beginning of the other's; trailing blanks."""
    splits = tmp_path / 'hmdb51_splits'
    for n in (1, 2, 3):
        sword = f'(HQ)_a&b_#{n}!.x.avi 1 \nb;c_{n}.avi 2 \nunused.avi 0 \n'
        exercise = f'd_{n}.avi 2 \r\ne_{n}.avi 1  \r\n'
        write(
            splits,
            {
                f'sword_test_split{n}.txt': sword,
                f'sword_exercise_test_split{n}.txt': exercise,
                'class_list.txt': 'sword_exercise\nsword\n',
                '._sword_test_split1.txt': '\0',  # what macOS leaves in archives
            },
        )
    return splits


@pytest.fixture
def kinetics(tmp_path):
    """CSVs of three classes whose names need quoting, ids with '-' and '_' in front."""
    splits = tmp_path / 'kinetics_splits'
    train = 'shooting goal (soccer),-abc_d,7,17,train\n"arm, wrestling",_x-y,100,110,train\n'
    train += "massaging person's head,zz,5.0,15.0,train\n"
    val = f'{HEADER[:-1]},is_cc\r\n"arm, wrestling",v1,0,10,validate,0\r\n'
    write(
        splits,
        {
            'kinetics-400_train.csv': f'\ufeff{HEADER}{train}',
            'validate.csv': val,
            'kinetics_test.csv': 'youtube_id,time_start,time_end,split\n-t,3,13,test\n',
        },
    )
    return splits


def test_ucf101_labels_are_those_of_the_class_index_from_zero(ucf101):
    lists, classes = read_ucf101(ucf101)
    assert classes == ['YoYo', 'HandstandPushups']
    assert sorted(lists) == [f'ucf101_{p}_split{n}' for p in ('test', 'train') for n in (1, 2, 3)]
    assert lists['ucf101_train_split2'] == [
        ListLine('YoYo/v_YoYo_g02_c01.avi', 0),
        ListLine('HandstandPushups/v_HandStandPushups_g02_c01.avi', 1),
    ]
    assert lists['ucf101_test_split3'] == [
        ListLine('HandstandPushups/v_HandStandPushups_g03_c02.avi', 1)
    ]


@pytest.mark.parametrize(
    'name, text, message',
    [
        ('trainlist02.txt', '\r\nYoYo/a.avi 2\r\n', r'trainlist02.txt, line 2: .*YoYo/a.avi 1"'),
        ('trainlist02.txt', 'YoYo/a.avi\n', 'trainlist02.txt, line 1: '),
        ('testlist01.txt', 'YoYo/a.avi 1\n', 'testlist01.txt, line 1: '),
        ('testlist01.txt', 'Yo/a.avi\n', 'testlist01.txt, line 1: Yo/a.avi is in no class'),
        ('testlist01.txt', 'YoYo\n', 'testlist01.txt, line 1: YoYo is in no class'),
        ('testlist03.txt', '\n', 'ucf101_test_split3.txt would list no videos'),
        ('classInd.txt', '0 YoYo\n1 HandstandPushups\n', 'classInd.txt, line 1: '),
        ('classInd.txt', '1 YoYo\n2 YoYo\n', 'classInd.txt, line 2: '),
        ('classInd.txt', '1 Yo Yo\n', 'classInd.txt, line 1: '),
        ('trainlist01.txt', 'YoYo/a.avi 1\nYoYo/a.avi 1\n', 'YoYo/a.avi in ucf101_train_split1'),
        ('testlist01.txt', 'YoYo/v_YoYo_g01_c01.avi\n', 'v_YoYo_g01_c01.avi in ucf101_test_split1'),
        ('testlist01.txt', None, 'testlist01.txt'),
    ],
)
def test_what_is_wrong_in_ucf101_is_named(ucf101, name, text, message):
    (ucf101 / name).unlink()
    if text is not None:
        write(ucf101, {name: text})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_ucf101(ucf101)


def test_a_split_file_that_is_not_text_is_named(ucf101):
    (ucf101 / 'testlist02.txt').write_bytes(b'YoYo/\xff.avi\n')
    with pytest.raises(ValueError, match=r'testlist02\.txt is not UTF-8'):
        read_ucf101(ucf101)


def test_a_video_may_be_trained_on_in_one_split_and_tested_on_in_another(ucf101):
    write(ucf101, {'testlist03.txt': 'YoYo/v_YoYo_g01_c01.avi\n'})
    assert read_ucf101(ucf101)[0]['ucf101_test_split3'] == [ListLine('YoYo/v_YoYo_g01_c01.avi', 0)]


def test_hmdb51_labels_are_by_sorted_class_and_unused_videos_are_left_out(hmdb51):
    lists, classes = read_hmdb51(hmdb51)
    assert classes == ['sword', 'sword_exercise']
    assert sorted(lists) == [f'hmdb51_{p}_split{n}' for p in ('test', 'train') for n in (1, 2, 3)]
    assert lists['hmdb51_train_split1'] == [
        ListLine('sword/(HQ)_a&b_#1!.x.avi', 0),
        ListLine('sword_exercise/e_1.avi', 1),
    ]
    assert lists['hmdb51_test_split2'] == [
        ListLine('sword/b;c_2.avi', 0),
        ListLine('sword_exercise/d_2.avi', 1),
    ]


@pytest.mark.parametrize('line', ['a.avi 3', 'a.avi', 'a b.avi 1'])
def test_a_malformed_line_of_hmdb51_is_named(hmdb51, line):
    write(hmdb51, {'sword_test_split2.txt': f'c.avi 1 \n{line} \n'})
    with pytest.raises(ValueError, match=r'sword_test_split2\.txt, line 2: '):
        read_hmdb51(hmdb51)


def test_every_class_of_hmdb51_must_have_every_split(hmdb51, tmp_path):
    (hmdb51 / 'sword_exercise_test_split3.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'sword_exercise_test_split3\.txt'):
        read_hmdb51(hmdb51)
    with pytest.raises(FileNotFoundError, match='test_split<N>'):
        read_hmdb51(tmp_path)


def test_kinetics_csvs_are_known_by_a_word_in_their_names(kinetics):
    lists, classes = read_kinetics400(kinetics)
    assert classes == CLASSES
    assert lists == {
        TRAIN: [
            ListLine('shooting_goal_(soccer)/-abc_d_000007_000017.mp4', 2),
            ListLine('arm,_wrestling/_x-y_000100_000110.mp4', 0),
            ListLine("massaging_person's_head/zz_000005_000015.mp4", 1),
        ],
        VAL: [ListLine('arm,_wrestling/v1_000000_000010.mp4', 0)],
        TEST: [ListLine('-t_000003_000013.mp4', -1)],
    }


@pytest.mark.parametrize('part', ['train', 'val', 'test'])
@pytest.mark.parametrize('name', ['{}', 'kinetics_{}', 'kinetics-400_{}', 'kinetics400_{}'])
def test_all_usual_names_of_kinetics_csvs_are_known(tmp_path, name, part):
    write(tmp_path, {name.format(part) + '.csv': HEADER + 'a,b,0,10,\n', 'constrain.csv': ''})
    assert list(read_kinetics400(tmp_path)[0]) == [f'kinetics400_{part}_list_videos']


@pytest.mark.parametrize(
    'name, text, message',
    [
        ('val.csv', HEADER, r'val\.csv and .*validate\.csv'),
        ('validate.csv', HEADER, 'kinetics400_val_list_videos.txt would list no videos'),
        ('validate.csv', HEADER + 'a,b,0,10,\na,c,x,10,\n', r'validate\.csv, line 3: '),
        ('validate.csv', HEADER + 'a,#NAME?,0,10,\n', r'validate\.csv, line 2: '),
        ('validate.csv', HEADER + ',b,0,10,\n', r'validate\.csv, line 2: '),
        ('validate.csv', HEADER + 'a,b\n', r'validate\.csv, line 2: '),
        ('validate.csv', HEADER + 'a,"b,0\nc\n', r'validate\.csv, line 3: .* got "a b,0 c None'),
        ('validate.csv', HEADER[6:] + 'b,0,10,\n', r'validate\.csv, line 2: expected ".* label"'),
        (
            'validate.csv',
            HEADER + 'a,"' + 'b' * 140_000,
            'after line 1: field larger',
        ),
        ('validate.csv', HEADER + 'a,b,0,10,\na,b,0,10,\n', 'b_000000_000010.mp4 in .*val'),
        ('validate.csv', HEADER + 'a,zz,5,15,\n', 'a/zz_000005_000015.mp4 in .*_val_.*_train_'),
    ],
)
def test_what_is_wrong_in_kinetics_is_named(kinetics, name, text, message):
    write(kinetics, {name: text})
    with pytest.raises(ValueError, match=message):
        read_kinetics400(kinetics)


def test_a_folder_without_kinetics_csvs_is_refused(ucf101):
    with pytest.raises(FileNotFoundError, match=r'ucf101_splits has no train\.csv'):
        read_kinetics400(ucf101)


def test_each_class_of_a_folder_is_split_by_itself(tmp_path):
    touch(tmp_path, *(f'run/{i:02d}.MP4' for i in range(10)), 'box ing/deep/er/1.avi', 'run/x.txt')
    touch(tmp_path, 'run/._00.MP4', '.cache/a.mp4', 'notes/a.txt')
    lists, classes = read_folder(tmp_path)
    assert classes == ['box ing', 'run']
    assert lists['train'][0] == ListLine('box ing/deep/er/1.avi', 0)  # the only one of its class
    assert [line.label for line in lists['train']] == [0] + [1] * 8
    assert [line.label for line in lists['val']] == [1, 1]
    runs = sorted(line.path for part in lists.values() for line in part)[1:]
    assert runs == [f'run/{i:02d}.MP4' for i in range(10)]

    assert read_folder(tmp_path)[0] == lists
    assert len({tuple(read_folder(tmp_path, seed=seed)[0]['val']) for seed in range(5)}) > 1
    half = read_folder(tmp_path, test_share=0.5)[0]['val']
    assert len(half) == 5
    assert half == sorted(half)
    assert len(read_folder(tmp_path, test_share=0.99)[0]['train']) == 2
    touch(tmp_path, *(f'climb/{i}.mp4' for i in range(5)))
    more = read_folder(tmp_path)[0]['val']
    assert [line.path for line in more if line.path[0] == 'r'] == [
        line.path for line in lists['val']
    ]


@pytest.mark.parametrize('part', ['val', 'test'])
def test_a_folder_that_has_parts_keeps_them_and_the_labels_of_train(tmp_path, part):
    touch(tmp_path, 'train/b/1.mp4', 'train/a/2.mp4', 'train/c/3.webm', f'{part}/c/1.mp4')
    touch(tmp_path, '.cache/a.mp4', 'notes.txt')
    assert read_folder(tmp_path) == (
        {
            'train': [
                ListLine('train/a/2.mp4', 0),
                ListLine('train/b/1.mp4', 1),
                ListLine('train/c/3.webm', 2),
            ],
            'val': [ListLine(f'{part}/c/1.mp4', 2)],
        },
        ['a', 'b', 'c'],
    )


@pytest.mark.parametrize(
    'paths, message',
    [
        (['a/1.mp4', '2.mp4'], r'2\.mp4 is not in the folder of a class'),
        (['train/a/1.mp4', 'val/2.mp4'], r'val/2\.mp4 is not in the folder of a class'),
        (['train/a/1.mp4', 'val/a/1.mp4', 'val/b/1.mp4'], 'no video of b, which is in val'),
        (['train/a/1.mp4', 'val/a/1.mp4', 'test/a/1.mp4'], "alone: .'test', 'train', 'val'"),
        (['train/a/1.mp4', 'val/a/1.txt'], r'val\.txt would list no videos'),
        (['train/a/1.txt', 'val/a/1.mp4'], r'no video of a'),
        (['a/1.mp4', 'b/1.mp4'], r'val\.txt would list no videos'),
        (['a/1.mp4', 'a/1.avi'], r'a/1\.\w+ in .* same video as a/1'),
        ([], r'train\.txt would list no videos'),
    ],
)
def test_a_folder_that_cannot_be_lists_is_refused(tmp_path, paths, message):
    touch(tmp_path, *paths)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


@pytest.mark.parametrize('share', [0.0, 1.0, -1.0])
def test_a_share_that_leaves_a_list_empty_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match='between 0 and 1'):
        read_folder(tmp_path, test_share=share)


def test_official_paths_become_those_of_the_files_there(tmp_path, ucf101):
    lists, _ = read_ucf101(ucf101)
    for n in (1, 2, 3):
        touch(tmp_path, f'YoYo/v_YoYo_g0{n}_c01.mp4')
        touch(tmp_path, f'HandstandPushups/v_HandStandPushups_g0{n}_c02.AVI')
    touch(tmp_path, 'HandstandPushups/v_HandStandPushups_g01_c01.txt')  # no video
    touch(tmp_path, 'v_HandStandPushups_g01_c01.avi')  # not in its class
    touch(tmp_path, 'videos_train/YoYo/a.avi')  # a layout of Kinetics alone
    kept, missing = keep_existing(lists, tmp_path)
    assert kept['ucf101_train_split1'] == [ListLine('YoYo/v_YoYo_g01_c01.mp4', 0)]
    assert kept['ucf101_test_split1'] == [
        ListLine('HandstandPushups/v_HandStandPushups_g01_c02.AVI', 1)
    ]
    assert missing['ucf101_train_split1'] == ['HandstandPushups/v_HandStandPushups_g01_c01.avi']
    assert missing['ucf101_test_split1'] == []

    touch(tmp_path, 'YoYo/v_YoYo_g01_c01.avi')
    with pytest.raises(ValueError, match=r'could be both YoYo/v_YoYo_g01_c01\.(avi|mp4) and YoYo/'):
        keep_existing(lists, tmp_path)


def test_nothing_found_is_an_error_that_says_what_is_there(tmp_path, ucf101):
    lists, _ = read_ucf101(ucf101)
    touch(tmp_path, 'videos/UCF-101/x.avi')
    message = (
        r'no video of ucf101_train_split1\.txt: looked for YoYo/v_YoYo_g01_c01\.avi .* UCF-101/x'
    )
    with pytest.raises(FileNotFoundError, match=message):
        keep_existing(lists, tmp_path / 'videos')


def test_kinetics_clips_are_found_by_name_below_the_folder_of_their_part(tmp_path, kinetics):
    lists, _ = read_kinetics400(kinetics)
    clip = '-abc_d_000007_000017'
    touch(
        tmp_path,
        f'videos_train/replacement/{clip}.mp4',
        f'videos_train/shooting goal (soccer)/{clip}.mkv',  # the one in the class's folder
        'videos_train/_x-y.webm',
        'videos_val/zz_000005_000015.mp4',  # of train, but not there
        'videos_val/v1_000000_000010.mp4',
        'videos_val/arm, wrestling/v1.mp4',  # untrimmed
        'videos_test/-t_000003_000013.mp4',
    )
    kept, missing = keep_existing(lists, tmp_path, by_name=True)
    assert kept == {
        TRAIN: [ListLine(f'shooting goal (soccer)/{clip}.mkv', 2), ListLine('_x-y.webm', 0)],
        VAL: [ListLine('v1_000000_000010.mp4', 0)],
        TEST: [ListLine('-t_000003_000013.mp4', -1)],
    }
    assert missing == {TRAIN: ["massaging_person's_head/zz_000005_000015.mp4"], VAL: [], TEST: []}

    (tmp_path / 'videos_test/-t_000003_000013.mp4').unlink()
    kept, missing = keep_existing(lists, tmp_path, by_name=True)
    assert set(kept) == {TRAIN, VAL}  # few have the test videos
    assert len(missing[TEST]) == 1
    (tmp_path / 'videos_val/v1_000000_000010.mp4').unlink()
    (tmp_path / 'videos_val/arm, wrestling/v1.mp4').unlink()
    with pytest.raises(FileNotFoundError, match=r'videos_val.* has no video of .*_val_list'):
        keep_existing(lists, tmp_path, by_name=True)


def test_kinetics_clips_in_one_folder_are_found_wherever_they_are(tmp_path, kinetics):
    lists, _ = read_kinetics400(kinetics)
    touch(tmp_path, 'a/zz_000005_000015.mp4', 'b/c/v1.mp4', 't/-t.mp4')
    kept, missing = keep_existing(lists, tmp_path, by_name=True)
    assert kept == {
        TRAIN: [ListLine('a/zz_000005_000015.mp4', 1)],
        VAL: [ListLine('b/c/v1.mp4', 0)],
        TEST: [ListLine('t/-t.mp4', -1)],
    }
    assert len(missing[TRAIN]) == 2

    touch(tmp_path, 'b/zz_000005_000015.mp4')
    with pytest.raises(ValueError, match=r'both [ab]/zz_000005_000015\.mp4 and [ab]/zz_'):
        keep_existing(lists, tmp_path, by_name=True)


def test_two_kinetics_clips_are_not_one_file(tmp_path):
    lists = {TRAIN: [ListLine('a/id_000000_000010.mp4', 0), ListLine('a/id_000020_000030.mp4', 0)]}
    touch(tmp_path, 'a/id.mp4')
    with pytest.raises(ValueError, match=r'a/id\.mp4 .* is the same video as a/id\.mp4'):
        keep_existing(lists, tmp_path, by_name=True)


@pytest.mark.parametrize('name', ['a\nb', 'a\u2028b', ' a', 'a\udcff'])
def test_a_name_that_would_break_a_list_is_refused_before_writing(tmp_path, name):
    with pytest.raises(ValueError, match='cannot be a line of a list: rename'):
        write_lists(tmp_path / 'out', {'train': [ListLine(f'{name}/1.mp4', 0)]}, ['a'], {})
    assert not (tmp_path / 'out').exists()


def test_lists_have_their_lines_and_unlabeled_ones_no_number(tmp_path, kinetics):
    lists, classes = read_kinetics400(kinetics)
    for _ in range(2):  # the second time over the first
        write_lists(tmp_path / 'out', lists, classes, {})
    texts = lists_in(tmp_path / 'out')
    assert texts.keys() == {'classes.txt', *(f'{name}.txt' for name in lists)}
    assert texts[f'{TEST}.txt'] == '-t_000003_000013.mp4\n'
    assert texts[f'{VAL}.txt'] == 'arm,_wrestling/v1_000000_000010.mp4 0\n'


def load(list_file, num_classes, test_mode=False):
    dataset = ClipVideoDataset(
        ann_file=str(list_file), num_classes=num_classes, pipeline=[], test_mode=test_mode
    )
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [ListLine(info['filename'], info['label']) for info in infos]


def test_the_tool_writes_lists_that_the_dataset_reads(tmp_path, ucf101):
    out = tmp_path / 'deep/out'
    result = run_tool('data/build_annotations.py', 'ucf101', '--splits', ucf101, '--out-dir', out)
    assert 'warning' not in result.stderr
    lists, _ = read_ucf101(ucf101)
    assert lists_in(out).keys() == {'classes.txt', *(f'{name}.txt' for name in lists)}
    assert (out / 'classes.txt').read_text() == 'YoYo\nHandstandPushups\n'
    for name, entries in lists.items():
        assert load(out / f'{name}.txt', 2) == entries


def test_the_tool_knows_the_layout_of_kinetics(tmp_path, kinetics):
    lists, _ = read_kinetics400(kinetics)
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    for name, entries in lists.items():
        touch(videos / f'videos_{name.split("_")[1]}', *(line.path for line in entries))
    result = run_tool('data/build_annotations.py', 'kinetics400', '--splits', kinetics,
                      '--videos', videos, '--out-dir', out)  # fmt: skip
    assert 'warning: 3 classes, not 400' in result.stderr
    assert lists_in(out).keys() == {'classes.txt', *(f'{name}.txt' for name in lists)}
    assert (out / 'classes.txt').read_text().splitlines() == CLASSES
    for name, entries in lists.items():
        assert load(out / f'{name}.txt', 3, test_mode=name == TEST) == entries


def test_the_tool_lists_what_is_there_and_names_what_is_missing(tmp_path, hmdb51):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    touch(videos, *(f'sword/(HQ)_a&b_#{n}!.x.mp4' for n in (1, 2, 3)), 'sword_exercise/e_3.avi')
    touch(videos, *(f'sword{path}_{n}.avi' for path in ('/b;c', '_exercise/d') for n in (1, 2, 3)))
    write(out, {'hmdb51_train_split3_missing.txt': 'of an earlier run\n'})
    result = run_tool('data/build_annotations.py', 'hmdb51', '--splits', hmdb51, '--videos', videos,
                      '--out-dir', out)  # fmt: skip
    (row,) = (line for line in result.stdout.splitlines() if 'train_split2' in line)
    words = [word for word in row.split() if word[0].isalnum()]
    assert words == ['hmdb51_train_split2.txt', '1', '1', '1', 'of', '2']
    assert lists_in(out).keys() == {
        'classes.txt',
        *(f'hmdb51_{part}_split{n}.txt' for part in ('train', 'test') for n in (1, 2, 3)),
        *(f'hmdb51_train_split{n}_missing.txt' for n in (1, 2)),
    }
    assert (out / 'hmdb51_train_split2_missing.txt').read_text() == 'sword_exercise/e_2.avi\n'
    assert load(out / 'hmdb51_train_split2.txt', 2) == [ListLine('sword/(HQ)_a&b_#2!.x.mp4', 0)]
    assert load(out / 'hmdb51_test_split2.txt', 2) == read_hmdb51(hmdb51)[0]['hmdb51_test_split2']


def test_the_tool_lists_a_folder_of_ones_own(tmp_path):
    videos = tmp_path / 'my videos'
    touch(videos, *(f'tai chi/{i} a.mp4' for i in range(4)), *(f'run/{i}.mov' for i in range(4)))
    (videos / 'swim').mkdir()
    result = run_tool('data/build_annotations.py', 'folder', '--videos', videos, '--out-dir',
                      tmp_path / 'out', '--test-share', '0.5', '--seed', '3')  # fmt: skip
    assert result.stderr.endswith(f'warning: {videos / "swim"} is empty, and no class\n')
    lists, _ = read_folder(videos, test_share=0.5, seed=3)
    assert lists_in(tmp_path / 'out').keys() == {'train.txt', 'val.txt', 'classes.txt'}
    assert (tmp_path / 'out/classes.txt').read_text() == 'run\ntai chi\n'
    for part in ('train', 'val'):
        assert load(tmp_path / f'out/{part}.txt', 2) == lists[part]
        assert [line.label for line in lists[part]] == [0, 0, 1, 1]


def test_the_tool_reports_an_error_in_one_line_and_writes_nothing(tmp_path, ucf101):
    result = run_tool('data/build_annotations.py', 'ucf101', '--splits', ucf101, '--videos',
                      tmp_path / 'nowhere', '--out-dir', tmp_path / 'out', check=False)  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == f'error: --videos {tmp_path}/nowhere is not a folder\n'
    assert not (tmp_path / 'out').exists()
