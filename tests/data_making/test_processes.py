"""Work that crashes, hangs or raises, in real processes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from artnet_mm.data_making.processes import process, process_all

from ..helpers import ROOT


class Refused(Exception):
    """Can be pickled but not unpickled, as exceptions of libraries happen to be."""

    def __init__(self, code, words):
        super().__init__(f'{words}\n  ({code})')


class Bomb(str):
    """A name that ends the process which receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def act(name: str):
    if name.startswith('abort'):
        os.abort()
    elif name == 'hang':
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # deaf, as a decoder may be
        time.sleep(60)
    elif name == 'raise':
        raise Refused(7, 'no such codec')
    elif name == 'kill the server':
        os.kill(os.getppid(), signal.SIGKILL)
        os.abort()
    return name.upper()


def outcomes(names, processes, timeout=30) -> dict:
    ended = list(process(act, names, processes, timeout))
    assert len(ended) == len(names)
    return {name: (result, reason) for name, result, reason in ended}


def test_a_call_that_raises_crashes_or_hangs_fails_by_itself():
    names = ['a', 'abort', 'b', 'hang', 'raise', *'cdefgh', 'abort again', 'i']
    ended = outcomes(names, processes=2, timeout=1)
    assert ended.pop('abort') == ended.pop('abort again') == (None, 'crashed (exit code -6)')
    assert ended.pop('hang') == (None, 'took longer than 1 s')
    assert ended.pop('raise') == (None, 'Refused: no such codec (7)')
    assert ended == {name: (name.upper(), None) for name in 'abcdefghi'}


def test_a_crash_is_told_of_every_call_that_crashes():
    ended = outcomes([f'abort {i}' for i in range(12)], processes=3)
    assert set(ended.values()) == {(None, 'crashed (exit code -6)')}


@pytest.mark.parametrize('end', ['kill the server', Bomb('bomb')])
def test_processes_are_started_again_when_all_are_lost(end):
    ended = outcomes(['a', 'b', end, *'cdefgh'], processes=1)
    assert ended.pop(end)[0] is None
    fine = {name for name in ended if ended[name] == (name.upper(), None)}
    assert fine >= set('abefgh')  # c and d may have been lost with it


def forked_after_cuda(name: str) -> bool:
    return torch.cuda._is_in_bad_fork() or getattr(torch.cuda, 'asked_before_the_fork', False)


def test_workers_can_use_a_gpu(tmp_path):
    """As asking for a GPU does in builds with CUDA: what is forked afterwards cannot use one."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import os, torch\n'
        'def mark(): torch.cuda.asked_before_the_fork = True\n'
        'def ask(): os.register_at_fork(after_in_child=mark); return True\n'
        'torch.cuda.is_available = ask\n'
    )
    program = (
        f'from {__name__} import forked_after_cuda\n'
        'from artnet_mm.data_making.processes import process\n'
        'if __name__ == "__main__":\n'
        '    print(*process(forked_after_cuda, ["a", "b"], 2, 120))\n'
    )
    file = tmp_path / 'program.py'
    file.write_text(program)
    path = f'{tmp_path}{os.pathsep}{ROOT}'
    env = {**os.environ, 'PYTHONPATH': path, 'CUDA_VISIBLE_DEVICES': '0'}
    result = subprocess.run([sys.executable, file], env=env, capture_output=True, text=True)
    for name in 'ab':
        assert f"('{name}', False, None)" in result.stdout, result.stderr


def test_nothing_to_do_is_done():
    assert outcomes([], processes=2) == {}


def test_progress_in_a_log_is_twenty_lines(capsys):
    names, successes = [*map(str, range(99)), 'raise'], []
    results, failures = process_all(
        act, names, processes=2, timeout=30, on_success=lambda name, _: successes.append(name)
    )
    assert results == {name: name for name in names[:-1]}
    assert failures == {'raise': 'Refused: no such codec (7)'}
    assert sorted(successes) == sorted(results)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert (lines[0], lines[-1]) == ('5/100 videos, 0 failed', '100/100 videos, 1 failed')
