"""Studies: small versions of all of them through the tool, and what their tables say."""

import json
from pathlib import Path

import matplotlib.image
import pytest

from artnet_mm.study import Run, Study, choose
from artnet_mm.study.report import mean_and_spread, start_of

from ..helpers import ROOT, run_tool
from .test_benchmark import tables

STUDIES = sorted((ROOT / 'configs/study').glob('*.py'))
LEAF = """
_base_ = ['{study}']
train_cfg = dict(max_iters=2, val_interval=2)
train_dataloader = dict(batch_size=4)
"""
OF_CLIPS = """
clips = dict(num_train=10, num_val=5, num_frames=16, size=(64, 48))
study = dict(clips={{root: dict(_delete_=True, **clips, **more) for root, more in {roots}.items()}})
"""
OF_LISTS = """
data = dict(dataset=dict(data_root='{root}/'))
train_dataloader.update(data)
val_dataloader = test_dataloader = data
"""
LISTS = {
    'avletters': ['train_rep12', 'test_rep3'],
    'recipe': ['train_rep12', 'test_rep3'],
    'miracl': [f'fold{n}_{part}' for n in range(1, 6) for part in ('train', 'test')],
}


def small(study: Path, folder: Path, clips: Path) -> Path:
    """A config of the study on a few clips and iterations, in ``folder``."""
    text = LEAF.format(study=study)
    if study.stem in LISTS:
        text += OF_LISTS.format(root=folder)
        for name in LISTS[study.stem]:
            part = 'train' if 'train' in name else 'val'
            lines = (clips / f'{part}_list_videos.txt').read_text().splitlines()
            paths = [f'{clips}/videos_{part}/{line}\n' for line in lines]
            (folder / f'{name}.txt').write_text(''.join(paths))
    else:
        kept = ('num_textures', 'shortcut')
        roots = {
            root: {key: arguments[key] for key in kept if key in arguments}
            for root, arguments in Study(study, folder).settings['clips'].items()
        }
        text += OF_CLIPS.format(roots=roots)
    config = folder / f'{study.stem}.py'
    config.write_text(text)
    return config


