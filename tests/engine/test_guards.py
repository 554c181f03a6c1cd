"""What a run may start from, go on with and end as, in real runs of one step."""

import re

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner, load_checkpoint

from artnet_mm.models import switch_to_deploy

from ..helpers import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def run(clips, tmp_path_factory):
    """Function that runs a leaf of that name and split and returns its Runner and its log."""

    def run(name, load_from=None, split=None, test=False, **options):
        work_dir = tmp_path_factory.mktemp(name)
        one = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 10}
        cfg = tiny_config(name, clips, work_dir, num_clips=1, split=split, **one, **options)
        cfg.load_from = load_from and str(load_from)
        cfg.default_hooks.checkpoint.interval = 1
        cfg.experiment_name = work_dir.name
        for loader in ('train', 'val', 'test'):
            cfg[f'{loader}_dataloader'].dataset.indices = 2
        runner = Runner.from_cfg(cfg)
        try:
            runner.test() if test else runner.train()
        finally:
            (log,) = work_dir.glob('*/*.log')
            runner.text = log.read_text()
        return runner

    return run


@pytest.fixture(scope='module')
def checkpoint(run):
    """Function that gives the path of the checkpoint of such a run, made once."""
    made = {}

    def checkpoint(name, load_from=None, split=None):
        key = name, load_from, split
        if key not in made:
            made[key] = f'{run(name, load_from, split).work_dir}/iter_1.pth'
        return made[key]

    return checkpoint


@pytest.fixture(scope='module')
def kinetics(checkpoint):
    return checkpoint('artnet_r18_d_kinetics')


def said(runner: Runner) -> str:
    """The line about the checkpoint, of which there must be one."""
    (line,) = re.findall(r'checkpoint: .*', runner.text)
    return line


def test_kinetics_weights_are_loaded_all_but_the_classifier_and_one_line_says_so(run, kinetics):
    runner = run('artnet_r18_d_ucf101', kinetics, **{'optim_wrapper.optimizer.lr': 0.0})
    tensors = len([k for k in runner.model.state_dict() if 'num_batches' not in k])
    new = 'cls_head.fc_cls.weight, cls_head.fc_cls.bias'
    assert said(runner) == (
        f'checkpoint: {tensors - 2} of {tensors} tensors loaded; left as initialised: {new}; '
        f'not used: {new}'
    )
    assert 'mismatch' not in runner.text
    weights = load_checkpoint(runner.model, kinetics)['state_dict']
    for name, parameter in runner.model.backbone.named_parameters():
        assert torch.equal(parameter, weights[f'backbone.{name}']), name
    assert runner.model.cls_head.fc_cls.weight.shape == (101, 64)


def test_weights_of_a_wrapped_model_fit(run, kinetics, tmp_path):
    state = torch.load(kinetics, weights_only=True)['state_dict']
    torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'ddp.pth')
    assert 'left as initialised: none; not used: none' in said(
        run('artnet_r18_d_kinetics', tmp_path / 'ddp.pth')
    )


def test_a_backbone_that_fits_in_part_is_a_warning_that_says_what_is_random(run, checkpoint):
    runner = run('artnet_r18_d_ucf101', checkpoint('c3d_r18_kinetics'))
    assert re.search('WARNING - checkpoint: .*left as initialised: backbone.stem', runner.text)
    assert re.search(r' and \d+ more; not used: ', said(runner))


def test_weights_of_the_deploy_form_are_tested_and_not_trained(run, kinetics, tmp_path):
    plain = run('artnet_r18_d_kinetics', kinetics, test=True)
    state = switch_to_deploy(plain.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'deployed.pth')
    runner = run('artnet_r18_d_kinetics', tmp_path / 'deployed.pth', test=True)
    assert 'left as initialised: none; not used: none' in said(runner)
    assert runner.model.state_dict().keys() == state.keys()
    with pytest.raises(
        ValueError, match=r'the checkpoint holds the deploy form, .* train from the'
    ):
        run('artnet_r18_d_kinetics', tmp_path / 'deployed.pth')


def test_a_checkpoint_of_which_nothing_fits_is_refused(run, tmp_path):
    torch.save({'state_dict': {'encoder.weight': torch.zeros(2)}}, tmp_path / 'other.pth')
    message = 'nothing of the checkpoint fits the model: it holds encoder.weight; the model has '
    with pytest.raises(ValueError, match=message):
        run('artnet_r18_d_ucf101', tmp_path / 'other.pth')


@pytest.mark.parametrize('split', ['2', '3'])
def test_another_split_does_not_start_from_weights_fine_tuned_on_the_first(
    run, checkpoint, kinetics, split
):
    first = checkpoint('artnet_r18_d_ucf101', kinetics)
    message = f'trained on split 1 of ucf101, which holds test videos of split {split}'
    for action in (dict(), dict(test=True), dict(resume=True)):
        with pytest.raises(ValueError, match=message):
            run('artnet_r18_d_ucf101', first, split, **action)


def test_the_splits_are_remembered_through_other_data_sets(run, checkpoint, kinetics):
    first = checkpoint('artnet_r18_d_ucf101', kinetics, '3')
    through = checkpoint('artnet_r18_d_hmdb51', first, '2')
    meta = torch.load(through, weights_only=True)['meta']
    assert meta['trained_on'] == [('ucf101', '3'), ('hmdb51', '2')]
    with pytest.raises(ValueError, match='trained on split 3 of ucf101'):
        run('artnet_r18_d_ucf101', through, '1')
    with pytest.raises(ValueError, match='trained on split 2 of hmdb51'):
        run('artnet_r18_d_hmdb51', through, '3')


