"""artnet:// names, against a real server on the loopback address."""

import hashlib
import io
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmaction.apis import MMAction2Inferencer, init_recognizer
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint

from artnet_mm.zoo import hub

from ..helpers import ROOT, as_arguments, run_tool, tiny_config, tiny_options
from ..servers import NOW, FileServer, make_certificate, start_fetching
from .caffe_files import messages, random_blobs, released_layers

C3D = '112_c3d_resnet_18_kinetics.caffemodel'
FILES = {
    'artnet_r18_d_kinetics': '112_artnet_resnet_18_kinetics.caffemodel',
    'artnet_r18_d_tsn_kinetics': '112_artnet_tsn_resnet_18_kinetics.caffemodel',
    'c3d_r18_kinetics': C3D,
}


def saved(**content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


WEIGHTS, OTHER = (saved(state_dict=dict(w=torch.full((100_000,), value))) for value in (1.0, 2.0))
SIZE = len(WEIGHTS)  # 401 kB


def caffemodel(smart: bool = False, seed: int = 0) -> bytes:
    """A released network with 4 base channels and 5 classes."""
    rows = list(released_layers(smart, width=4, classes=5))
    return b''.join(messages(rows, random_blobs(rows, seed)))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no mirror."""
    monkeypatch.setenv('ARTNET_MM_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1,localhost')
    monkeypatch.delenv('ARTNET_MM_MIRROR', raising=False)
    return tmp_path / 'cache'


@pytest.fixture
def server(cache, monkeypatch):
    """The mirror."""
    with FileServer() as server:
        monkeypatch.setenv('ARTNET_MM_MIRROR', server.url)
        yield server


@pytest.fixture
def net(server):
    server.files['net.pth'] = WEIGHTS
    return server


@pytest.fixture
def by_hand(cache):
    """The C3D file, put into the cache."""
    cache.mkdir()
    (cache / C3D).write_bytes(caffemodel())
    return cache / C3D


@pytest.fixture
def logged():
    """What MMEngine's logger was told."""
    handler = logging.StreamHandler(io.StringIO())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield handler.stream.getvalue
    logger.removeHandler(handler)


def test_a_name_is_downloaded_once_with_its_progress_and_then_needs_no_server(net, cache, capfd):
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint('artnet://net', map_location='cpu')
        assert loaded['state_dict']['w'].sum() == 100_000
        net.stop()
    assert net.answers == [[None, 200, SIZE]]
    progress = capfd.readouterr().err
    assert all(part in progress for part in ('net.pth', '100%', '401.6/401.6 kB'))
    assert sorted(p.name for p in cache.iterdir()) == ['net.pth', 'net.pth.lock', 'net.pth.sha256']


@pytest.mark.parametrize(
    'settings, answers',  # after 150000 bytes
    [
        ({}, [['bytes=150000-', 206, SIZE - 150_000]]),
        (dict(headers={'ETag': None, 'Last-Modified': 'Fri, 31 Aug 2018 09:00:00 GMT'}),
         [['bytes=150000-', 206, SIZE - 150_000]]),
        (dict(cuts=[150_000, 50_000]),
         [['bytes=150000-', 206, 50_000], ['bytes=200000-', 206, SIZE - 200_000]]),
        (dict(ranges=False), [['bytes=150000-', 200, SIZE]]),
        (dict(part_from=100_000), [['bytes=150000-', 206, SIZE - 100_000], [None, 200, SIZE]]),
        # nothing, or nothing reliable, that tells a file from another
        (dict(headers={'ETag': None}), [[None, 200, SIZE]]),
        (dict(headers={'ETag': 'W/"1"'}), [[None, 200, SIZE]]),
        (dict(headers={'ETag': None, 'Last-Modified': NOW}), [[None, 200, SIZE]]),
    ],
)  # fmt: skip
def test_a_download_that_is_cut_is_resumed_where_that_is_safe(net, settings, answers, capfd):
    vars(net).update({'cuts': [150_000], **settings})
    assert hub.fetch('net').read_bytes() == WEIGHTS
    assert net.answers == [[None, 200, 150_000], *answers]
    assert capfd.readouterr().err.count('100%') == 1  # the last bar counts what was there


@pytest.mark.parametrize(
    'then, answer',
    [
        ('the same', ['bytes=100000-', 206, SIZE - 100_000]),
        ('another file', ['bytes=100000-', 200, SIZE]),
        ('another mirror', [None, 200, SIZE]),
    ],
)
def test_a_part_that_was_left_is_continued_with_the_same_file_only(
    net, cache, monkeypatch, then, answer
):
    net.cuts = [100_000, 0, 0]
    with pytest.raises(ConnectionError, match=f'it ended after 100000 of {SIZE} bytes'):
        hub.fetch('net')
    net.files['net.pth'] = OTHER if then == 'another file' else WEIGHTS
    if then == 'another mirror':
        monkeypatch.setenv('ARTNET_MM_MIRROR', net.url.replace('127.0.0.1', 'localhost'))
    assert hub.fetch('net').read_bytes() == net.files['net.pth']
    assert net.answers[3:] == [answer]
    assert not list(cache.glob('*part*'))


def test_a_part_of_unknown_version_is_not_taken_for_the_version_before_it(net):
    for data, headers in ((WEIGHTS, {}), (OTHER, {'ETag': None})):
        net.files['net.pth'], net.headers, net.cuts = data, headers, [100_000, 100_000, 100_000]
        net.ranges = False
        with pytest.raises(ConnectionError):
            hub.fetch('net')
    net.files['net.pth'], net.headers, net.ranges = WEIGHTS, {}, True
    assert hub.fetch('net').read_bytes() == WEIGHTS


def test_a_wrong_content_length_is_found_out(net, cache):
    net.length_error = 10
    with pytest.raises(ConnectionError, match=f'it ended after {SIZE} of {SIZE + 10} bytes'):
        hub.fetch('net')
    assert [status for _, status, _ in net.answers] == [200, 416, 200]
    net.length_error = -10
    with pytest.raises(ValueError, match=r'net\.pth\.part is cut short'):
        hub.fetch('net')
    assert [p.name for p in cache.iterdir()] == ['net.pth.lock']
    net.length_error = 0
    assert hub.fetch('net').read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    'settings, reason',
    [
        (dict(status=404), 'HTTP Error 404'),
        (dict(status=416), 'HTTP Error 416'),
        (dict(status=500), 'HTTP Error 500'),
        (dict(headers={'Content-Type': 'text/html; charset=utf-8'}), 'an HTML page'),
        (dict(stall_after=100_000), 'timed out'),
        (dict(delay=1), 'timed out'),
        (dict(stop=True), 'Connection refused'),
    ],
)
@pytest.mark.parametrize('name, file', [('net', 'net.pth'), ('c3d_r18_kinetics', C3D)])
def test_a_server_that_fails_is_named_with_the_way_around_it(
    net, cache, settings, reason, name, file
):
    net.files[C3D] = caffemodel()
    net.stop() if 'stop' in settings else vars(net).update(settings)
    start = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        hub.fetch(name, timeout=0.2)
    assert time.monotonic() - start < 4
    for part in (f'{net.url}/{file}', reason, f'put the file at {cache / file} by hand'):
        assert part in str(error.value)
    assert ('tools/convert_caffe.py IN OUT' in str(error.value)) == (file == C3D)
    assert not (cache / file).exists()


