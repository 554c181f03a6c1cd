"""MMAction2's own tools, which come with its package, on the configs of this project."""

import json
import pickle
import re
import runpy
from pathlib import Path

import mmaction
import pytest
import torch
from mmaction.apis import MMAction2Inferencer, init_recognizer
from mmaction.utils import GradCAM
from mmengine.config import Config

from artnet_mm.evaluation.cost import count

from ..helpers import ROOT, as_arguments, example, run_tool, settled_toy, tiny_options

TOOLS = Path(mmaction.__file__).parent / '.mim/tools'
TOY = ROOT / 'configs/artnet_r18_d_toy.py'

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason='mmaction2 was installed without tools')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'toy.pth'
    torch.save(dict(state_dict=settled_toy().state_dict()), path)
    return path


@pytest.mark.parametrize(
    'name, shape',
    [
        ('artnet_r18_d_kinetics', (1, 3, 16, 112, 112)),
        ('artnet_r18_d_kinetics_flow', (1, 2, 16, 112, 112)),
        ('r2plus1d_r34_kinetics', (1, 3, 16, 112, 112)),
        ('tsn_r50_kinetics', (1, 3, 112, 112)),
    ],
)
def test_get_flops_counts_what_the_model_zoo_says(name, shape):
    config = ROOT / f'configs/{name}.py'
    said = run_tool(TOOLS / 'analysis_tools/get_flops.py', config, '--shape', *shape).stdout
    counted = count(Config.fromfile(config))
    flops, unit = re.search(r'Flops: ([\d.]+)([GT])', said).groups()
    assert float(flops) * {'G': 1e9, 'T': 1e12}[unit] == pytest.approx(counted['FLOPs'], rel=0.01)
    params = re.search(r'Params: ([\d.]+)M', said)[1]
    assert float(params) * 1e6 == pytest.approx(counted['Parameters'], rel=0.01)


def test_confusion_matrix_and_metrics_of_a_checkpoint_and_a_dump(checkpoint, clips, tmp_path):
    options = as_arguments(tiny_options(clips, num_clips=1))
    dump, out = tmp_path / 'scores.pkl', tmp_path / 'cm.pkl'
    words = ['--work-dir', tmp_path, '--dump', dump, '--cfg-options', *options]
    run_tool('test.py', TOY, checkpoint, *words)
    matrices = []
    for source in (checkpoint, dump):
        words = [TOY, source, '--out', out, '--cfg-options', *options]
        run_tool(TOOLS / 'analysis_tools/confusion_matrix.py', *words)
        matrices.append(torch.as_tensor(pickle.loads(out.read_bytes())))
    videos = len((clips / 'val_list_videos.txt').read_text().splitlines())
    assert matrices[0].shape == (10, 10)
    assert matrices[0].sum() == videos
    assert torch.equal(*matrices)
    said = run_tool(TOOLS / 'analysis_tools/eval_metric.py', TOY, dump).stdout
    top1 = float(re.search(r"'acc/top1': (?:np.float64\()?([\d.]+)", said)[1])
    assert top1 == pytest.approx(float(matrices[0].trace()) / videos)


def test_grad_cam_by_a_pipeline_of_mmaction2_s_steps(checkpoint, clips, tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    config = example('stock pipeline').replace('artnet_r18_d_kinetics', 'artnet_r18_d_toy')
    config = config.replace('(170, 128)', '(86, 64)').replace('112', '56')
    (tmp_path / 'mine.py').write_text(config)
    model = init_recognizer(Config.fromfile(tmp_path / 'mine.py'), str(checkpoint), device='cpu')
    video = str(next((clips / 'videos_val').glob('*.mp4')))
    inputs = runpy.run_path(str(TOOLS / 'visualizations/vis_cam.py'))['build_inputs'](model, video)
    pictures, scores = GradCAM(model, 'backbone/stages/3/1')(inputs)
    assert pictures.shape == (1, 16, 56, 56, 3)
    assert scores.shape == (1, 10)
    assert pictures.std() > 0.01


def test_the_inferencer_finds_models_by_name(checkpoint, clips):
    video = str(next((clips / 'videos_val').glob('*.mp4')))
    answers = []
    for rec in ('artnet_r18_d_toy', str(TOY)):
        inferencer = MMAction2Inferencer(rec=rec, rec_weights=str(checkpoint), device='cpu')
        answers.append(json.dumps(inferencer(video)['predictions']))
    assert answers[0] == answers[1]
    with pytest.raises(ValueError, match='Cannot find model: no_such'):
        MMAction2Inferencer(rec='no_such', device='cpu')
