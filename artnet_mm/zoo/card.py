"""Model cards: what a published checkpoint is, in Markdown with the header that hubs read."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import dump

PAPER = 'https://arxiv.org/abs/1711.09125'


def _value(node: ast.expr) -> Any:
    """Plain data in the text of a config, in which MMEngine writes dicts as calls."""
    infinite = re.fullmatch(r"float\('(-?inf)'\)", ast.unparse(node))
    if infinite:
        return float(infinite[1])
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict' or node.args:
            raise ValueError(f'{ast.unparse(node)} is no plain data')
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f'{ast.unparse(node)} is no plain data')
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(k): _value(v) for k, v in zip(node.keys, node.values) if k is not None}
    return ast.literal_eval(node)


def settings_of(text: str) -> dict:
    """The settings in the text of a config, of which nothing is executed.

    Raises:
        ValueError: If it is more than names and plain data.
    """
    settings = {}
    try:
        for line in ast.parse(text).body:
            if not (isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)):
                raise ValueError(f'{ast.unparse(line)} is no setting')
            settings[line.targets[0].id] = _value(line.value)
    except (SyntaxError, RecursionError, TypeError) as error:
        raise ValueError(f'a config that cannot be read: {error}') from None
    if settings and not isinstance(settings.get('model'), dict):
        raise ValueError('a config without a model')
    return settings


def _last(checkpoint: Mapping, key: str) -> float | None:
    """The last value of a scalar in the history that a run keeps in its checkpoints."""
    history: Any = ((checkpoint.get('message_hub') or {}).get('log_scalars') or {}).get(key)
    values = list(history.data[0]) if history is not None else []
    return float(values[-1]) if values else None


def _facts(cfg: dict) -> list[tuple[str, Any]]:
    """What a config says of network, data and recipe, where it says it."""
    model, loader = cfg.get('model') or {}, cfg.get('train_dataloader') or {}
    dataset, optim = loader.get('dataset') or {}, cfg.get('optim_wrapper') or {}
    backbone, head = model.get('backbone') or {}, model.get('cls_head') or {}
    plain = (bool, int, float, str)
    sampler: dict = next((s for s in cfg.get('train_pipeline') or () if 'clip_len' in s), {})
    optimizer = optim.get('optimizer') or {}
    return [
        ('network', ', '.join(f'{k}={v}' for k, v in backbone.items() if isinstance(v, plain))),
        ('classes', head.get('num_classes')),
        ('clips', ', '.join(f'{k}={v}' for k, v in sampler.items() if k != 'type')),
        ('training list', dataset.get('ann_file')),
        ('batch of a process', loader.get('batch_size')),
        ('optimizer', ', '.join(f'{k}={v}' for k, v in optimizer.items())),
        ('started from', cfg.get('load_from')),
    ]


def card_of(checkpoint: Mapping, settings: dict | None, name: str, published: Path) -> str:
    """The card of a checkpoint.

    Args:
        checkpoint (Mapping): Of a run, as MMEngine writes it.
        settings (dict, optional): Those of its config, which is published beside it.
        name (str): Of the model.
        published (Path): File of the weights; the config has the same name with ``.py``.

    Returns:
        str: Markdown; what is not known is left out.
    """
    meta = checkpoint.get('meta') or {}
    classes = (meta.get('dataset_meta') or {}).get('classes') or ()
    facts = [*_facts(settings or {}), ('iterations', meta.get('iter'))]
    facts = [(key, value) for key, value in facts if value not in (None, '')]
    if splits := meta.get('trained_on'):
        facts.append(('splits trained on', ', '.join(f'{d} {s}' for d, s in splits)))
    top1, top5 = (_last(checkpoint, f'val/acc/{key}') for key in ('top1', 'top5'))
    header = dict(library_name='mmaction2', pipeline_tag='video-classification', tags=['artnet_mm'])
    text = f'---\n{dump(header, file_format="yaml", sort_keys=False)}---\n\n# {name}\n\n'
    text += f'A recognizer of videos, trained with artnet_mm ({PAPER}), a plugin of MMAction2.\n\n'
    table = ''.join(f'| {key} | {value} |\n' for key, value in facts)
    text += f'| what | |\n| --- | --- |\n{table}\n' if facts else ''
    # A checkpoint is written before the validation of its iteration, which may be in none.
    hub: Any = checkpoint.get('message_hub') or {}
    validated = (hub.get('runtime_info') or {}).get('iter_of_last_validation')
    if validated is not None and top1 is not None and top5 is not None:
        text += (
            f'Validation at iteration {validated}, by the views of the config: top-1 '
            f'{100 * top1:.1f}%, top-5 {100 * top5:.1f}%.\n\n'
        )
    config = published.with_suffix('.py').name if settings else 'the config it was trained with'
    text += '## How to load it\n\n```python\nimport artnet_mm\nfrom mmaction.apis import '
    text += (
        f"init_recognizer\n\nmodel = init_recognizer('{config}', '{published.name}', device='cpu')"
    )
    text += "  # or 'cuda:0'\n```\n"
    if classes:
        text += '\n## Classes\n\n' + ''.join(f'{n}. {c}\n' for n, c in enumerate(classes))
    return text
