"""A hook that ends, holds up or spoils its own process at a moment of a run, named by MOMENT.

Such as 'step 3', 'validation 4', 'writing 6' (ended by SIGKILL), 'hang 3' (waits), 'full 4'
(no room on the disk), 'infinite 3' (a weight is) or 'buffers 3' (of each process go to a file of
its rank). Samples that are read go to the file DECODED.
"""

import os
import resource
import signal
import time

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger

from artnet_mm import files
from artnet_mm.checks import trial_run
from artnet_mm.datasets import clip_datasets
from artnet_mm.datasets.seeding import SeededIndex

MOMENT, DECODED = os.environ['MOMENT'], os.environ['DECODED']


def send(signal_number: int) -> None:
    if os.environ.get('RANK', '0') == os.environ['OF_RANK']:
        os.kill(os.getpid(), signal_number)


def wait() -> None:
    if os.environ.get('RANK', '0') == os.environ['OF_RANK']:
        time.sleep(600)


@HOOKS.register_module()
class MomentHook(Hook):
    priority = 'HIGHEST'

    def before_run(self, runner):
        if MOMENT.startswith('writing'):
            fsync, file = os.fsync, f'iter_{MOMENT.split()[1]}.pth'

            def cut_short(descriptor):
                path = os.readlink(f'/proc/self/fd/{descriptor}')
                if path.endswith(file):
                    os.truncate(path, os.path.getsize(path) // 2)
                    send(signal.SIGKILL)
                fsync(descriptor)

            files.os.fsync = cut_short

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if MOMENT == f'infinite {batch_idx + 1}' and str(runner.rank) == os.environ['OF_RANK']:
            next(runner.model.parameters()).data.fill_(float('inf'))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if MOMENT == f'full {batch_idx + 1}':
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, 2**18))
        elif MOMENT == f'buffers {batch_idx + 1}':
            torch.save(dict(runner.model.module.named_buffers()), f'{DECODED}.{runner.rank}')
        elif MOMENT == f'step {batch_idx + 1}':
            send(signal.SIGKILL)
        elif MOMENT == f'hang {batch_idx + 1}':
            wait()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if MOMENT == f'validation {runner.iter}' and batch_idx == 1:
            send(signal.SIGKILL)


read = clip_datasets.ClipDataset.prepare_data


def note_and_read(self, idx):
    trial = MMLogger.get_current_instance().instance_name.startswith(trial_run.NAME)
    if isinstance(idx, SeededIndex) and not trial and not self.test_mode:
        with open(DECODED, 'a') as file:
            file.write(f'{int(idx)}\n')
    return read(self, idx)


clip_datasets.ClipDataset.prepare_data = note_and_read


@HOOKS.register_module()
class BufferEMAHook(EMAHook):
    """EMA that averages buffers, too."""

    def __init__(self) -> None:
        super().__init__(update_buffers=True)
