"""The web page in a real browser, as a user clicks."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import pytest

from artnet_mm.data_making.motion_clips import CLASSES, motion_clip
from artnet_mm.inference.recognizer import load_recognizer
from artnet_mm.inference.web import build_page, check_length

from ..helpers import ROOT, free_port, run_tool

HAS_GRADIO = importlib.util.find_spec('gradio') is not None
TOY = ROOT / 'configs/artnet_r18_d_toy.py'


def write_h264(path: Path, num_frames: int) -> Path:
    """A clip that a browser can play."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 86, 64, 'yuv420p'
        for image in motion_clip(CLASSES.index('bouncing'), 7, num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def test_lists_of_other_files_are_not_opened(tmp_path):
    write_h264(tmp_path / 'private.mp4', 30)
    (tmp_path / 'list.m3u8').write_text(
        '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nprivate.mp4\n#EXT-X-ENDLIST\n'
    )
    (tmp_path / 'list.mp4').write_text('ffconcat version 1.0\nfile private.mp4\n')
    check_length(str(tmp_path / 'private.mp4'), 10)
    for name in ('list.m3u8', 'list.mp4'):
        with pytest.raises(ValueError, match='cannot be opened as a video'):
            check_length(str(tmp_path / name), 10)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What the page may fill."""
    return tmp_path_factory.mktemp('temporary')


@pytest.fixture(scope='module')
def address(folder):
    """The page of the tool as it runs, by default with the toy network."""
    if not HAS_GRADIO:
        pytest.skip('gradio is not installed')
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, ROOT / 'tools/web_demo.py', '--port', port, '--max-seconds', '10',
         '--max-megabytes', '0.5', '--device', 'cpu'],
        env={**os.environ, 'TMPDIR': str(folder)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    for line in process.stdout:
        if f'http://127.0.0.1:{port}' in line:
            break
    yield f'http://127.0.0.1:{port}'
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert [*folder.glob('artnet_mm_*')] == []  # nothing is left


@pytest.fixture(scope='module')
def browser():
    if not importlib.util.find_spec('playwright'):
        pytest.skip('playwright is not installed')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if not chromium:
        pytest.skip('chromium is not installed')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=['--no-sandbox', '--disable-gpu', '--use-fake-ui-for-media-stream',
                  '--use-fake-device-for-media-stream'],
        )  # fmt: skip
        yield started
        started.close()


@pytest.fixture
def tab(browser, address):
    opened = browser.new_page(viewport={'width': 1100, 'height': 1250})
    opened.set_default_timeout(180_000)  # with other loads beside it
    opened.goto(address)
    yield opened
    opened.close()


def ask(tab):
    tab.get_by_role('button', name='What happens here?').click()


def uploaded(tab):
    tab.wait_for_function('document.querySelector("video")?.src.includes("/file=")')


def drop(tab, path):
    tab.set_input_files('input[type=file]', path)
    uploaded(tab)


def test_a_dropped_clip_is_answered_by_classes_timeline_and_film(tab, folder, tmp_path):
    drop(tab, write_h264(tmp_path / 'clip.mp4', 48))
    ask(tab)
    tab.get_by_test_id('label-output-value').get_by_text('bouncing').wait_for()
    shares = [int(share) for share in re.findall(r'(\d+)%', tab.inner_text('body'))]
    assert len(shares) == 5 and shares == sorted(shares, reverse=True) and shares[0] > 50
    timeline = tab.locator('img[src^="data:image/webp"]')
    assert timeline.evaluate('e => e.naturalWidth') > 300
    film = tab.locator('video').nth(1)
    film.wait_for()
    tab.wait_for_function('document.querySelectorAll("video")[1].currentTime > 0.5')
    assert film.evaluate('e => [e.videoWidth, e.videoHeight]') == [5 * 168, 2 * 186]
    assert tab.locator('.toast-body').count() == 0
    assert len([*folder.glob('artnet_mm_*/*/*.mp4')]) == 2  # all that it wrote is in its folder


def test_a_recorded_clip_is_answered(tab):
    tab.get_by_label('Capture from camera').click()
    tab.get_by_text('Click to Access Webcam').click()
    record = tab.get_by_role('button', name='start recording')
    record.get_by_text('Record').click()
    record.get_by_text('Stop').wait_for()
    tab.wait_for_timeout(1500)
    record.click()
    uploaded(tab)
    ask(tab)
    tab.get_by_test_id('label-output-value').wait_for()
    tab.wait_for_function('document.querySelectorAll("video")[1].videoWidth > 0')


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda p: write_h264(p, 275), 'the video lasts 11 s; at most 10 are taken'),
        (lambda p: p.write_bytes(b'no video' * 99), 'the file cannot be'),
    ],
)
def test_what_cannot_be_answered_is_told(make, message, tab, folder, tmp_path):
    make(tmp_path / 'clip.mp4')
    drop(tab, tmp_path / 'clip.mp4')
    ask(tab)
    tab.locator('.toast-body').get_by_text(message).wait_for()
    assert str(folder) not in tab.inner_text('body')


def test_a_file_that_is_too_large_is_not_taken(tab, folder, tmp_path):
    (tmp_path / 'large.mp4').write_bytes(bytes(600_000))
    tab.set_input_files('input[type=file]', tmp_path / 'large.mp4')
    tab.get_by_text('exceed the maximum allowed size of 512.0 Kb').first.wait_for()
    assert not [*folder.glob('**/large.mp4')]


def test_a_click_without_a_video_says_what_to_do(tab):
    ask(tab)
    tab.locator('.toast-body').get_by_text('drop a video first, or record one').wait_for()


def test_the_page_is_for_this_machine_alone(address):
    port = int(address.rsplit(':', 1)[1])
    lines = Path('/proc/net/tcp').read_text().splitlines()[1:]
    listening = {line.split()[1] for line in lines if line.split()[3] == '0A'}
    assert [of for of in listening if of.endswith(f':{port:04X}')] == [f'0100007F:{port:04X}']


@pytest.mark.skipif(not HAS_GRADIO, reason='gradio is not installed')
def test_uploads_are_deleted_after_their_time(tmp_path, monkeypatch):
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'kept'))
    model, names = load_recognizer(TOY, 'artnet://artnet_r18_d_toy', 'cpu')
    page = build_page(model, names, 'toy', 60, 50, keep_seconds=2)
    _, url, _ = page.launch(server_name='127.0.0.1', prevent_thread_lock=True, quiet=True)
    body = (
        '--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n'
        'Content-Type: video/mp4\r\n\r\nabc\r\n--x--\r\n'
    )
    kind = {'Content-Type': 'multipart/form-data; boundary=x'}
    upload = urllib.request.Request(f'{url}gradio_api/upload', body.encode(), kind)
    urllib.request.urlopen(upload).close()
    assert [*tmp_path.rglob('a.mp4')]
    deadline = time.monotonic() + 180
    while [*tmp_path.rglob('a.mp4')] and time.monotonic() < deadline:
        time.sleep(0.5)
    page.close()
    assert not [*tmp_path.rglob('a.mp4')]


@pytest.mark.skipif(HAS_GRADIO, reason='gradio is installed')
def test_what_to_install_is_told():
    result = run_tool('web_demo.py', '--device', 'cpu', check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: No module named 'gradio': pip install gradio"
