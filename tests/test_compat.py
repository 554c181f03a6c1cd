"""What compat promises: checkpoints that load, hostile ones that do not, a wheel that imports."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmengine.config import Config, config
from mmengine.logging import HistoryBuffer, MessageHub
from yapf.yapflib import yapf_api

from artnet_mm import compat

from .helpers import ROOT


def run_python(code, *args, path=(ROOT,)):
    """A fresh interpreter that finds packages under ``path`` first."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, path)), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', code, *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


# Checkpoints


def mmengine_checkpoint(name):
    """What Runner.save_checkpoint writes of a run's history."""
    hub = MessageHub.get_instance(name)
    for step, loss in enumerate((4.0, 2.0, 0.5)):
        hub.update_scalar('train/loss', loss)
        hub.update_scalar('train/lr', np.float64(0.1))
        hub.update_info('iter', step)
    hub.update_info('best_score', np.float64(0.75))
    return dict(message_hub=hub.state_dict(), state_dict=dict(weight=torch.arange(3.0)))


LOAD = """
import sys
import torch
{}
checkpoint = torch.load(sys.argv[1], weights_only=True)
from mmengine.logging import MessageHub
hub = MessageHub.get_instance('resumed')
hub.load_state_dict(checkpoint['message_hub'])
loss = hub.get_scalar('train/loss')
print(loss.data[0].tolist(), loss.mean(2), loss.statistics('min'), hub.get_info('iter'),
      hub.get_info('best_score'), checkpoint['state_dict']['weight'].tolist())
"""


def test_checkpoints_of_mmengine_load_once_artnet_mm_is_imported(tmp_path):
    torch.save(mmengine_checkpoint('saved'), tmp_path / 'iter_3.pth')
    result = run_python(LOAD.format('import artnet_mm'), tmp_path / 'iter_3.pth')
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last == '[4.0, 2.0, 0.5] 1.25 0.5 2 0.75 [0.0, 1.0, 2.0]'

    result = run_python(LOAD.format(''), tmp_path / 'iter_3.pth')
    assert result.returncode == 1
    assert 'Unsupported global: GLOBAL mmengine.logging.history_buffer' in result.stderr


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


# Of a canary: what must not be unpickled, and what the refusal says.
HOSTILE = {
    'os.system': (lambda canary: Call(os.system, f'touch {canary}'), 'posix.system'),
    'eval': (lambda canary: Call(eval, f'open({str(canary)!r}, "w")'), 'GLOBAL .*eval'),
    'open': (lambda canary: Call(open, str(canary), 'w'), 'GLOBAL .*open'),
    'getattr of an array': (lambda _: Call(getattr, np.ndarray, 'tofile'), "refused .*'tofile'"),
    'getattr of os': (lambda _: Call(getattr, Call(__import__, 'os'), 'system'), '__import__'),
    'getattr of __init__': (
        lambda _: Call(getattr, HistoryBuffer, '__init__'),
        "refused getattr.*HistoryBuffer.*'__init__'",
    ),
    'getattr of __globals__': (
        lambda _: Call(getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'),
        "refused getattr.*HistoryBuffer.mean.*'__globals__'",
    ),
}


@pytest.mark.parametrize('attack', HOSTILE)
def test_hostile_checkpoints_are_refused(attack, tmp_path):
    canary, file = tmp_path / 'canary', tmp_path / 'hostile.pth'
    payload, refusal = HOSTILE[attack]
    torch.save(dict(message_hub=payload(canary)), file)
    with pytest.raises((pickle.UnpicklingError, ValueError), match=refusal):
        torch.load(file, weights_only=True)
    assert not canary.exists()

    torch.load(file, weights_only=False)  # the file is as hostile as it claims to be
    assert canary.exists() == ('getattr' not in attack)


def test_getattr_is_answered_for_four_statistics_only():
    for name in ('min', 'max', 'current', 'mean'):
        assert compat._statistic_of_history(HistoryBuffer, name) is getattr(HistoryBuffer, name)
    buffer = HistoryBuffer([1], [1])
    for owner, name in ((HistoryBuffer, 'statistics'), (buffer, 'mean'), (np.ndarray, 'min')):
        with pytest.raises(ValueError, match='refused getattr'):
            compat._statistic_of_history(owner, name)


# The wheel of mmaction2 1.2.0

BUILD_DRN = """
{}
import mmaction.models
from mmaction.models.localizers import BMN, DRN
assert mmaction.__file__.startswith({!r}), mmaction.__file__
DRN()
"""


def test_a_wheel_without_drn_works_until_somebody_builds_drn(tmp_path):
    package = Path(mmaction.__file__).parent
    ignore = shutil.ignore_patterns('.mim', 'drn')
    shutil.copytree(package, tmp_path / 'mmaction', ignore=ignore)
    init = tmp_path / 'mmaction/models/localizers/__init__.py'
    if 'drn' not in init.read_text():
        init.write_text(init.read_text() + 'from .drn.drn import DRN\n')

    result = run_python(BUILD_DRN.format('', str(tmp_path)), path=(tmp_path, ROOT))
    assert result.returncode == 1
    assert "No module named 'mmaction.models.localizers.drn'" in result.stderr

    result = run_python(BUILD_DRN.format('import artnet_mm', str(tmp_path)), path=(tmp_path, ROOT))
    assert result.returncode == 1
    assert 'ImportError: this installation of mmaction2 lacks' in result.stderr.splitlines()[-1]
    assert 'install mmaction2 from source' in result.stderr.splitlines()[-1]


def test_a_complete_mmaction_is_left_alone():
    """In this very environment, where importing artnet_mm found nothing to mend."""
    localizers = Path(mmaction.__file__).parent / 'models/localizers'
    broken = 'drn' in (localizers / '__init__.py').read_text() and not (localizers / 'drn').is_dir()
    assert ('mmaction.models.localizers.drn' in sys.modules) == broken


# What imports leave out

POSES = """
import sys
import artnet_mm
print('scipy.stats' in sys.modules)
from mmaction.datasets import PoseDataset
from mmaction.datasets.transforms.pose_transforms import mode
print(mode([3, 1, 3, 2])[0], mode([3, 1, 3, 2])[-1])
from scipy.stats import mode as real, norm
print(real([5, 5, 1])[0], norm.cdf(0))
"""


def test_scipy_is_imported_when_a_transform_of_poses_asks_for_it():
    result = run_python(POSES)
    assert result.stdout.splitlines() == ['False', '3 2', '5 0.5'], result.stderr


# Texts of configs


def test_the_text_of_a_config_is_formatted_once_and_as_before(monkeypatch):
    if not hasattr(config, 'FormatCode'):
        pytest.skip('onedl-mmengine imports the formatter each time')
    calls = []
    monkeypatch.setattr(
        config, 'FormatCode', lambda *a, **k: calls.append(1) or yapf_api.FormatCode(*a, **k)
    )
    compat.format_config_once()
    cfg = Config(dict(model=dict(type='A', depth=18), work_dir='here'))
    text = cfg.pretty_text
    assert text == cfg.pretty_text == "model = dict(depth=18, type='A')\nwork_dir = 'here'\n"
    assert len(calls) == 1
    cfg.work_dir = 'there'
    assert cfg.pretty_text == text.replace('here', 'there')
    assert len(calls) == 2
