"""The benchmark as a tool, and its pages."""

import re

import matplotlib.image
import pytest

from artnet_mm.pages import with_block, with_section

from ..helpers import ROOT, run_tool

PAGE = 'Text.\n\n<!-- generated -->\nold\n<!-- /generated -->\n\nMore.\n'


def tables(text: str) -> list[list[dict[str, str]]]:
    """Tables of a page, row by row, by column."""
    found = []
    for block in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        head, _, *rows = ([c.strip() for c in line.split('|')[1:-1]] for line in block.splitlines())
        found.append([dict(zip(head, row)) for row in rows])
    return found


def test_benchmark_writes_tables_and_a_picture_into_its_pages(tmp_path):
    (tmp_path / 'benchmarks.md').write_text(PAGE)
    run_tool('benchmark.py', '--clips', 1, '--rounds', 1, '--size', 32, '--out-dir', tmp_path)
    text = (tmp_path / 'benchmarks.md').read_text()
    assert '1 clips of 16 x 32 x 32' in text and ', 32 x 32\n' in text
    assert text.startswith('Text.') and text.endswith('More.\n') and 'old' not in text
    networks, profiles, views, readers, data, several = tables(text)
    layouts = ('contiguous', 'channels last', 'by measurement')
    names = [f'{a}, {f}' for f in layouts for a in ('c3d', 'relation_d', 'artnet_d')]
    assert [row['Network'] for row in networks] == [row['Network'] for row in profiles] == names
    for row in networks:
        assert row['Multiply-adds'] == {'c': '1.000', 'r': '1.011', 'a': '1.205'}[row['Network'][0]]
        assert all(float(cell) > 0 for cell in list(row.values())[1:])
    assert [len(row) for row in views] == [7, 7] and float(views[1]['24']) == 1
    assert all(float(cell) > 0 for row in views for cell in list(row.values())[1:])
    assert len(readers) >= 9
    assert all(float(cell) > 0 for row in readers for cell in list(row.values())[1:])
    assert len(data) == 4
    assert all(float(cell) > 0 for row in data for cell in list(row.values())[1:])
    for row, file in zip(several, ('original', 'copy'), strict=True):
        name, one, *more = row.values()
        assert name == f'training clips, {file}' and len(more) == 2
        for rate, gain in map(str.split, more):
            assert float(gain.strip('()')) == pytest.approx(float(rate) / float(one), abs=0.02)
    (scale,) = tables((tmp_path / 'scaling.md').read_text())
    assert len(scale) == 9
    assert matplotlib.image.imread(tmp_path / 'benchmarks.png').std() > 0.1


def test_a_machine_has_one_section_beside_those_of_others():
    page = with_section('of a page before', 'one', '\nfirst\n')
    page = with_section(page, 'two', '\n#### Data\n\nsecond\n')
    assert page == '### one\n\nfirst\n\n### two\n\n#### Data\n\nsecond\n'
    assert with_section(page, 'one', '\nnew\n') == page.replace('first', 'new')
    assert with_section(page, 'two', '\nnew\n') == '### one\n\nfirst\n\n### two\n\nnew\n'


def test_a_block_of_a_page_is_made_anew():
    page = with_block('', 'one', lambda old: old + r'\1')
    assert page == '<!-- one -->\n\\1<!-- /one -->\n'
    page = with_block('Text.\n' + page, 'two', lambda old: 'second\n')
    assert page.startswith('Text.\n<!-- one -->') and page.endswith('second\n<!-- /two -->\n')
    assert with_block(page, 'one', lambda old: old * 2) == page.replace(r'\1', r'\1\1')
    with pytest.raises(ValueError, match='<!-- one --> and no <!-- /one -->'):
        with_block('<!-- one -->\n', 'one', str)


@pytest.mark.parametrize('speed', [100, 200, 400])
@pytest.mark.parametrize('gpus', [1, 8, 64])
def test_scaling_follows_from_the_benchmarks(speed, gpus):
    original, copy = (data_rows()[f'training clips, {file}'] for file in ('original', 'copy'))
    (row,) = [
        row
        for row in tables(page('scaling'))[0]
        if (row['Clips/s of a GPU'], row['GPUs']) == (str(speed), str(gpus))
    ]
    clips = speed * gpus
    assert float(row['Hours for 250k x 256 clips']) == pytest.approx(
        250_000 * 256 / clips / 3600, abs=0.06
    )
    for name, measured in (('originals', original), ('copies', copy)):
        cores, read = float(row[f'Cores, {name}']), float(row[f'MB/s read, {name}'])
        assert cores == pytest.approx(clips / float(measured['Ours']), rel=0.01, abs=0.6)
        assert read == pytest.approx(
            clips * float(measured['kB of the file']) / 1e3, rel=0.01, abs=1
        )
    assert float(row['MB/s to the GPUs']) == pytest.approx(clips * 3 * 16 * 112**2 / 1e6, abs=1)


def test_size_of_all_copies_follows_from_the_benchmarks():
    copy = data_rows()['training clips, copy']
    stated = re.search(r'240,436 training videos take (\d+) GB', page('scaling'))[1]
    assert float(stated) == round(240_436 * float(copy['kB of the file']) / 1e6)


def data_rows() -> dict[str, dict[str, str]]:
    """Rows of the table of data pipelines, of the machine that the page on scale names."""
    key, machine = 'A second, on one core', re.search('By the figures of (.*):', page('scaling'))[1]
    section = page('benchmarks').split(f'### {machine}\n')[1].split('\n### ')[0]
    (rows,) = (rows for rows in tables(section) if key in rows[0])
    return {row[key]: row for row in rows}


def page(name: str) -> str:
    return (ROOT / f'docs/{name}.md').read_text()