def test_the_same_split_and_its_test_go_on(run, checkpoint, kinetics):
    first = checkpoint('artnet_r18_d_ucf101', kinetics)
    assert 'left as initialised: none' in said(run('artnet_r18_d_ucf101', first))
    assert 'acc/top1' in run('artnet_r18_d_ucf101', first, test=True).text


def test_a_test_with_a_random_classifier_is_refused(run, kinetics):
    with pytest.raises(ValueError, match=r'in another shape, cls_head.fc_cls.weight, .*: a test'):
        run('artnet_r18_d_ucf101', kinetics, test=True)


def test_only_training_counts_as_having_seen(checkpoint):
    """Validation on a split is no training on it."""
    meta = torch.load(checkpoint('artnet_r18_d_kinetics'), weights_only=True)['meta']
    assert meta['trained_on'] == []


def test_splits_of_joined_data_sets_are_recorded_and_what_was_trained_may_be_tested(
    run, kinetics, tmp_path
):
    runner = run('artnet_r18_d_ucf101', kinetics)
    runner.test()  # the classifier was new, and is trained now
    joined = dict(datasets=[dict(metainfo=dict(split=('ucf101', 2))), dict(dataset=dict())])
    runner.cfg.train_dataloader = dict(dataset=dict(dataset=joined))
    saved = dict(meta={})
    (guard,) = (hook for hook in runner.hooks if type(hook).__name__ == 'CheckpointGuardHook')
    guard.before_save_checkpoint(runner, saved)
    assert saved['meta']['trained_on'] == [('ucf101', '2')]


def test_accumulated_batches_are_counted_and_said_where_the_rate_does_not_fit(run):
    counts = {'optim_wrapper.accumulative_counts': 4}
    text = run('artnet_r18_d_ucf101', **counts).text
    assert 'effective batch: 8 samples = 1 processes x 2 x 4 accumulated; rates: 0.001, 0.002' in (
        text
    )
    (said,) = re.findall(r'(\d+) iterations = (\d+) updates by (\d+) samples', text)
    iterations, updates, samples = map(int, said)
    assert (updates, samples) == (iterations // 4, iterations // 4 * 8)
    assert 'the rate is one for batches of 120 samples, and nothing scales it to 8' in text
    text = run('artnet_r18_d_ucf101', **counts, **{'auto_scale_lr.enable': True}).text
    assert 'the rate is one for batches of 2 samples, and nothing scales it to 8' in text
    text = run('artnet_r18_d_ucf101', **{'auto_scale_lr.enable': True}).text
    assert 'rates: 1.66667e-05, 3.33333e-05' in text and 'nothing scales it' not in text


class Spoil(Hook):
    """After the first step, a weight that no loss has seen."""

    def after_train_iter(self, runner, *args, **kwargs):
        runner.model.backbone.norm.running_var[0] = float('inf')


def test_weights_that_are_not_finite_get_into_no_checkpoint(run, clips, tmp_path):
    cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path, **{'train_cfg.max_iters': 1})
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Spoil())
    with pytest.raises(FloatingPointError, match=r'iteration 1: backbone\.norm\.running_var;'):
        runner.train()
    assert not [*tmp_path.glob('*.pth')]


class SkippingOnCPU(AmpOptimWrapper):
    """AmpOptimWrapper, which MMEngine refuses to build without a GPU, in float32."""

    __init__, optim_context = OptimWrapper.__init__, OptimWrapper.optim_context
    state_dict, load_state_dict = OptimWrapper.state_dict, OptimWrapper.load_state_dict
    backward = OptimWrapper.backward

    def step(self, **kwargs):
        parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        if all(p.grad.isfinite().all() for p in parameters):
            super(AmpOptimWrapper, self).step(**kwargs)


@pytest.fixture
def mixed_run(clips, tmp_path):
    """Function of iterations whose loss is not finite: a Runner in "mixed precision"."""

    def build(*overflows, max_iters):
        options = {'train_cfg.max_iters': max_iters, 'default_hooks.finite_loss.amp_patience': 3}
        cfg = tiny_config('artnet_r18_d_toy', clips, tmp_path, **options)
        cfg.default_hooks.checkpoint.interval = 1
        runner = Runner.from_cfg(cfg)
        runner.optim_wrapper = SkippingOnCPU(torch.optim.SGD(runner.model.parameters(), lr=1e-3))
        mean = runner.model.data_preprocessor.mean
        right = mean.clone()

        class Overflow(Hook):
            def before_train_iter(self, runner, batch_idx, data_batch=None):
                if runner.iter + 1 in overflows:
                    mean.fill_(float('nan'))

            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                mean.copy_(right)
                assert outputs['loss'].isfinite() == (runner.iter + 1 not in overflows)

        runner.register_hook(Overflow(), priority='LOWEST')
        return runner

    return build


def test_a_step_that_mixed_precision_skips_leaves_no_trace_in_the_bn_statistics(
    mixed_run, tmp_path
):
    mixed_run(2, max_iters=3).train()
    before, skipped, after = (
        torch.load(tmp_path / f'iter_{number}.pth', weights_only=True)['state_dict']
        for number in (1, 2, 3)
    )
    for name, value in before.items():
        assert torch.equal(value, skipped[name]), name
    changed = [name for name, value in after.items() if not torch.equal(value, skipped[name])]
    assert any('running_mean' in name for name in changed)


def test_under_mixed_precision_only_a_row_of_infinite_losses_stops(mixed_run, tmp_path):
    with pytest.raises(FloatingPointError, match=r'(?s)7 for 3 iterations.*videos_train/\w+\.mp4'):
        mixed_run(2, 3, 5, 6, 7, max_iters=9).train()
    assert (tmp_path / 'iter_6.pth').exists() and not (tmp_path / 'iter_7.pth').exists()