def test_what_is_no_checkpoint_is_refused_and_nothing_in_it_is_executed(net, cache, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/canary',)

    page = b'<html>no such file</html>'
    net.files = {'page.pth': page, C3D: page, 'net.pth': saved(state_dict=Hostile())}
    for name, file in (('net', 'net.pth'), ('page', 'page.pth'), ('c3d_r18_kinetics', C3D)):
        with pytest.raises(ValueError, match=rf'{net.url}/{file} gave no checkpoint: .* by hand'):
            hub.fetch(name)
    assert all(path.suffix == '.lock' for path in cache.iterdir())
    assert not (tmp_path / 'canary').exists()


def test_https_is_not_led_to_plain_http(net, tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    with FileServer(certificate) as secure:
        secure.files = {'own.pth': WEIGHTS, 'net.pth': b''}
        monkeypatch.setenv('ARTNET_MM_MIRROR', secure.url)
        hub.fetch('own')
        secure.status, secure.headers['Location'] = 302, f'{net.url}/net.pth'
        with pytest.raises(ConnectionError, match=f'leads to {net.url}/net.pth, which is not'):
            hub.fetch('net')


def test_eight_processes_at_once_download_and_convert_once(server, cache):
    server.files[C3D], server.delay = caffemodel(), 0.1
    output, _ = start_fetching(8, 'c3d_r18_kinetics').communicate(timeout=100)
    converted = sha256((cache / 'c3d_r18_kinetics_released.pth').read_bytes())
    assert output.count(converted) == 8
    assert server.answers == [[None, 200, len(server.files[C3D])]]
    assert output.count('is converted to') == 1
    assert 1 <= output.count('another process fetches') <= 7  # each says so once


def test_a_slow_download_is_waited_for(net):
    net.delay = 0.25
    with ThreadPoolExecutor() as pool:
        first = pool.submit(hub.fetch, 'net')
        while not net.answers:
            time.sleep(0.02)
        start = time.monotonic()
        assert hub.fetch('net', timeout=0.1).read_bytes() == WEIGHTS
        assert time.monotonic() - start > 1.5
    assert first.result().read_bytes() == WEIGHTS
    assert net.answers == [[None, 200, SIZE]]


def test_a_process_that_stands_still_is_not_waited_for_and_one_that_died_leaves_its_part(
    net, cache
):
    net.stall_after, part = SIZE // 2, cache / 'net.pth.part'
    process = start_fetching(1, 'net')
    while not part.exists() or part.stat().st_size < SIZE // 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=rf'another process holds {cache}/net\.pth\.lock'):
        hub.fetch('net', timeout=0.05)
    assert 0.5 < time.monotonic() - start < 5

    process.kill()
    process.communicate()
    had, net.stall_after = part.stat().st_size, None
    assert hub.fetch('net').read_bytes() == WEIGHTS
    assert net.answers[1:] == [[f'bytes={had}-', 206, SIZE - had]]


def test_another_file_of_the_same_name_is_refused_until_its_record_is_deleted(net, cache):
    record = cache / 'net.pth.sha256'
    hub.fetch('net').unlink()
    assert record.read_text() == f'{sha256(WEIGHTS)}  net.pth\n'
    net.files['net.pth'] = OTHER
    with pytest.raises(ValueError) as error:
        hub.fetch('net')
    for part in (sha256(WEIGHTS), sha256(OTHER), f'to accept another, delete {record}', net.url):
        assert part in str(error.value)
    assert not (cache / 'net.pth').exists()
    record.unlink()
    assert hub.fetch('net').read_bytes() == OTHER


def test_the_hash_in_a_name_is_verified(net, cache):
    right, wrong = f'net-{sha256(WEIGHTS)[:8]}', 'net-0123abcd'
    net.files |= {f'{right}.pth': WEIGHTS, f'{wrong}.pth': WEIGHTS}
    assert hub.fetch(right).read_bytes() == WEIGHTS
    for _ in range(2):
        with pytest.raises(ValueError, match=f'{sha256(WEIGHTS)}, but its name says 0123abcd'):
            hub.fetch(wrong)
        (cache / f'{wrong}.pth').write_bytes(WEIGHTS)  # by hand
    assert not (cache / f'{wrong}.pth.sha256').exists()


def test_a_cached_file_that_changed_is_refused_without_a_request(net, cache):
    path = hub.fetch('net')
    path.write_bytes(OTHER)
    with pytest.raises(ValueError, match=f'{sha256(OTHER)}.* delete {path}, if it is there'):
        hub.fetch('net')
    assert len(net.answers) == 1
    path.unlink()
    assert hub.fetch('net').read_bytes() == WEIGHTS


def test_a_released_network_is_converted_once_and_has_two_names(server, cache, logged):
    server.files[C3D] = data = caffemodel()
    path = hub.fetch('c3d_r18_kinetics')
    assert path == cache / 'c3d_r18_kinetics_released.pth'
    server.stop()
    made, converted = path.stat().st_mtime_ns, sha256(path.read_bytes())
    assert hub.fetch('c3d_r18_kinetics_released') == path
    meta = CheckpointLoader.load_checkpoint('artnet://c3d_r18_kinetics')['meta']
    assert (meta['converted_from'], meta['sha256']) == (C3D, sha256(data))
    record = (cache / f'{path.name}.sha256').read_text().splitlines()
    assert record[1:] == [f'{converted}  {path.name}', f'{sha256(data)}  {C3D}']
    (cache / C3D).unlink()  # to save the space
    assert hub.fetch('c3d_r18_kinetics').stat().st_mtime_ns == made
    assert server.answers == [[None, 200, len(data)]]
    assert logged().count('reordered from BGR to RGB') == 1


@pytest.mark.parametrize('ending', ['', '_released'])
@pytest.mark.parametrize('name, file', FILES.items())
def test_a_file_put_into_the_cache_by_hand_needs_no_server(cache, name, file, ending):
    cache.mkdir()
    (cache / file).write_bytes(caffemodel(smart=file != C3D))
    meta = CheckpointLoader.load_checkpoint(f'artnet://{name}{ending}')['meta']
    assert meta['config'] == f'{name}_released'
    assert (cache / f'{file}.sha256').read_text() == f'{meta["sha256"]}  {file}\n'


def test_another_network_than_the_name_says_is_refused(by_hand):
    by_hand.write_bytes(caffemodel(smart=True))
    with pytest.raises(ValueError, match=f'{by_hand} is the network of artnet_r18_d_kinetics_rel'):
        hub.fetch('c3d_r18_kinetics')
    assert by_hand.exists()


@pytest.mark.parametrize('what', ['conversion', 'version', 'source'])
def test_a_conversion_that_is_not_of_this_source_and_version_is_made_again(by_hand, what):
    path = hub.fetch('c3d_r18_kinetics')
    before, record = torch.load(path)['state_dict'], Path(f'{path}.sha256')
    if what == 'conversion':
        path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    elif what == 'version':
        record.write_text(record.read_text().replace('artnet_mm ', 'artnet_mm 0.0.'))
    else:
        by_hand.write_bytes(caffemodel(seed=1))
        with pytest.raises(ValueError, match=f'delete {by_hand}'):
            hub.fetch('c3d_r18_kinetics')
        Path(f'{by_hand}.sha256').unlink()
    made = path.stat().st_mtime_ns
    assert hub.fetch('c3d_r18_kinetics').stat().st_mtime_ns > made
    after = torch.load(path)['state_dict']
    same = torch.equal(before['backbone.stem.weight'], after['backbone.stem.weight'])
    assert same == (what != 'source')


@pytest.mark.parametrize('name', ['', '.', '..', '.x', '../x', 'a/b', 'a\\b', 'a b', 'a\n', 'a?b'])
def test_a_name_that_is_none_is_refused(server, name):
    with pytest.raises(ValueError, match='a name has letters, digits'):
        hub.fetch(name)
    assert not server.answers


@pytest.mark.parametrize(
    'name, nearest',
    [('c3d_18', 'c3d_r18_kinetics'), ('artnet_r18_tsn_kinetics', 'artnet_r18_d_tsn_kinetics')],
)
def test_an_unknown_name_is_answered_with_the_known_ones_the_nearest_first(cache, name, nearest):
    with pytest.raises(ValueError, match=f'there is no artnet://{name}; there are {nearest}') as e:
        CheckpointLoader.load_checkpoint(f'artnet://{name}')
    assert all(known in str(e.value) for known in (*FILES, 'ARTNET_MM_MIRROR'))
    assert not cache.exists()


def test_a_mirror_may_be_a_folder_but_no_other_kind_of_address(cache, tmp_path, monkeypatch):
    folder = tmp_path / 'a zoo'
    folder.mkdir()
    (folder / 'net.pth').write_bytes(WEIGHTS)
    for mirror in (str(folder), f'{folder.as_uri()}/'):
        monkeypatch.setenv('ARTNET_MM_MIRROR', mirror)
        path = hub.fetch('net')
        assert path.read_bytes() == WEIGHTS
        path.unlink()
        with pytest.raises(ConnectionError, match=r'a%20zoo/other\.pth gave no .*No such file'):
            hub.fetch('other')
    monkeypatch.setenv('ARTNET_MM_MIRROR', 's3://zoo')
    with pytest.raises(ValueError, match='ARTNET_MM_MIRROR is s3://zoo: expected'):
        hub.fetch('net')


def test_the_cache_is_that_of_torch_hub_unless_said_otherwise(net, tmp_path, monkeypatch):
    monkeypatch.delenv('ARTNET_MM_HOME')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    assert hub.fetch('net') == tmp_path / 'torch/hub/checkpoints/net.pth'


def test_without_a_mirror_the_authors_server_is_asked_for_their_networks_only(cache):
    urls = {name: hub._place(name).url for name in (*FILES, 'net')}
    assert urls.pop('net') == ''
    server = 'http://mcg.nju.edu.cn/models/ARTNet'
    assert urls == {name: f'{server}/{file}' for name, file in FILES.items()}


def test_mmengine_and_mmaction2_take_a_name_for_a_checkpoint(by_hand):
    cfg = Config.fromfile(ROOT / 'configs/c3d_r18_kinetics.py')
    cfg.model.backbone.update(base_channels=4, shortcut_kernel=3)
    cfg.model.cls_head.update(num_classes=5, in_channels=32)
    name = 'artnet://c3d_r18_kinetics'
    expected = torch.load(hub.fetch('c3d_r18_kinetics'))['state_dict']
    inferencer = MMAction2Inferencer(rec=cfg, rec_weights=name, device='cpu')
    model = MODELS.build(cfg.model)
    load_checkpoint(model, name, strict=True)
    models = (model, init_recognizer(cfg, name, 'cpu'), inferencer.actionrecog_inferencer.model)
    for state in (model.state_dict() for model in models):
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_the_tools_take_a_name_for_a_checkpoint(clips, cache, tmp_path):
    model = MODELS.build(tiny_config('artnet_r18_d_toy', clips, tmp_path).model)
    weights = saved(state_dict=model.state_dict())
    name = f'toy-{sha256(weights)[:8]}'
    (tmp_path / f'{name}.pth').write_bytes(weights)
    (tmp_path / 'one.txt').write_text((clips / 'val_list_videos.txt').read_text().split('\n')[0])
    options = tiny_options(clips, num_clips=1)
    options['test_dataloader.dataset.ann_file'] = str(tmp_path / 'one.txt')
    result = run_tool(
        'test.py', ROOT / 'configs/artnet_r18_d_toy.py', f'artnet://{name}', '--work-dir', tmp_path,
        '--cfg-options', *as_arguments(options), ARTNET_MM_MIRROR=str(tmp_path),
    )  # fmt: skip
    assert 'tensors loaded; left as initialised: none; not used: none' in result.stdout
    assert (cache / f'{name}.pth').read_bytes() == weights
