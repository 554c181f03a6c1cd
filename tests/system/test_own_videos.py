"""The page on own videos, executed as the notebook that it is too."""

import csv
import os

import pytest

from ..helpers import ROOT

jupytext = pytest.importorskip('jupytext')
nbclient = pytest.importorskip('nbclient')
PAGE = ROOT / 'docs/own_videos.md'


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == 'code']


def test_the_notebook_is_the_page():
    notebook = jupytext.read(PAGE.with_suffix('.ipynb'))
    assert code_of(notebook) == code_of(jupytext.read(PAGE))
    printed = [cell.outputs for cell in notebook.cells if cell.cell_type == 'code']
    assert sum(map(bool, printed)) >= len(printed) - 3  # some only make or write
    assert str(ROOT) not in PAGE.with_suffix('.ipynb').read_text()


def test_the_page_runs(tmp_path, monkeypatch):
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    packages = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    monkeypatch.setenv('PYTHONPATH', packages)
    notebook = jupytext.read(PAGE)
    nbclient.NotebookClient(
        notebook, timeout=900, resources={'metadata': {'path': str(tmp_path)}}
    ).execute()  # raises where a command fails
    mine = tmp_path / 'mine'
    with open(mine / 'report/per_class.csv', encoding='utf-8', newline='') as file:
        rows = {row['name']: row for row in csv.DictReader(file)}
    assert {name: int(row['videos']) for name, row in rows.items()} == {
        'shifting': 12, 'turning': 3, 'zooming': 6,
    }  # fmt: skip
    assert sum(float(row['top1']) for row in rows.values()) / 3 > 0.8
    for name in ('training.png', 'report/confusion.png', 'long_timeline.csv'):
        assert (mine / name).stat().st_size > 0
    last = ''.join(output.text for output in notebook.cells[-2].outputs if output.name == 'stdout')
    assert 'turning' in last.splitlines()[-3]
