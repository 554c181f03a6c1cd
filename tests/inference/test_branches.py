"""What branches see: exact parts of a unit's output, still and moving videos, and the page."""

import base64
import re
import shutil
import subprocess

import av
import matplotlib.image
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from artnet_mm.data_making.motion_clips import CLASSES, motion_clip, texture
from artnet_mm.inference.branches import (
    by_stage,
    contributions,
    glance,
    grad_cam,
    look,
    smart_units,
    weight_shares,
)
from artnet_mm.inference.recognizer import load_recognizer, scores_of
from artnet_mm.models import ARTNet, SMARTConv3d, switch_to_deploy

from ..helpers import ROOT, run_tool

TOY, WEIGHTS = ROOT / 'configs/artnet_r18_d_toy.py', 'artnet://artnet_r18_d_toy'


@pytest.fixture
def model():
    return load_recognizer(TOY, WEIGHTS, 'cpu')[0]


def view_of(model, clip):
    return model.data_preprocessor.normalise(torch.from_numpy(clip).permute(3, 0, 1, 2)[None])


def background(seed):
    return texture(np.random.RandomState(seed), 56)[None].repeat(16, 0)


def moving_patch():
    """A still texture over which a square of another one moves."""
    clip = background(5)
    patch = texture(np.random.RandomState(6), 56)[20:36, 10:26]
    for t in range(16):
        clip[t, 20:36, 10 + t : 26 + t] = patch
    return clip


@pytest.mark.parametrize('max_response', [None, 1.0])
def test_both_contributions_and_the_bias_are_the_output_of_a_unit(max_response):
    torch.manual_seed(0)
    unit = SMARTConv3d(3, 8, 3, padding=1, max_response=max_response).double().eval()
    unit.pool_norm.running_mean.uniform_()
    x = torch.randn(2, 3, 4, 6, 6).double()
    appearance, relation = contributions(unit, x)
    bias = unit.reduction.bias.view(-1, 1, 1, 1)
    torch.testing.assert_close(appearance + relation + bias, unit(x))
    # each by a unit without the other
    with torch.no_grad():
        unit.reduction.weight[:, 8:] = 0
    torch.testing.assert_close(appearance + bias, unit(x))


def test_shares_of_the_weights_by_hand(model):
    shares = weight_shares(model.backbone)
    assert list(shares)[:2] == ['stem', 'stages.0.0.conv2'] and len(shares) == 7
    weight = model.backbone.stages[1][0].conv2.reduction.weight.detach().flatten(1).numpy()
    assert weight.shape == (16, 24)
    appearance, relation = np.linalg.norm(weight[:, :16]), np.linalg.norm(weight[:, 16:])
    assert shares['stages.1.0.conv2'] == pytest.approx(relation / (appearance + relation))


def test_in_a_still_video_all_frames_have_the_same_relation(model):
    maps, _ = look(model, view_of(model, background(5)))
    stem = maps[0]
    assert stem.name == stem.stage == 'stem' and stem.relation.shape == (8, 28, 28)
    inner = stem.relation[1:]  # the first frame sees the padding before it
    torch.testing.assert_close(inner, inner[:1].expand_as(inner))
    torch.testing.assert_close(stem.appearance, stem.appearance[:1].expand(8, -1, -1))


def test_what_moves_changes_relation_where_it_moves_and_nowhere_else(model):
    clip = moving_patch()
    still, _ = look(model, view_of(model, background(5)))
    moving, _ = look(model, view_of(model, clip))
    change = (moving[0].relation - still[0].relation).abs()
    # the stem's 7 x 7 kernels at stride 2 reach 3 pixels far: rows 17 to 39, columns 7 to 44
    outside = torch.ones(28, 28, dtype=torch.bool)
    outside[8:20, 3:23] = False
    assert change[:, outside].max() == 0
    assert change[:, 11:17, 8:12].mean() > 0.1 * still[0].relation.mean()


def test_motion_raises_relation_more_than_appearance_in_the_trained_network(model):
    """Moving textures beside their own first frames, standing still."""
    growths: dict[str, list] = {}
    for seed in range(10):
        moving = motion_clip(0, seed, 16, (56, 56), pace=2)
        still = moving[:1].repeat(16, 0)
        stages = [by_stage(look(model, view_of(model, clip))[0]) for clip in (moving, still)]
        for stage in stages[0]:
            parts = zip(*(seen[stage] for seen in stages))
            growths.setdefault(stage, []).append([float(m.mean() / s.mean()) for m, s in parts])
    assert list(growths) == ['stem', 'stages.0', 'stages.1', 'stages.2']
    for growth in map(np.array, growths.values()):
        appearance, relation = np.median(growth, axis=0)
        assert relation > 1.2 * appearance and relation > 1.2
        assert (growth[:, 1] > growth[:, 0]).sum() >= 8


def test_grad_cam_is_the_classifier_on_every_place(model):
    """Behind an average pool the gradient is the weight of the class."""
    label = CLASSES.index('shaking')
    view = view_of(model, motion_clip(label, seed=77, num_frames=16, size=(56, 56), pace=2))
    with torch.no_grad():
        maps = model.backbone(view)[0]
    cam = torch.einsum('c,cthw->thw', model.cls_head.fc_cls.weight[label].detach(), maps).relu()
    torch.testing.assert_close(grad_cam(model, view, label), cam / cam.max(), rtol=1e-4, atol=1e-5)


