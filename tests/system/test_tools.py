"""The command-line tools, as subprocesses."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine.fileio import load

from artnet_mm.compat import prediction_of
from artnet_mm.evaluation.dumps import read_dump

from ..helpers import ROOT, as_arguments, free_port, run_tool, settled_toy, tiny_options

TOY = ROOT / 'configs/artnet_r18_d_toy.py'
KINETICS = ROOT / 'configs/artnet_r18_d_kinetics.py'


def toy_arguments(clips, work_dir, **options) -> list:
    """Arguments of a run of two iterations of two clips, on a tenth of the test's views."""
    short = {'train_cfg.max_iters': 2, 'default_hooks.logger.interval': 1}
    tiny = tiny_options(clips, num_clips=2)
    return [
        '--work-dir',
        work_dir,
        '--cfg-options',
        *as_arguments({**tiny, **short, **options}),
    ]


@pytest.fixture(scope='module')
def trained(clips, tmp_path_factory):
    """Work dir of a toy trained in two gloo processes."""
    work_dir = tmp_path_factory.mktemp('trained')
    arguments = toy_arguments(clips, work_dir)
    result = run_tool('dist_train.sh', TOY, 2, *arguments, CUDA_VISIBLE_DEVICES='')
    return work_dir, result.stdout + result.stderr


def test_dist_train_runs_two_processes_on_a_machine_without_cuda(trained):
    work_dir, output = trained
    (log,) = work_dir.glob('*/*.log')  # of one process
    assert log.read_text().count('Iter(train) [2/2]') == 1
    assert 'Distributed training: True' in output
    assert 'GPU number: 2' in output  # MMEngine's word for processes
    assert re.search(r'Iter\(train\) \[2/2\]', output)
    assert (work_dir / 'iter_2.pth').exists()


@pytest.fixture(scope='module')
def alone(clips, trained, tmp_path_factory):
    """What a test in one process dumps, and prints."""
    folder = tmp_path_factory.mktemp('alone')
    arguments = toy_arguments(clips, folder)
    result = run_tool('test.py', TOY, trained[0] / 'iter_2.pth', '--dump', *arguments)
    return folder / 'scores.pkl', result.stdout


@pytest.mark.parametrize('processes', [2, 3])  # of ten videos, three do not have equal shares
def test_dist_test_dumps_every_video_once_with_the_scores_of_one_process(
    clips, trained, alone, tmp_path, processes
):
    dump = tmp_path / 'scores.pkl'
    arguments = toy_arguments(clips, tmp_path)
    result = run_tool(
        'dist_test.sh', TOY, trained[0] / 'iter_2.pth', processes, *arguments[:2], '--dump', dump,
        *arguments[2:], CUDA_VISIBLE_DEVICES='',
    )  # fmt: skip
    assert len(load(dump)) == 10
    scores, expected = (
        {result['filename']: prediction_of(result)[0] for result in load(file)}
        for file in (dump, alone[0])
    )
    assert sorted(map(os.path.basename, scores)) == sorted(os.listdir(clips / 'videos_val'))
    for name, score in expected.items():
        torch.testing.assert_close(scores[name], score, equal_nan=True, msg=name)
    figures, same = (re.findall(r'acc/\w+: [\d.]+', out) for out in (result.stdout, alone[1]))
    assert figures == same and len(figures) >= 6


def test_videos_that_cannot_be_read_count_as_wrong_where_that_is_asked_for(
    clips, trained, alone, tmp_path
):
    lines = (clips / 'val_list_videos.txt').read_text().splitlines()
    (tmp_path / 'list.txt').write_text('\n'.join(['first.mp4 1', *lines, 'last.mp4 2']))
    command = [
        'test.py', TOY, trained[0] / 'iter_2.pth',
        *toy_arguments(
            clips, tmp_path, **{'test_dataloader.dataset.ann_file': tmp_path / 'list.txt'}
        ),
    ]  # fmt: skip
    refused = run_tool(*command, check=False)
    assert refused.returncode == 1 and 'first.mp4' in refused.stderr
    result = run_tool(*command[:3], '--count-broken', '--dump', *command[3:])
    said = result.stdout + result.stderr
    assert '2 videos could not be read and count as wrong' in said
    assert 'videos_val/first.mp4: ' in said and 'videos_val/last.mp4: ' in said
    assert 'acc/evaluated: 10  acc/expected: 12' in said
    results = {os.path.basename(r['filename']): r for r in load(tmp_path / 'scores.pkl')}
    readable = {os.path.basename(r['filename']): r for r in load(alone[0])}
    assert results.keys() - readable.keys() == {'first.mp4', 'last.mp4'}
    for name, label in (('first.mp4', 1), ('last.mp4', 2)):
        scores, given = prediction_of(results[name])
        assert scores.isnan().all() and given == label
        assert results[name]['video_id'] == name.removesuffix('.mp4')
    top1, top1_of_readable = (
        float(re.search(r'acc/top1: ([\d.]+)', text)[1]) for text in (said, alone[1])
    )
    assert top1 == pytest.approx(top1_of_readable * 10 / 12, abs=1e-4)