@pytest.mark.parametrize('study', STUDIES, ids=lambda path: path.stem)
def test_a_small_version_of_the_study_runs_through_the_tool(study, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small(study, tmp_path, clips)
    command = ['study.py', config, '--seeds', 1, '--processes', 2]
    command += ['--work-dir', tmp_path / 'results']
    settings = Study(config, tmp_path).settings
    rows = [next(iter(settings['rows'])), 'ARTNet (d), limit 10']
    rows += [row for row, overrides in settings['rows'].items() if 'custom_hooks' in overrides][:1]
    rows = list(dict.fromkeys(rows))
    conditions = list(settings['conditions'])[-2:]
    only = [*rows, *filter(None, conditions)]
    report = tmp_path / 'page.md'
    output = run_tool(*command, '--only', *only, '--report', report).stdout
    runs = [Run(c, r, 0) for c in conditions for r in rows]
    assert f'0 of {len(runs)} runs are done' in output
    study = Study(config, tmp_path / 'results')
    results = study.read()
    assert set(results) == set(runs)
    for result in results.values():
        assert set(result['tests']) == set(settings['tests'])
        assert all(0 <= test['top1'] <= 1 for test in result['tests'].values())
        assert [step for step, _ in result['training']] == [1, 2]
        assert [step for step, *_ in result['validation']] == [2]

    again = run_tool(*command, '--only', *only).stdout
    assert f'{len(runs)} of {len(runs)} runs are done' in again
    assert study.read() == results
    (table,) = tables(report.read_text())
    assert [row['Network'] for row in table] == list(settings['rows'])
    for row in table:
        assert row['Runs'] == str(len(conditions) if row['Network'] in rows else 0)
    assert matplotlib.image.imread(tmp_path / f'page_{config.stem}.png').std() > 0.05


@pytest.fixture
def study(tmp_path):
    """The study of textures, with a result under its first condition."""
    study = Study(ROOT / 'configs/study/textures.py', tmp_path)
    run = study.runs(1)[0]
    result = dict(digest=study.digest_of(run), tests={'unseen textures': dict(top1=0.5, nll=1.0)})
    study.keep(run, result)
    return study, run, result


def test_results_survive_a_line_that_was_cut_off_and_other_settings_make_them_void(study):
    study, run, result = study
    with study.file.open('a') as file:
        file.write(json.dumps(dict(run=run, **result))[:-20])
    assert study.read() == {run: result}
    other = study.runs(1)[1]
    study.keep(other, dict(result, digest=study.digest_of(other)))
    assert set(study.read()) == {run, other}
    study._cfg.merge_from_dict({'train_dataloader.dataset.data_root': 'elsewhere/'})
    assert set(study.read()) == {run, other}
    study._cfg.merge_from_dict({'optim_wrapper.optimizer.lr': 0.5})
    assert study.read() == {}


def test_runs_differ_in_their_seed_row_and_condition_only(study):
    study, *_ = study
    runs = study.runs(3)
    assert len(set(runs)) == 3 * 4 * len(study.settings['rows'])
    assert len({study.digest_of(run) for run in runs}) == 3 * len(study.settings['rows'])
    for _ in range(2):  # asked again, all is as before
        rival = study.config_of(Run('8 textures', 'R(2+1)D', 0))
        assert 'arch' not in rival.model.backbone and rival.model.backbone.depth == 18
    cfg = study.config_of(Run('8 textures', 'ARTNet (d), limit 10', 2))
    assert cfg.model.backbone.to_dict() == dict(
        type='ARTNet', depth=18, arch='artnet_d', base_channels=8, zero_init_residual=True,
        max_response=10,
    )  # fmt: skip
    assert cfg.train_dataloader.dataset.data_root == 'data/study/textures_8/'
    assert cfg.val_dataloader.dataset.data_root == 'data/study/textures_600/'
    assert cfg.randomness == dict(seed=2) and 'study' not in cfg


@pytest.mark.parametrize(
    'words, message',
    [
        (['--only', 'C4D'], "no study has 'C4D', but '2 textures', '32 textures'"),
        (['--only', 'C2D', '600 textures'], 'does not exist'),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(words, message, tmp_path):
    config = tmp_path / 'none.py'
    config.write_text(f"_base_ = ['{ROOT}/configs/study/textures.py']\nstudy = dict(clips=None)\n")
    result = run_tool('study.py', config, *words, '--work-dir', tmp_path, check=False)
    assert result.returncode == 1
    assert message in result.stderr.replace('\n', ' ')


def test_names_pick_rows_and_conditions_of_the_studies_that_have_them(tmp_path):
    configs = [ROOT / f'configs/study/{name}.py' for name in ('textures', 'shortcut', 'start')]
    textures, shortcut, start = studies = [Study(config, tmp_path) for config in configs]
    chosen = choose(studies, ['R(2+1)D', '2 textures'], 2)
    assert chosen[textures] == [Run('2 textures', 'R(2+1)D', seed) for seed in (0, 1)]
    assert chosen[shortcut] == [Run('', 'R(2+1)D', seed) for seed in (0, 1)]
    assert chosen[start] == []
    assert choose([start], [], 1) == {start: start.runs(1)}


def test_a_config_without_a_study_is_refused(tmp_path):
    result = run_tool('study.py', ROOT / 'configs/artnet_r18_d_toy.py', check=False)
    assert result.stderr.endswith('artnet_r18_d_toy.py: study.title is missing\n')


def test_figures_of_a_table():
    assert mean_and_spread([]) == ''
    assert mean_and_spread([50]) == '50.0'
    assert mean_and_spread([40, 50, 60]) == '50.0 ± 10.0'
    curve = [(20, 2.0), (40, 1.81), (60, 1.79), (80, 1.9)]
    assert start_of(dict(training=curve)) == 60
    assert start_of(dict(training=curve[:2])) == float('inf')
