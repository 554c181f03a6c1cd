"""The catalogue against the paper's tables, and the report on made-up and on real dumps."""

import argparse
import hashlib
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from mmengine.config import Config

from artnet_mm.engine.launch import load_config
from artnet_mm.evaluation.fusion import read_scores, write_scores
from artnet_mm.evaluation.report import (
    PART,
    find_dumps,
    list_hash,
    measured_sections,
    metafiles,
    read_catalogue,
)
from artnet_mm.selections import select

from ..helpers import ROOT, as_arguments, run_tool, settled_toy, tiny_options

MODELS = [e for e in read_catalogue() if 'Config' in e]
FUSIONS = [e for e in read_catalogue() if 'Streams' in e]
C3D, ART = 'C3D-ResNet18', 'ARTNet-ResNet18 (d)'
PAPER = {  # transcribed from the paper: top-1, top-5, Avg; Avg of validation and test; top-1
    'Table 2': {
        'C2D-ResNet18, RGB': (61.2, 82.6, 71.9),
        'C3D-ResNet18, RGB': (65.6, 85.7, 75.7),
        'C3D-ResNet34, RGB': (67.1, 86.9, 77.0),
        'Relation-ResNet18 (s), RGB': (67.5, 87.0, 77.2),
        'Relation-ResNet18 (d), RGB': (67.1, 86.7, 76.9),
        'ARTNet-ResNet18 (s), RGB': (67.7, 87.1, 77.4),
        'ARTNet-ResNet18 (d), RGB': (69.2, 88.3, 78.7),
    },
    'Table 3': {
        f'{C3D}, RGB': (65.6, 85.7, 75.7),
        f'{C3D}, Flow': (57.5, 80.6, 69.0),
        f'{C3D}, Fusion': (68.7, 87.8, 78.2),
        f'{ART}, RGB': (69.2, 88.3, 78.7),
        f'{ART}, Flow': (59.8, 82.3, 71.0),
        f'{ART}, Fusion': (71.3, 89.5, 80.4),
    },
    'Table 4': {
        f'{ART}, RGB': (69.2, 88.3, 78.7),
        f'{ART}, Flow': (59.8, 82.3, 71.0),
        f'{ART}, Fusion': (71.3, 89.5, 80.4),
        f'{ART} + TSN, RGB': (70.7, 89.3, 80.0),
        f'{ART} + TSN, Flow': (60.6, 83.1, 71.9),
        f'{ART} + TSN, Fusion': (72.4, 90.4, 81.4),
    },
    'Table 5': {
        'C3D-ResNet18, RGB': (75.7, 74.4),
        'C3D-ResNet34, RGB': (77.0, 75.3),
        f'{ART}, RGB': (78.7, 77.3),
        f'{ART} + TSN, RGB': (80.0, 78.7),
    },
    'Table 6': {
        f'{C3D} on UCF101, RGB': (89.8,),
        f'{C3D} on HMDB51, RGB': (62.1,),
        f'{ART} on UCF101, RGB': (93.5,),
        f'{ART} on HMDB51, RGB': (67.6,),
        f'{ART} + TSN on UCF101, RGB': (94.3,),
        f'{ART} + TSN on HMDB51, RGB': (70.9,),
    },
}
MMACTION2 = "MMAction2's own networks under this data and protocol"
MOTION = 'Something-Something V2, Diving48 and Jester, where motion decides'
RIVALS = "The paper's rivals, with inputs of their own, under this data and recipe"
RELEASED = "The authors' released networks"
BEYOND = 'Beyond the paper, under its data and protocol'


