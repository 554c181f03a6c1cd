"""The grammar of annotation lists, and that all doors to them keep to it."""

import runpy
import subprocess
import sys

import pytest
from mmaction.registry import DATASETS

from artnet_mm.data_making.official_splits import write_lists
from artnet_mm.data_making.over_lists import read_lists
from artnet_mm.datasets.lists import (
    ListLine,
    format_classes,
    format_line,
    format_list,
    parse_line,
    read_classes,
    read_list,
)

from ..helpers import ROOT, run_tool

TOOLS = ['check_videos', 'prepare_videos', 'extract_flow']
READ = {
    'a.mp4 3': ListLine('a.mp4', 3),
    'a 1 b.mp4 2': ListLine('a 1 b.mp4', 2),
    '  c.mp4 \t 03\t': ListLine('c.mp4', 3),
    'arm wrestling/a  b.mp4 7': ListLine('arm wrestling/a  b.mp4', 7),
    'größe/走.mp4 9': ListLine('größe/走.mp4', 9),
    'a\xa0b.mp4 1': ListLine('a\xa0b.mp4', 1),
    '"#\'-.mp4 0': ListLine('"#\'-.mp4', 0),
    '5 5 5': ListLine('5 5', 5),
}
UNLABELED = {text: ListLine(text) for text in ('d.mp4', '17', 'größe/走.mp4', 'a,3')}
NO_LABEL = 'no label is at its end, and without one a path has no blanks'
REFUSED = {
    'my clip.mp4': NO_LABEL,
    'a\xa0b.mp4': NO_LABEL,
    'a.mp4 12345678901': NO_LABEL,
    'a.mp4 -1': NO_LABEL,
    'a.mp4 1.0': NO_LABEL,
    'a.mp4 1_0': NO_LABEL,
    'a.mp4 one': NO_LABEL,
    'a.mp4 ²': NO_LABEL,
    'a.mp4 ٣': NO_LABEL,
    'a.mp4\t0': r"no path may have '\t'",
    'a\tb.mp4 0': r"no path may have '\t'",
    'a\x00.mp4 0': r"no path may have '\x00'",
    'a\x1b.mp4': r"no path may have '\x1b'",
    'a\x85b.mp4 0': r"no path may have '\x85'",
    'a\u2028b.mp4 0': r"no path may have '\u2028'",
    '\ufeffa.mp4 0': r"no path may have '\ufeff'",
}


def dataset_lines(path, **options):
    """Lines as the data set of a run has them."""
    config = dict(type='ClipVideoDataset', ann_file=str(path), num_classes=10, pipeline=[])
    dataset = DATASETS.build(config | options)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [ListLine(info['filename'], info['label']) for info in infos]


@pytest.fixture
def listed(tmp_path):
    """Write lines to list.txt, after a first one and a blank one."""

    def write(*lines):
        path = tmp_path / 'list.txt'
        path.write_bytes('\n'.join(['first.mp4 0', '', *lines, '']).encode())
        return path

    return write


def test_all_doors_read_the_same_lines(listed, tmp_path):
    path = listed(*READ)
    lines = [ListLine('first.mp4', 0), *READ.values()]
    assert dataset_lines(path) == lines
    assert dataset_lines(path, test_mode=True) == lines
    assert read_lists([path], tmp_path, tmp_path / 'out') == {path: lines}
    path = listed(*READ, *UNLABELED)
    lines += UNLABELED.values()
    assert dataset_lines(path, test_mode=True) == lines
    assert read_lists([path], tmp_path, tmp_path / 'out') == {path: lines}
    with pytest.raises(ValueError, match='no label is at its end, which only test videos may lack'):
        dataset_lines(path)


@pytest.mark.parametrize('text', REFUSED, ids=ascii)
def test_all_doors_refuse_the_same_lines_for_the_same_reason(listed, tmp_path, monkeypatch, text):
    path = listed(text)
    said = f', got {text!r}: {REFUSED[text]}'
    with pytest.raises(ValueError) as error:
        dataset_lines(path, test_mode=True)
    errors = [str(error.value)]
    monkeypatch.syspath_prepend(ROOT / 'tools/data')  # as for a script
    for tool in TOOLS:
        words = [path, '--videos', tmp_path, '--out-dir', tmp_path / 'out']
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(f'{ROOT}/tools/data/{tool}.py', run_name='__main__')
        errors.append(ended.value.code.removeprefix('error: '))
    for error in errors:
        assert error.startswith(f'{path}, line 3: expected "<path> <label>"')
        assert said in error
    assert not (tmp_path / 'out/list.txt').exists()
    with pytest.raises(ValueError, match=r'list\.txt, line 3: expected "<path> <label>" with a la'):
        dataset_lines(path)


@pytest.mark.parametrize('tool', TOOLS)
def test_a_tool_ends_with_one_line_at_a_line_that_training_refuses(listed, tmp_path, tool):
    path = listed('a.mp4 12345678901')
    result = run_tool(
        f'data/{tool}.py', path, '--videos', tmp_path, '--out-dir', tmp_path / 'out', check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f'error: {path}, line 3: expected "<path> <label>", got ')
    assert result.stderr.count('\n') == 1


