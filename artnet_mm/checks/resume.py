"""Check of a run that goes on from a checkpoint: what differs from the run that wrote it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper

from ..checkpoints import load_whole
from ..models.loading import Fit, shortened
from .findings import CheckedRun, Doubtful, check

OF_THE_PLACE = ('work_dir', 'load_from', 'resume', 'launcher', 'experiment_name', 'filename')
IN_FORCE = ('optim_wrapper.optimizer', 'param_scheduler')
"""What MMEngine takes from the checkpoint, whatever the config says."""


def read_settings(text: str) -> dict:
    """Settings of a config as MMEngine writes them into checkpoints; nothing is executed."""
    settings = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            settings[node.targets[0].id] = _value_of(node.value)
    return settings


def _value_of(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id='dict')):
            return {keyword.arg: _value_of(keyword.value) for keyword in node.keywords}
        case ast.Dict():
            keys = [ast.unparse(key) if key else '' for key in node.keys]
            return dict(zip((key.strip('\'"') for key in keys), map(_value_of, node.values)))
        case ast.List() | ast.Tuple():
            return [_value_of(element) for element in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:  # a class by its name
        return ast.unparse(node)


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Settings by their whole names."""
    parts: Any = value.items() if isinstance(value, dict) else None
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        parts = enumerate(value)
    if not parts:
        yield name, value
    else:
        for key, part in parts:
            yield from _flat(part, f'{name}.{key}'.lstrip('.'))


def differences(cfg: Config, text: str) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between the config of a checkpoint, its text, and that of a run.

    Returns:
        dict[str, tuple]: Of then and of now, None where there is none, by name.
    """
    then, now = (dict(_flat(read_settings(part))) for part in (text, cfg.pretty_text))
    names = [name for name in {**then, **now} if name.split('.')[0] not in OF_THE_PLACE]
    return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n)}


def _shown(found: dict[str, tuple[Any, Any]]) -> str:
    return shortened([f'{name} {then!r} (now {now!r})' for name, (then, now) in found.items()], 6)


@check('the resumed run', loader='train_dataloader', setting='resume')
def resumed_run(run: CheckedRun) -> str:
    """Weights, optimizer and settings of the checkpoint that a run goes on from."""
    runner = run.trial()
    path = str(run.cfg.load_from)
    if '://' in path:
        raise Doubtful(f'{path} is remote and was not looked at')
    checkpoint = load_whole(Path(path))
    other = 'start a new run from its weights instead (load_from, without --resume)'
    model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
    fit = Fit.of(checkpoint['state_dict'], model.state_dict())
    if fit.new or fit.unused:
        raise ValueError(
            f'{path} has other weights than the model: it lacks {shortened(fit.new)}, and holds '
            f'{shortened(fit.unused)}: {other}'
        )
    groups = [
        [(len(group['params']), sorted(group.keys() - {'initial_lr'})) for group in groups]
        for groups in (
            checkpoint['optimizer']['param_groups'],
            runner.optim_wrapper.state_dict()['param_groups'],
        )
    ]
    if groups[0] != groups[1]:
        raise ValueError(
            f'{path} was written with another optimizer, or other groups of parameters, than '
            f'optim_wrapper makes: {other}'
        )
    found = differences(run.cfg, checkpoint.get('meta', {}).get('cfg', ''))
    kept = {name: pair for name, pair in found.items() if name.startswith(IN_FORCE)}
    others = {name: pair for name, pair in found.items() if name not in kept}
    doubts = []
    for unit, limit in (('iter', 'max_iters'), ('epoch', 'max_epochs')):
        done, wanted = checkpoint.get('meta', {}).get(unit, 0), run.cfg.train_cfg.get(limit)
        if wanted and done >= wanted:
            doubts.append(
                f'{path} is of {unit} {done} of {wanted}: nothing is left to train, unless '
                f'train_cfg.{limit} is raised'
            )
    if kept:
        doubts.append(
            f'rate and schedule of the checkpoint stay in force, not {_shown(kept)}: {other}'
        )
    texts = [*doubts, *([f'changed since: {_shown(others)}'] if others else [])]
    if doubts:
        raise Doubtful('; '.join(texts))
    return '; '.join(texts) or 'its settings are those of the checkpoint'