def write(file, right: int, total: int = 10, classes: int = 400, label: int = 0) -> None:
    """A dump of ``total`` videos, of which ``right`` are right and the others not in the top 5."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scores = {f'v{i}': np.where(np.arange(classes) == 0, 1.0, 0.0) for i in range(total)}
    for video in list(scores)[right:]:
        scores[video] = -scores[video]
    write_scores({video: (values, label) for video, values in scores.items()}, file)


def report(work_dirs) -> dict[str, dict[str, dict[str, str]]]:
    """Cells of the report by title, row and column."""
    tables = {}
    for section in measured_sections([work_dirs])[0]:
        columns, rows = section.comparison()
        # The hash of the list has a test of its own.
        assert columns.pop() == 'List'
        tables[section.title.split(':')[0]] = {row[0]: dict(zip(columns, row)) for row in rows}
    return tables


def test_every_leaf_is_in_the_catalogue_by_its_name():
    models = {model['Name']: model['Config'] for model in MODELS}
    assert len(models) == len(MODELS)
    assert models == {path.stem: f'configs/{path.name}' for path in (ROOT / 'configs').glob('*.py')}
    for metafile in metafiles().values():
        (collection,) = metafile['Collections']
        assert {model['In Collection'] for model in metafile['Models']} == {collection['Name']}
    assert len(FUSIONS) == 7
    for fusion in FUSIONS:
        rgb, flow = fusion['Streams']
        assert flow == f'{rgb}_flow'
        assert {rgb, flow} <= models.keys()


def test_modality_in_the_catalogue_is_what_the_network_reads():
    for model in MODELS:
        channels = len(Config.fromfile(ROOT / model['Config']).model.data_preprocessor.mean)
        assert model['Modality'] == {3: 'RGB', 2: 'Flow'}[channels], model['Name']


def test_tables_hold_the_papers_rows_and_without_dumps_no_measured_figure(tmp_path):
    tables = report(tmp_path)
    assert tables.keys() == {*PAPER, MOTION, MMACTION2, RIVALS, RELEASED, BEYOND}
    for title, expected in PAPER.items():
        paper = {}
        for name, cells in tables[title].items():
            figures = [cell for column, cell in cells.items() if column.startswith('Paper')]
            paper[name] = tuple(map(float, figures))
            others = list(cells.values())[1 + len(figures) :]
            assert others == [''] * (len(figures) + 2)
        assert list(paper.items()) == list(expected.items())
    assert list(tables[MMACTION2]) == [
        'C3D-VGG11, RGB', 'TSN-ResNet50, single frames, RGB',
        'TSN-ResNet50, from ImageNet, RGB', 'I3D-ResNet50, RGB',
        'R(2+1)D-ResNet34, RGB',
    ]  # fmt: skip
    assert list(tables[MOTION]) == [
        f'{model} on {data}, RGB'
        for data in ('Something-Something V2', 'Diving48', 'Jester')
        for model in (C3D, ART)
    ]
    two_streams = ('Two-stream ResNet50', 'TSN-BNInception', 'I3D-InceptionV1', 'LTC, 60 frames')
    rivals = {f'{name}, {kind}' for name in two_streams for kind in ('RGB', 'Flow', 'Fusion')}
    assert tables[RIVALS].keys() == {*rivals, 'C3D-VGG11 with BN, RGB'}
    others = [
        row for title in (MOTION, MMACTION2, RIVALS, RELEASED) for row in tables[title].values()
    ]
    for row in others:
        assert set(list(row.values())[1:]) == {''}


def test_a_dump_fills_its_row_in_every_table_that_lists_it(tmp_path):
    write(tmp_path / 'artnet_r18_d_kinetics/scores.pkl', right=8, total=9)
    write(tmp_path / 'i3d_r50_kinetics/scores.pkl', right=1, total=4)
    tables = report(tmp_path)
    for title in ('Table 2', 'Table 3', 'Table 4'):
        row = tables[title][f'{ART}, RGB']
        assert row['Measured top-1'] == row['Measured top-5'] == row['Measured Avg'] == '88.9'
        assert row['Difference in Avg'] == '+10.2'
        assert row['Videos'] == '9 of 19796*'
        assert sum(bool(other['Videos']) for other in tables[title].values()) == 1
    assert list(tables['Table 5'][f'{ART}, RGB'].values())[3:] == [
        '88.9', '', '+10.2', '9 of 19796*'
    ]  # fmt: skip
    assert list(tables[MMACTION2]['I3D-ResNet50, RGB'].values())[1:] == [
        '25.0', '25.0', '25.0', '4 of 19796*'
    ]  # fmt: skip


def test_a_dump_of_a_data_set_that_the_paper_lacks_fills_its_row(tmp_path):
    write(tmp_path / 'artnet_r18_d_jester/scores.pkl', right=3, total=4, classes=27)
    row = report(tmp_path)[MOTION][f'{ART} on Jester, RGB']
    assert list(row.values())[1:] == ['75.0', '75.0', '75.0', '4 of 14787*']


def test_an_unlabeled_dump_measures_nothing(tmp_path):
    write(tmp_path / 'c2d_r18_kinetics/scores.pkl', right=8, label=-1)
    row = report(tmp_path)['Table 2']['C2D-ResNet18, RGB']
    assert (row['Measured Avg'], row['Difference in Avg'], row['Videos']) == ('', '', '0 of 19796*')


def test_two_streams_are_fused_1_to_1_5(tmp_path):
    one = np.eye(400)
    rgb = {'a': 1.4 * one[0], 'b': 1.6 * one[1], 'c': one[2], 'd': one[2], 'only': one[0]}
    flow = {'d': one[0], 'c': one[0], 'b': one[0], 'a': one[3]}
    for name, stream in (('c3d_r18_kinetics', rgb), ('c3d_r18_kinetics_flow', flow)):
        folder = tmp_path / name
        folder.mkdir()
        write_scores({v: (values, 0) for v, values in stream.items()}, folder / 'scores.pkl')
    table = report(tmp_path)['Table 3']
    assert table[f'{C3D}, RGB']['Measured top-1'] == '40.0'
    assert table[f'{C3D}, RGB']['Videos'] == '5 of 19796*'
    assert table[f'{C3D}, Flow']['Measured top-1'] == '75.0'
    # a: 1.4 < 1.5 wrong, b: 1.6 > 1.5 wrong, c and d: 1 < 1.5 right; 'only' has no flow
    assert table[f'{C3D}, Fusion']['Measured top-1'] == '50.0'
    assert table[f'{C3D}, Fusion']['Videos'] == '4 of 19796*'
    assert table[f'{ART}, Fusion']['Measured top-1'] == ''


def test_ucf101_and_hmdb51_are_the_mean_of_three_splits(tmp_path):
    for split, right in ((1, 8), (2, 9), (3, 5)):
        folder = f'split{split}/scores.pkl'
        # The mean of the splits, not of their videos.
        write(tmp_path / 'c3d_r18_ucf101' / folder, right, total=5 + 5 * split, classes=101)
        if split < 3:
            write(tmp_path / 'artnet_r18_d_hmdb51' / folder, right, classes=51)
        write(tmp_path / 'artnet_r18_d_tsn_hmdb51' / folder, right, classes=51)
    write(tmp_path / 'artnet_r18_d_ucf101/scores.pkl', 7, classes=101)
    table = report(tmp_path)['Table 6']
    rows = {name.split(', ')[0]: list(row.values())[2:] for name, row in table.items()}
    # 8 / 10, 9 / 15, 5 / 20; the official lists have 3783 + 3734 + 3696 test videos
    assert rows[f'{C3D} on UCF101'] == ['55.0', '-34.8', '45 of 11213*']
    assert rows[f'{ART} + TSN on HMDB51'] == ['73.3', '+2.4', '30 of 4590*']
    assert rows[f'{ART} on HMDB51'] == ['', '', '2 of 3 splits']
    assert rows[f'{ART} on UCF101'] == ['', '', '']


def test_kinetics_test_figure_needs_labels(tmp_path):
    write(tmp_path / 'c3d_r18_kinetics/test_scores.pkl', right=3, total=4)
    write(tmp_path / 'c3d_r34_kinetics/test_scores.pkl', right=3, label=-1)
    table = report(tmp_path)['Table 5']
    for name, figure in (('C3D-ResNet18, RGB', '75.0'), ('C3D-ResNet34, RGB', '')):
        assert table[name]['Measured test Avg'] == figure
        assert table[name]['Measured Avg'] == table[name]['Difference in Avg'] == ''


@pytest.mark.parametrize(
    'dump, classes',
    [
        ('artnet_r18_d_kinetics/scores.pkl', 101),
        ('c3d_r18_kinetics/test_scores.pkl', 399),
        ('c3d_r18_ucf101/split2/scores.pkl', 51),
    ],
)
def test_the_dump_of_another_experiment_is_refused_by_name(dump, classes, tmp_path):
    write(tmp_path / dump, right=1, classes=classes)
    with pytest.raises(ValueError, match=f'{tmp_path / dump} has scores of {classes} classes'):
        report(tmp_path)


def test_tool_says_that_nothing_was_measured(tmp_path):
    result = run_tool('report.py', tmp_path, '--out-dir', tmp_path / 'new/out')
    assert f'nothing was measured yet: no scores.pkl of an experiment under {tmp_path}' in (
        result.stdout
    )
    assert "labels of Kinetics' test videos are not public" in result.stdout
    (written,) = (tmp_path / 'new/out').iterdir()
    assert written.name == 'report.md'
    assert '| ARTNet-ResNet18 (d) + TSN, Fusion | 72.4 | 90.4 | 81.4 |  |  |  |  |  |  |\n' in (
        written.read_text()
    )


def test_tool_reports_what_a_test_has_dumped(clips, tmp_path):
    """From a checkpoint through tools/test.py to the table and the picture."""
    name = 'artnet_r18_d_toy'
    config = ROOT / f'configs/{name}.py'
    torch.save({'state_dict': settled_toy().state_dict(), 'meta': {}}, tmp_path / 'start.pth')
    options = as_arguments(tiny_options(clips, num_clips=1))
    tested = run_tool(
        'test.py', config, tmp_path / 'start.pth', '--work-dir', tmp_path / name,
        '--dump', '--cfg-options', *options,
    )  # fmt: skip
    scores = read_scores(tmp_path / name / 'scores.pkl')
    listed = (clips / 'val_list_videos.txt').read_text().split()
    assert [f'{video}.mp4' for video in scores] == listed[::2]
    assert [label for _, label in scores.values()] == list(map(int, listed[1::2]))

    for network in ('c3d_r18_kinetics', 'c3d_r18_kinetics_flow'):
        write(tmp_path / network / 'scores.pkl', right=2, total=8)
    result = run_tool('report.py', tmp_path, '--out-dir', tmp_path)
    figures = [
        f'{100 * float(re.search(rf"acc/{key}: ([0-9.]+)", tested.stdout)[1]):.1f}'
        for key in ('top1', 'top5', 'avg')
    ]
    row = ['ARTNet-ResNet18 (d), 8 base channels, RGB', *figures, '10 of 10']
    text = (tmp_path / 'report.md').read_text()
    assert f'| {" | ".join(row)} | ' in text
    assert '![Bars of the figures](report.png)' in text
    printed = [re.split(' {2,}', line.strip())[:-1] for line in result.stdout.splitlines()]
    assert row in printed
    fused = [f'{C3D}, Fusion', '68.7', '87.8', '78.2', '25.0', '25.0', '25.0', '-53.2']
    assert [*fused, '8 of 19796*'] in printed
    picture = matplotlib.image.imread(tmp_path / 'report.png')[..., :3]
    blue = np.abs(picture - [0x1F / 255, 0x77 / 255, 0xB4 / 255]).max(-1) < 0.01
    gray = np.abs(picture - 0x7F / 255).max(-1) < 0.01
    pale = np.abs(picture - [0x8F / 255, 0xBB / 255, 0xDA / 255]).max(-1) < 0.01
    # C3D's 5 rows: gray bars of 374 in sum, and blue ones of 125, pale for a part of the
    # videos; the toy's are 100 at most, and whole.
    assert gray.sum() > 10_000
    assert pale.sum() > 1_000
    assert blue.sum() > 0
    assert not list(tmp_path.glob('*unfinished*'))


def test_tool_refuses_a_broken_dump_in_one_line(tmp_path):
    write(tmp_path / 'artnet_r18_d_kinetics/scores.pkl', right=1, classes=10)
    result = run_tool('report.py', tmp_path, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f'error: {tmp_path}/artnet_r18_d_kinetics/scores.pkl has scores of 10')
    assert result.stdout == ''


def test_the_zoo_is_listed_with_its_weights():
    listed = run_tool('model_zoo.py', '--list', COLUMNS='200').stdout
    for model in MODELS:
        (line,) = (line for line in listed.splitlines() if f' {model["Name"]} ' in line)
        assert (model['Weights'] or '') in line
    assert 'artnet://artnet_r18_d_tsn_kinetics' in listed


def test_results_are_found_by_the_name_of_the_folder_or_the_config_in_it(tmp_path):
    write(tmp_path / 'a/mine/scores.pkl', right=8)
    (tmp_path / 'a/mine/artnet_r18_d_kinetics.py').write_text('')
    write(tmp_path / 'b/c3d_r18_ucf101/split2/scores.pkl', right=8, classes=101)
    write(tmp_path / 'b/elsewhere/scores.pkl', right=8)
    for folder in (
        'c3d_r18_kinetics_size224',
        'c3d_r18_kinetics',
    ):  # of other views than the paper's
        write(tmp_path / f'b/{folder}/scores.pkl', right=8)
        cfg = select(Config.fromfile(ROOT / 'configs/c3d_r18_kinetics.py'), size=224)
        cfg.dump(tmp_path / f'b/{folder}/c3d_r18_kinetics.py')
    names = {model['Name'] for model in MODELS}
    found, remarks = find_dumps([tmp_path / 'a/mine', tmp_path / 'b', tmp_path / 'a'], names)
    assert not remarks and found == {
        ('artnet_r18_d_kinetics', ''): tmp_path / 'a/mine/scores.pkl',
        ('c3d_r18_ucf101', 'split2'): tmp_path / 'b/c3d_r18_ucf101/split2/scores.pkl',
    }
    write(tmp_path / 'b/artnet_r18_d_kinetics/scores.pkl', right=8)
    write(tmp_path / 'two/scores.pkl', right=8)
    for name in ('c2d_r18_kinetics', 'c3d_r18_kinetics'):
        (tmp_path / f'two/{name}.py').write_text('')
    found, remarks = find_dumps([tmp_path], names)
    assert list(found) == [('c3d_r18_ucf101', 'split2')]
    assert remarks[0] == (
        f'{tmp_path}/two/scores.pkl is left out: its folder keeps the configs of '
        'c2d_r18_kinetics and c3d_r18_kinetics'
    )
    assert remarks[1].startswith('artnet_r18_d_kinetics is left out: ')
    assert len(remarks) == 2 and 'are both of it' in remarks[1]
    with pytest.raises(FileNotFoundError, match='none does not exist'):
        find_dumps([tmp_path / 'none'], names)


def test_the_hash_is_of_the_videos_and_labels_in_any_order():
    one, two = {'a': ([0.0], 0), 'b': ([1.0], 3)}, {'b': ([5.0], 3), 'a': ([2.0], 0)}
    # sha256 of "a 0\\nb 3\\n"
    assert list_hash([one]) == list_hash([two]) == hashlib.sha256(b'a 0\nb 3\n').hexdigest()[:8]
    assert list_hash([one]) != list_hash([{**one, 'b': ([1.0], 2)}])
    assert list_hash([one]) != list_hash([{'a': one['a']}])


def test_a_test_by_other_views_is_remarked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'work_dirs/c3d_r18_kinetics/scores.pkl', right=8)
    words = ['model.data_preprocessor.num_places=1', 'test_dataloader.batch_size=2']
    args = argparse.Namespace(
        config=ROOT / 'configs/c3d_r18_kinetics.py', cfg_options=words, work_dir=None,
        **dict.fromkeys(('split', 'frames', 'size', 'clip_len')),
    )  # fmt: skip
    cfg = load_config(args)
    cfg.dump(Path(cfg.work_dir, 'c3d_r18_kinetics.py'))
    found, (remark,) = find_dumps([tmp_path], {'c3d_r18_kinetics'})
    assert list(found) == [('c3d_r18_kinetics', '')]
    assert 'of other views than its config tests' in remark and 'num_places' in remark
    assert 'batch_size' not in remark


def test_what_ran_on_part_of_the_videos_is_marked_and_explained(tmp_path):
    write(tmp_path / 'artnet_r18_d_kinetics/scores.pkl', right=8, total=9)
    sections, _ = measured_sections([tmp_path])
    marked = [section.title[:7] for section in sections if PART in section.remark]
    assert marked == ['Table 2', 'Table 3', 'Table 4', 'Table 5']