@pytest.mark.parametrize(
    'text, message',
    [
        (b'\n \t\n', 'list.txt lists no videos'),
        (b'', 'list.txt lists no videos'),
        ('é.mp4 1\n'.encode('latin-1'), r'list\.txt is not UTF-8: save it as such .*0xe9'),
        (None, r'list\.txt does not exist'),
    ],
)
def test_all_doors_refuse_the_same_files(tmp_path, text, message):
    path = tmp_path / 'list.txt'
    if text is not None:
        path.write_bytes(text)
    said = set()
    for read in (dataset_lines, lambda path: read_lists([path], tmp_path, tmp_path / 'out')):
        with pytest.raises((FileNotFoundError, ValueError), match=message) as error:
            read(path)
        said.add(str(error.value))
    assert len(said) == 1


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_marks_of_utf8_and_line_breaks_of_all_systems_are_no_part_of_a_line(tmp_path, end):
    path = tmp_path / 'list.txt'
    path.write_bytes(f'\ufeffa.mp4 1{end}{end}b.mp4 2'.encode())
    lines = [ListLine('a.mp4', 1), ListLine('b.mp4', 2)]
    assert read_list(path) == dataset_lines(path) == lines


ODD_PATHS = ['a.mp4', 'a b.mp4', 'a  b/c 1.mp4', '走/größe', '5', '-1', 'a,b;"c"#', 'x' * 5000]
ODD_PATHS += ['a\xa0b', '\u3000a', 'a\u200b', 'e\u0301', '🎬.mp4']


@pytest.mark.parametrize('frames', [None, 1, 250, 999_999_999])
def test_what_is_written_is_read_as_it_was(tmp_path, frames):
    lines = [ListLine(path, label, frames) for path in ODD_PATHS for label in (0, 7, 999_999_999)]
    without_blanks = [path for path in ODD_PATHS if not any(map(str.isspace, path))]
    lines += [ListLine(path, -1, frames) for path in without_blanks]
    path = tmp_path / 'list.txt'
    path.write_text(format_list(lines), encoding='utf-8')
    assert read_list(path, has_frames=frames is not None) == lines


@pytest.mark.parametrize(
    'line',
    [
        *[ListLine(path, 0) for path in ('', ' a', 'a ', 'a\t', '\ta', 'a\nb', 'a\rb', 'a\x85b')],
        *[ListLine(path, 0) for path in ('a\u2029b', '\ufeffa', 'a\udcff', 'a\x7f')],
        *[ListLine(path) for path in ('', 'a b', 'a 5', 'a\xa0b')],
        ListLine('a', 10**9),
        ListLine('a', 0, 0),
        ListLine('a', 0, -1),
        ListLine('a', 0, 10**9),
        ListLine('a b', -1, 5),
    ],
    ids=ascii,
)
def test_what_would_be_read_as_something_else_is_not_written(line, tmp_path):
    with pytest.raises(ValueError, match='cannot be a line of a list: rename'):
        format_line(line)
    with pytest.raises(ValueError, match='cannot be a line of a list: rename'):
        write_lists(tmp_path / 'out', dict(train=[ListLine('a', 0), line]), ['a'], {})
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('text', [*READ, *UNLABELED])
def test_a_builder_writes_whatever_can_be_read(text, tmp_path):
    line = parse_line(text)
    write_lists(tmp_path, dict(train=[line]), ['a'], {})
    assert read_list(tmp_path / 'train.txt') == [line]


def test_lines_of_frame_folders_have_the_same_grammar(listed, tmp_path):
    path = tmp_path / 'frames.txt'
    path.write_text('a 5  3\n b c \t 1 2 \n7 1 0\n')
    lines = [ListLine('a', 3, 5), ListLine('b c', 2, 1), ListLine('7', 0, 1)]
    assert read_list(path, has_frames=True) == lines
    dataset = DATASETS.build(
        dict(type='ClipRawframeDataset', ann_file=str(path), num_classes=10, pipeline=[])
    )
    infos = [dataset.get_data_info(index) for index in range(3)]
    assert [ListLine(i['frame_dir'], i['label'], i['total_frames']) for i in infos] == lines
    for text in ('a 0 1', 'a 5', 'a', 'a 12345678901 1', 'a 5 12345678901', 'a\x07 5 1'):
        with pytest.raises(ValueError, match='expected "<path> <frames> <label>"'):
            parse_line(text, has_frames=True, labeled=True)


def test_names_of_classes_are_read_as_they_were_written(tmp_path):
    names = ['arm, wrestling', "massaging person's head", '走', '#5']
    (tmp_path / 'classes.txt').write_text(format_classes(names), encoding='utf-8')
    assert read_classes(tmp_path / 'classes.txt') == names
    for name in ('', ' a', 'a\n', 'a\nb', 'a\u2028b', 'a\udcff'):
        with pytest.raises(ValueError, match='cannot be the name of a class: rename it'):
            format_classes(['a', name])


def test_parsing_and_writing_need_python_alone():
    file = f'{ROOT}/artnet_mm/datasets/lists.py'
    code = (
        'import importlib.util, sys\n'
        'for name in ("torch", "mmengine", "mmaction", "numpy"): sys.modules[name] = None\n'
        f'spec = importlib.util.spec_from_file_location("lists", {file!r})\n'
        'lists = importlib.util.module_from_spec(spec)\n'
        'spec.loader.exec_module(lists)\n'
        'print(lists.format_line(lists.parse_line("a b.mp4  03")))\n'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.stdout == 'a b.mp4 3\n', result.stderr