def test_a_randomised_network_gives_other_maps(model):
    """The sanity check of Adebayo and others (2018)."""
    label = CLASSES.index('up')
    view = view_of(model, motion_clip(label, seed=78, num_frames=16, size=(56, 56), pace=2))
    seen = [look(model, view)[0][4].relation.flatten()]
    torch.manual_seed(1)
    for parameter in model.backbone.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter[torch.randperm(len(parameter))]
    seen.append(look(model, view)[0][4].relation.flatten())
    assert torch.corrcoef(torch.stack(seen))[0, 1] < 0.5


def test_networks_without_units_or_in_deploy_form_are_refused(model):
    with pytest.raises(ValueError, match='no SMART units'):
        smart_units(ARTNet(arch='c3d', base_channels=8))
    with pytest.raises(ValueError, match='deploy form: load it as it was trained'):
        smart_units(switch_to_deploy(model).backbone)


def test_a_head_that_joins_clips_answers_by_class_too(clips):
    cfg = Config.fromfile(ROOT / 'configs/artnet_r18_d_lstm_kinetics.py', format_python_code=False)
    cfg.model.backbone.update(base_channels=8, max_response=1)  # of untrained weights
    cfg.model.cls_head.update(in_channels=64, num_classes=20)
    cfg.model.data_preprocessor.crop_size = 56
    model = MODELS.build(cfg.model).eval()
    model.cfg = cfg
    seen = glance(model, sorted((clips / 'videos_val').glob('*.mp4'))[0])
    assert seen.scores.shape == (20,)
    torch.testing.assert_close(seen.scores, scores_of(model, seen.view)[0].detach())
    maps = model.backbone(seen.view).detach().requires_grad_()
    score = model.cls_head.classify(maps.mean((2, 3, 4)).unsqueeze(1))[0, 7]
    weight = torch.autograd.grad(score, maps)[0].mean((2, 3, 4), keepdim=True)
    expected = (weight * maps).sum(1)[0].relu().detach()
    torch.testing.assert_close(grad_cam(model, seen.view, 7), expected / expected.max())


@pytest.fixture(scope='module')
def page(clips, tmp_path_factory):
    video = sorted((clips / 'videos_val').glob('shaking*.mp4'))[0]
    folder = tmp_path_factory.mktemp('page')
    run_tool('branches.py', TOY, WEIGHTS, video, '--out-dir', folder, '--class', 'zoom in')
    return folder / f'{video.stem}_branches.html'


def test_the_page_holds_film_curves_shares_and_filters(page):
    text = page.read_text()
    assert text.count('<tr>') == 5 and 'Grad-CAM of the class <b>zoom in</b>' in text
    kinds = re.findall(r'data:(\S+?);base64,([\w+/=]+)', text)
    assert [kind for kind, _ in kinds] == ['video/mp4', 'image/png', 'image/png', 'image/gif']
    film, _, _, filters = (base64.b64decode(data) for _, data in kinds)
    assert film == page.with_suffix('.mp4').read_bytes()
    with av.open(str(page.with_suffix('.mp4'))) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(frames) == 16 and frames[0].shape == (2 * 186, 5 * 168, 3)
    # relation and appearance of every stage, and the clip with what is laid over it, all move
    for row in range(2):
        for column in range(5):
            tiles = [
                f[row * 186 + 20 : row * 186 + 180, column * 168 : column * 168 + 160].astype(int)
                for f in (frames[2], frames[9])
            ]
            assert tiles[0].std() > 2
            assert (row, column) == (0, 0) or np.abs(tiles[0] - tiles[1]).mean() > 0.5
    assert filters[:6] == b'GIF89a'


def test_the_page_shows_in_a_browser(page, tmp_path):
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if not chromium:
        pytest.skip('chromium is not installed')
    picture = tmp_path / 'page.png'
    subprocess.run(
        [chromium, '--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=3000',
         '--window-size=1000,1900', f'--screenshot={picture}', page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    shown = matplotlib.image.imread(picture)[..., :3]
    assert shown.shape == (1900, 1000, 3)
    film = shown[380:720, :850]  # of colours, not of black and white alone
    assert (film.max(-1) - film.min(-1)).mean() > 0.1


@pytest.mark.parametrize(
    'options, message',
    [
        (['--class', 'flying'], "there is no class 'flying'; there are up, down"),
        (['--start', '60'], ': 60 s is not within'),
        (['--cfg-options', 'model.backbone.arch=c3d'], 'do not match exactly'),
    ],
)
def test_the_tool_says_what_cannot_be(options, message, clips, tmp_path):
    video = sorted((clips / 'videos_val').glob('*.mp4'))[0]
    command = ['branches.py', TOY, WEIGHTS, video, '--out-dir', tmp_path, *options]
    result = run_tool(*command, check=False)
    assert result.returncode == 1 and message in result.stderr
    assert not [*tmp_path.iterdir()]