def test_an_unlabeled_test_list_runs_and_its_dump_names_every_video(clips, trained, tmp_path):
    """Kinetics' test set (Table 5): no labels, so no accuracy, but the scores of every video."""
    lines = (clips / 'val_list_videos.txt').read_text().splitlines()
    names = [line.split()[0] for line in lines]
    (tmp_path / 'test.txt').write_text('\n'.join(names))
    arguments = toy_arguments(
        clips, tmp_path, **{'test_dataloader.dataset.ann_file': f'{tmp_path}/test.txt'}
    )
    result = run_tool('test.py', TOY, trained[0] / 'iter_2.pth', '--dump', *arguments)
    assert 'acc/evaluated: 0  acc/expected: 10' in result.stdout
    assert 'acc/top1' not in result.stdout
    dumped = load(tmp_path / 'scores.pkl')  # the place for tools/report.py
    assert [sample['video_id'] for sample in dumped] == [name[: -len('.mp4')] for name in names]
    for sample, name in zip(dumped, names):
        scores, label = prediction_of(sample)
        assert (os.path.basename(sample['filename']), label) == (name, -1)
        assert scores.shape == (10,)
    assert not list(tmp_path.glob('*unfinished*'))


def test_deploy_gives_the_scores_of_the_trained_form(clips, tmp_path):
    torch.save({'state_dict': settled_toy().state_dict()}, tmp_path / 'settled.pth')
    scores = []
    average = tmp_path / 'average.py'  # which is in the weights, and --deploy has nothing to swap
    average.write_text(f"_base_ = ['{TOY}']\ncustom_hooks = [dict(type='EMAHook')]\n")
    for config, flags in ((TOY, []), (average, ['--deploy'])):
        dump = tmp_path / ('deployed.npz' if flags else 'scores.pkl')
        arguments = [*flags, '--dump', dump, *toy_arguments(clips, tmp_path)]
        run_tool('test.py', config, tmp_path / 'settled.pth', *arguments)
        scores.append(torch.stack([prediction_of(sample)[0] for sample in read_dump(dump)]))
    assert [path.name for path in tmp_path.glob('deployed*')] == ['deployed.npz']
    before, after = scores
    assert before.isfinite().all() and not torch.equal(before, after)
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_a_launcher_that_has_not_checked_has_the_first_process_do_it(clips, tmp_path):
    """As Slurm's, which starts the processes itself."""
    meeting = dict(RANK='0', WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    arguments = toy_arguments(clips, tmp_path, **{'model.cls_head.in_channels': 7})
    result = run_tool('train.py', TOY, '--launcher', 'pytorch', *arguments, check=False, **meeting)
    assert result.returncode == 1
    assert 'error: network: ' in result.stderr and 'in_channels is 7' in result.stderr


def test_two_machines_train_together(clips, tmp_path):
    """Two launches that find each other by address and port, as on two machines."""

    nodes = dict(NNODES='2', MASTER_ADDR='127.0.0.1', PORT=free_port(), CUDA_VISIBLE_DEVICES='')

    def launch(rank: int):
        arguments = toy_arguments(clips, tmp_path / str(rank))
        return run_tool('dist_train.sh', TOY, 1, *arguments, **nodes, NODE_RANK=str(rank))

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(launch, (0, 1))
    assert 'GPU number: 2' in first.stdout + first.stderr
    assert (tmp_path / '0/iter_2.pth').exists()
    assert not (tmp_path / '1/iter_2.pth').exists()  # one rank writes
    assert second.returncode == 0


def test_resume_without_a_checkpoint_starts_from_the_weights_of_the_config(
    clips, trained, tmp_path
):
    """Not from random ones, as MMEngine would."""
    start = {'load_from': str(trained[0] / 'iter_2.pth')}
    result = run_tool('train.py', TOY, '--resume', *toy_arguments(clips, tmp_path, **start))
    assert 'tensors loaded; left as initialised: none' in result.stdout
    assert 'Iter(train) [1/2]' in result.stdout


def test_train_takes_mmaction2s_arguments(clips, tmp_path):
    arguments = toy_arguments(clips, tmp_path)
    result = run_tool('train.py', TOY, '--auto-scale-lr', '--seed', 3, '--no-validate', *arguments)
    assert 'LR is set based on batch size of 16 and the current batch size is 2' in result.stdout
    assert 'seed: 3\n' in result.stdout
    assert 'Iter(val)' not in result.stdout
    arguments += ['auto_scale_lr=None']
    result = run_tool('train.py', TOY, '--auto-scale-lr', *arguments, check=False)
    assert result.stderr == 'error: --auto-scale-lr needs auto_scale_lr.base_batch_size\n'


@pytest.mark.parametrize(
    'words', ['train.py {}', 'test.py {} x.pth', 'dist_train.sh {} 2', 'dist_test.sh {} x.pth 2']
)
def test_missing_data_is_said_in_one_line_and_nothing_else(words, tmp_path):
    tool, *words = words.format(KINETICS).split()
    result = run_tool(tool, *words, '--work-dir', tmp_path, check=False)
    assert result.returncode == 1
    if tool.endswith('.sh'):  # after the table of all checks
        line, *_ = (line for line in result.stderr.splitlines() if '_list_videos.txt' in line)
    else:
        (line,) = (result.stdout + result.stderr).splitlines()
    split = 'val' if 'x.pth' in words else 'train'
    assert f'data/kinetics400/kinetics400_{split}_list_videos.txt does not exist' in line
    assert 'README.md, section "Data"' in line
    assert '## Data\n' in (ROOT / 'README.md').read_text()


def test_a_label_outside_the_classes_is_said_in_one_line(clips, tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4 3\nb.mp4 10\n')
    bad = {'val_dataloader.dataset.ann_file': f'{tmp_path}/list.txt'}
    result = run_tool('train.py', TOY, *toy_arguments(clips, tmp_path, **bad), check=False)
    assert result.returncode == 1
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line.startswith(f'error: {tmp_path}/list.txt, line 2: expected "<path> <label>"')


def test_missing_checkpoint_is_refused_before_anything_starts(clips, tmp_path):
    arguments = toy_arguments(clips, tmp_path)
    result = run_tool('test.py', TOY, tmp_path / 'none.pth', *arguments, check=False)
    assert result.returncode == 1
    assert result.stderr == f'error: checkpoint {tmp_path / "none.pth"} does not exist\n'


@pytest.mark.skipif(torch.cuda.is_available(), reason='mixed precision works with CUDA')
def test_mixed_precision_without_a_gpu_is_refused_in_one_line(clips, tmp_path):
    result = run_tool('train.py', TOY, '--amp', *toy_arguments(clips, tmp_path), check=False)
    assert result.returncode == 1
    assert result.stderr == 'error: AmpOptimWrapper (--amp) needs a GPU, and torch sees none\n'


TOOLS = sorted(
    str(path.relative_to(ROOT / 'tools'))
    for path in Path(ROOT, 'tools').rglob('*.py')
    if not path.name.endswith('_arguments.py')
)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_is_there_before_anything_is_imported_that_takes_seconds(tool):
    result = run_tool(tool, '--help', PYTHONPROFILEIMPORTTIME='1')
    assert result.stdout.startswith('usage: ')
    imported = set(re.findall(r'\|\s+(\w+)$', result.stderr, re.MULTILINE))
    assert 'argparse' in imported
    assert not imported & {'artnet_mm', 'torch', 'numpy', 'mmengine', 'matplotlib', 'rich', 'av'}


@pytest.mark.parametrize('word', ['0', '-1', 'x', '1.5'])
def test_a_size_that_is_none_is_refused(word):
    result = run_tool('train.py', TOY, f'--size={word}', check=False)
    assert result.returncode == 2
    assert f"argument --size: '{word}' is no number of 1 or more" in result.stderr


@pytest.mark.parametrize('word', ['max_iters', 'train_cfg.max_iters:3'])
def test_an_option_without_a_value_is_refused_in_one_line(word):
    result = run_tool('train.py', TOY, '--cfg-options', word, check=False)
    assert result.returncode == 1
    assert result.stderr == f"error: --cfg-options takes key=value, not '{word}'\n"


def test_dump_to_something_else_than_a_pickle_is_refused(tmp_path):
    result = run_tool('test.py', TOY, 'x.pth', '--dump', tmp_path / 'scores.csv', check=False)
    assert result.returncode == 2
    assert '.npz, .pkl, .pickle file, not' in result.stderr


def test_more_gpus_than_there_are_are_refused_in_one_line(tmp_path):
    # A python whose torch sees 2 GPUs; nothing but the count is asked of it.
    fake = tmp_path / 'torch.py'
    fake.write_text('class cuda:\n    device_count = staticmethod(lambda: 2)\n')
    (tmp_path / 'tools').mkdir()
    for script in ('torchrun.sh', 'dist_train.sh', 'dist_test.sh'):
        (tmp_path / 'tools' / script).symlink_to(ROOT / 'tools' / script)
    for words in (['dist_train.sh', TOY, 3], ['dist_test.sh', TOY, 'x.pth', 3]):
        result = run_tool(tmp_path / 'tools' / words[0], *words[1:], check=False)
        assert result.returncode == 1
        assert result.stderr == 'error: 3 GPUs asked for, but this machine has 2\n'
        assert result.stdout == ''


@pytest.mark.parametrize('count', ['two', '0', '--work-dir', '1.5'])
def test_a_number_of_gpus_that_is_none_is_refused_in_one_line(count):
    result = run_tool('dist_train.sh', TOY, count, check=False)
    assert result.returncode == 1
    assert result.stderr == f"error: the number of GPUs must be 1 or more, not '{count}'\n"


@pytest.mark.parametrize(
    'words', ['dist_train.sh x.py', 'dist_test.sh x.py x.pth', 'slurm_train.sh gpu job']
)
def test_shell_tools_say_how_they_are_used(words):
    result = run_tool(*words.split(), check=False)
    assert result.returncode == 1 or result.returncode == 127
    assert f'usage: {words.split()[0]} ' in result.stderr


@pytest.mark.parametrize(
    ('tool', 'positional'), [('slurm_train.sh', []), ('slurm_test.sh', ['some.pth'])]
)
def test_slurm_tools_hand_resources_and_arguments_to_srun(tool, positional, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    # run_tool puts the interpreter's folder first; srun is looked up in the rest.
    result = run_tool(
        tool, 'gpu', 'job', TOY, *positional, '--seed', '1',
        GPUS='4', GPUS_PER_NODE='2', PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
    )  # fmt: skip
    words = result.stdout.splitlines()
    assert words[:6] == [
        '-p', 'gpu', '--job-name=job', '--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2'
    ]  # fmt: skip
    script = str(ROOT / 'tools' / tool.replace('slurm_', '').replace('.sh', '.py'))
    launched = words[words.index('python') :]
    assert launched == [
        'python', '-u', script, str(TOY), *positional, '--seed', '1', '--launcher', 'slurm'
    ]  # fmt: skip


FROZEN_BN = """
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from tests.helpers import settle_running_statistics


@HOOKS.register_module()
class FrozenBN(Hook):
    '''Statistics of a fixed clip, then eval mode; keeps the weights of the start.'''

    def before_train(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        clips = torch.randn(4, 3, 16, 56, 56, generator=torch.Generator().manual_seed(0))
        settle_running_statistics(model, 60 * clips)
        master_only(torch.save)(model.state_dict(), f'{runner.work_dir}/start.pth')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.eval()
"""


def test_two_processes_take_the_step_of_one_with_twice_the_batch(clips, tmp_path):
    """Same start, BN in eval mode, no randomness in the data: equal to rounding."""
    (tmp_path / 'frozen_bn.py').write_text(FROZEN_BN)
    config = tmp_path / 'step.py'
    config.write_text(
        f"_base_ = ['{TOY}']\n"
        "custom_imports = dict(imports=['artnet_mm', 'frozen_bn'], allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='FrozenBN')]\n"
        'train_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))\n'
        'model = dict(backbone=dict(zero_init_residual=False))\n'
    )
    env = {'PYTHONPATH': f'{ROOT}{os.pathsep}{tmp_path}', 'CUDA_VISIBLE_DEVICES': ''}
    starts, ends = [], []
    for processes, batch in ((1, 4), (2, 2)):
        work_dir = tmp_path / f'{processes}'
        options = {'train_dataloader.batch_size': batch, 'train_cfg.max_iters': 1}
        arguments = ['--seed', 5, *toy_arguments(clips, work_dir, **options)]
        if processes == 1:
            run_tool('train.py', config, *arguments, **env)
        else:
            run_tool('dist_train.sh', config, 2, *arguments, **env)
        starts.append(torch.load(work_dir / 'start.pth', weights_only=True))
        ends.append(torch.load(work_dir / 'iter_1.pth', weights_only=True)['state_dict'])
    torch.testing.assert_close(starts[0], starts[1], rtol=0, atol=0)
    for name, start in starts[0].items():
        if start.is_floating_point() and 'running' not in name:
            step, other = (end[name] - start for end in ends)
            assert step.norm() > 0, name
            assert (step - other).norm() <= 1e-3 * step.norm(), name


def test_model_zoo_and_readme_are_what_the_configs_and_the_catalogue_generate():
    run_tool('model_zoo.py', '--check')


def test_a_typed_number_of_parameters_fails_the_check(tmp_path):
    for name in ('artnet_mm', 'README.md', 'model_zoo.md', 'model-index.yml'):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    metafile = tmp_path / 'configs/metafiles/c2d.yml'
    text = metafile.read_text()
    metafile.write_text(re.sub(r'Parameters: \d', 'Parameters: 9', text, count=1))
    assert metafile.read_text() != text
    result = run_tool('model_zoo.py', '--check', check=False, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert f'error: {metafile} is not what' in result.stderr
