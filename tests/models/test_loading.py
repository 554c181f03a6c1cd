"""Weights through MMAction2's API: in whatever form they are, and told where they do not fit."""

import time

import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger

from artnet_mm.compat import prediction_of
from artnet_mm.models import switch_to_deploy
from artnet_mm.models.loading import is_deployed

from ..helpers import ROOT, settled_toy

pytestmark = pytest.mark.slow

CONFIG = str(ROOT / 'configs/artnet_r18_d_toy.py')


@pytest.fixture
def video(clips) -> str:
    return str(clips / 'videos_val/up_00000.mp4')


@pytest.fixture
def log(tmp_path):
    """Function that gives the lines of the log of a run."""
    MMLogger.get_instance(f'loading{time.time_ns()}', log_file=str(tmp_path / 'run.log'))
    return lambda: (tmp_path / 'run.log').read_text().splitlines()


def scores(model: torch.nn.Module, video: str) -> torch.Tensor:
    return prediction_of(inference_recognizer(model, video).to_dict())[0]


def test_weights_of_the_deploy_form_bring_a_plain_model_into_it(video, tmp_path, log):
    model = settled_toy().eval()
    plain = model.state_dict()
    torch.save(dict(state_dict=plain), tmp_path / 'plain.pth')
    assert not is_deployed(model, plain)
    expected = scores(init_recognizer(CONFIG, str(tmp_path / 'plain.pth'), 'cpu'), video)
    state = switch_to_deploy(model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'deployed.pth')
    loaded = init_recognizer(CONFIG, str(tmp_path / 'deployed.pth'), 'cpu')
    assert not log()
    assert loaded.state_dict().keys() == state.keys()
    torch.testing.assert_close(scores(loaded, video), expected, rtol=1e-3, atol=1e-3)
    strict = MODELS.build(Config.fromfile(CONFIG).model)
    assert is_deployed(strict, state)
    strict.load_state_dict(state, strict=True)


def test_what_does_not_fit_is_said_in_one_line(tmp_path, log):
    state = settled_toy().state_dict()
    del state['backbone.norm.bias'], state['cls_head.fc_cls.bias']
    state['backbone.other'] = torch.zeros(3)
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    init_recognizer(CONFIG, str(tmp_path / 'part.pth'), 'cpu')
    (line,) = (line for line in log() if 'checkpoint: ' in line)
    counted = len([key for key in state if 'num_batches' not in key]) + 1
    assert f'checkpoint: {counted - 2} of {counted} tensors loaded; left as initialised: ' in line
    assert 'backbone.norm.bias, cls_head.fc_cls.bias; not used: backbone.other' in line


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_halved_recognizer_answers(dtype, video, tmp_path):
    model = settled_toy()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'plain.pth')
    model = init_recognizer(CONFIG, str(tmp_path / 'plain.pth'), 'cpu')
    expected = scores(model, video)
    found = scores(model.to(dtype), video)
    assert found.isfinite().all()
    assert (found - expected).norm() < 0.1 * expected.norm()
    assert next(model.parameters()).dtype == dtype


def test_answers_that_are_not_finite_are_told(video, log):
    model = init_recognizer(CONFIG, device='cpu')
    model.cls_head.fc_cls.weight.data.fill_(float('nan'))
    scores(model, video)
    (line,) = log()
    assert 'the scores of 1 of 1 videos are not finite: has the network been trained' in line
