"""Figures of classes against counts by hand, and their pictures at 10 and 400 classes."""

import csv

import matplotlib.image
import numpy as np
import pytest
import torch
from mmengine.fileio import dump, load

from artnet_mm.evaluation.fusion import write_scores
from artnet_mm.evaluation.per_class import ClassFigures, confused, per_class

from ..helpers import run_tool


def test_figures_are_those_counted_by_hand():
    scores = np.eye(7)[[0, 0, 1, 2, 1, 1, 1]] + np.linspace(0.6, 0, 7)  # 0 is second, 1 third, ...
    scores[6] = np.nan
    labels = np.array([0, 0, 0, 0, 1, 6, 1])
    found = per_class(scores, labels, list('abcdefg'))
    assert found == [
        ClassFigures('a', 4, 0.5, 1.0, 'b', 1),
        ClassFigures('b', 2, 0.5, 0.5, '', 0),
        ClassFigures('g', 1, 0.0, 0.0, 'b', 1),
    ]
    rows = confused(found).splitlines()[2:]
    assert rows == ['| g | b | 1 of 1 | 0 |', '| a | b | 1 of 4 | 50 |']
    with pytest.raises(ValueError, match='2 classes are named, and videos have 7'):
        per_class(scores, labels, ['a', 'b'])


@pytest.mark.parametrize('num_classes', [10, 400])
def test_pictures_can_be_looked_at_with_any_number_of_classes(num_classes, clips, tmp_path):
    torch.manual_seed(0)
    video = str(clips / 'videos_val/up_00000.mp4')
    scores = {}
    for index in range(3 * num_classes):
        values = torch.randn(num_classes).numpy()
        values[index % num_classes] += 2.5
        scores[f'v{index}'] = values, index % num_classes
    write_scores(scores, tmp_path / 'scores.pkl')
    dumped = [{**sample, 'filename': video} for sample in load(tmp_path / 'scores.pkl')]
    dump(dumped, tmp_path / 'scores.pkl')
    names = [f'class number {label}' for label in range(num_classes)]
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    words = ['analysis/plot_predictions.py', tmp_path / 'scores.pkl']
    words += ['--classes', tmp_path / 'classes.txt', '--out-dir', tmp_path / 'out']
    result = run_tool(*words)
    assert 'Taken for' in result.stdout
    for name in ('confusion', 'per_class', 'clips'):
        picture = matplotlib.image.imread(tmp_path / f'out/{name}.png')
        assert picture.std() > 0.05 and max(picture.shape) < 2000
    with (tmp_path / 'out/per_class.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == num_classes
    assert {row['videos'] for row in rows} == {'3'}


def test_of_dumps_without_names_of_files_labels_or_scores_what_can_be_drawn_is(tmp_path):
    scores = {f'v{n}': (np.eye(3)[n % 3], n % 3) for n in range(6)}
    scores['unread'] = np.full(3, np.nan), 0
    scores['unlabelled'] = np.ones(3), -1
    write_scores(scores, tmp_path / 'scores.pkl')
    result = run_tool('analysis/plot_predictions.py', tmp_path / 'scores.pkl')
    assert 'clips.png is not written' in result.stdout
    pictures = {path.name for path in tmp_path.glob('*.png')}
    assert pictures == {'confusion.png', 'per_class.png'}
    gone = [{**sample, 'filename': 'gone.mp4'} for sample in load(tmp_path / 'scores.pkl')]
    dump(gone, tmp_path / 'scores.pkl')
    result = run_tool('analysis/plot_predictions.py', tmp_path / 'scores.pkl')
    assert 'clips.png is not written' in result.stdout
    rows = list(csv.DictReader((tmp_path / 'per_class.csv').open()))
    assert [row['videos'] for row in rows] == ['3', '2', '2']
    write_scores({'unlabelled': (np.ones(3), -1)}, tmp_path / 'scores.pkl')
    refused = run_tool('analysis/plot_predictions.py', tmp_path / 'scores.pkl', check=False)
    assert refused.stderr == f'error: {tmp_path}/scores.pkl has no labels\n'
