"""Checkpoints by name: ``artnet://NAME``, downloaded once, verified and cached; and ``hf://``."""

import os
import re
import time
from difflib import SequenceMatcher
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import torch
from filelock import AcquireReturnProxy, FileLock, Timeout
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from rich.console import Console
from rich.progress import DownloadColumn, Progress

from .. import checkpoints
from ..files import sha256_of, write_whole
from ..version import __version__

PREFIX = 'artnet://'
HUGGING_FACE = 'hf://'
SERVER = 'http://mcg.nju.edu.cn/models/ARTNet'  # plain HTTP is all that the authors offer
RELEASED = {
    'artnet_r18_d_kinetics': '112_artnet_resnet_18_kinetics.caffemodel',
    'artnet_r18_d_tsn_kinetics': '112_artnet_tsn_resnet_18_kinetics.caffemodel',
    'c3d_r18_kinetics': '112_c3d_resnet_18_kinetics.caffemodel',
}
PACKAGED = Path(__file__).parent / 'weights'
"""Files ``NAME-HASH8.pth`` of the package: the toy network, as the demo trains it."""
TIMEOUT = 30.0  # seconds for a connection to open, and for each read from it
ATTEMPTS = 3  # of a download that breaks off; each resumes the one before


class _Place(NamedTuple):
    """Where a checkpoint comes from, and where it is kept."""

    name: str
    url: str  # empty where there is no server
    source: Path  # as downloaded
    checkpoint: Path  # the source, or what it was converted to

    def refusal(self, reason: object) -> str:
        way = f'You can put the file at {self.source} by hand'
        if self.source != self.checkpoint:
            way += ', or run python tools/convert_caffe.py IN OUT and name OUT instead'
        return f'artnet://{self.name}: {self.url} gave no checkpoint: {reason}. {way}'


def _place(name: str) -> _Place:
    if not re.fullmatch(r'[A-Za-z0-9_-][A-Za-z0-9._-]*', name):
        raise ValueError(f'artnet://{name}: a name has letters, digits and ._- only, no dot first')
    home = os.environ.get('ARTNET_MM_HOME')
    cache = Path(home).expanduser() if home else Path(torch.hub.get_dir(), 'checkpoints')
    mirror = os.environ.get('ARTNET_MM_MIRROR')
    if mirror and '://' not in mirror:
        mirror = Path(mirror).expanduser().resolve().as_uri()
    if mirror and not mirror.startswith(('http://', 'https://', 'file://')):
        raise ValueError(f'ARTNET_MM_MIRROR is {mirror}: expected http, https or a folder')

    network = name.removesuffix('_released')
    host = urlsplit(mirror or '').hostname
    plain = (mirror or '').startswith('http://') and host not in ('127.0.0.1', '::1', 'localhost')
    if plain and network not in RELEASED:
        raise ValueError(f"ARTNET_MM_MIRROR is {mirror}: plain http is for the authors' files only")
    file = checkpoint = f'{name}.pth'
    if network in RELEASED:
        file, checkpoint = RELEASED[network], f'{network}_released.pth'
        mirror = mirror or SERVER
    url = f'{mirror.rstrip("/")}/{file}' if mirror else ''
    return _Place(name, url, cache / file, cache / checkpoint)


def _beside(path: Path, ending: str) -> Path:
    return Path(f'{path}.{ending}')


def _read(path: Path) -> str:
    return path.read_text(encoding='utf-8') if path.exists() else ''


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _accept(file: Path, source: Path) -> None:
    """Compare a file with what is known of ``source``; record its hash if it is the first."""
    digest, record = sha256_of(file), _beside(source, 'sha256')
    stated, known = re.search(r'-([0-9a-f]{8})\.pth$', source.name), _read(record)[:64]
    wrong = None
    if stated and not digest.startswith(stated[1]):
        wrong = f'its name says {stated[1]}'
    elif known not in ('', digest):
        wrong = f'that of the first of this name was {known}: to accept another, delete {record}'
    if wrong:
        again = f'to download it again, delete {source}, if it is there'
        raise ValueError(f'the SHA-256 of {source.name} is {digest}, but {wrong}; {again}')
    if not known:
        write_whole(record, f'{digest}  {source.name}\n')


def _provenance(place: _Place) -> str:
    """What is recorded beside a converted file: its hash, and that of its source."""
    converted = f'{sha256_of(place.checkpoint)}  {place.checkpoint.name}\n'
    source = _read(_beside(place.source, 'sha256'))
    return f'# converted by artnet_mm {__version__}\n{converted}{source}'


def _is_ready(place: _Place) -> bool:
    """Whether the checkpoint is cached, as recorded; raises if its source is not as recorded."""
    if place.source.exists():
        if not _beside(place.source, 'sha256').exists():
            return False
        _accept(place.source, place.source)
    if place.checkpoint == place.source or not place.checkpoint.exists():
        return place.checkpoint.exists()
    return _read(_beside(place.checkpoint, 'sha256')) == _provenance(place)


def _alone(source: Path, timeout: float) -> AcquireReturnProxy:
    """Acquire the lock of a file, after its holder if that gets on with its download.

    The lock is the operating system's: a process that is killed gives it up. One that
    has stood still for ten times ``timeout`` is not waited for.
    """
    lock, part = FileLock(_beside(source, 'lock')), _beside(source, 'part')
    seen, since = None, time.monotonic()
    while True:
        try:
            return lock.acquire(timeout=min(0.2, timeout))
        except Timeout:
            if seen is None:
                print_log(f'another process fetches {source}: waiting for it', logger='current')
            if seen != _size(part):
                seen, since = _size(part), time.monotonic()
            elif time.monotonic() - since > 10 * timeout:
                raise TimeoutError(
                    f'another process holds {lock.lock_file}, but its download stands still: end '
                    'it and try again'
                ) from None


def _validator(headers: HTTPMessage) -> str | None:
    """What tells a version of a file from all others (RFC 9110, section 8.8)."""
    etag, modified = headers['ETag'], headers['Last-Modified']
    if etag and not etag.startswith('W/'):
        return etag
    # What was written in this very second may change within it.
    return modified if modified != headers['Date'] else None


def _receive(response: HTTPResponse, url: str, part: Path, have: int) -> object:
    """Write a response to ``part``, of which ``have`` bytes are there; why it broke off, if so."""
    origin = _beside(part, 'origin')
    if response.status != 206:
        have = 0
    elif not response.headers.get('Content-Range', '').startswith(f'bytes {have}-'):
        origin.unlink(missing_ok=True)
        return 'the server sent another part than it was asked for'
    length = response.headers['Content-Length']
    total = have + int(length) if length else None
    columns, console = Progress.get_default_columns(), Console(stderr=True)
    bar = Progress(*columns, DownloadColumn(), console=console)
    try:
        with bar, part.open('ab' if have else 'wb') as file:
            if not have:  # and so nothing is left of another file
                origin.unlink(missing_ok=True)
                if validator := _validator(response.headers):
                    write_whole(origin, f'{url}\n{validator}')
            task = bar.add_task(part.stem, total=total, completed=have)
            while block := response.read(1 << 16):
                file.write(block)
                bar.advance(task, len(block))
    except (OSError, HTTPException) as error:
        return error
    got = _size(part)
    return None if total in (None, got) else f'it ended after {got} of {total} bytes'


def _download(place: _Place, timeout: float) -> Path:
    """Download the source to ``*.part``, resuming what is there of the same file."""
    part = _beside(place.source, 'part')
    origin = _beside(part, 'origin')  # URL and version of what is there
    for _ in range(ATTEMPTS):
        url, _, validator = _read(origin).partition('\n')
        have = _size(part) if url == place.url else 0
        headers = {'User-Agent': f'artnet_mm/{__version__}'}
        if have:
            headers |= {'Range': f'bytes={have}-', 'If-Range': validator}
        try:
            with urlopen(Request(place.url, headers=headers), timeout=timeout) as response:
                if response.headers.get_content_type() == 'text/html':
                    raise ConnectionError('the server sent an HTML page')
                if place.url.startswith('https:') and not response.url.startswith('https:'):
                    raise ConnectionError(f'it leads to {response.url}, which is not secure')
                broken = _receive(response, place.url, part, have)
        except (OSError, ValueError, HTTPException) as error:
            if not have or getattr(error, 'code', None) != 416:
                raise ConnectionError(place.refusal(error)) from None
            origin.unlink()  # nothing follows what is there: start afresh
            broken = error
        if broken is None:
            origin.unlink(missing_ok=True)
            return part
    raise ConnectionError(place.refusal(broken))


def _provide(place: _Place, timeout: float) -> None:
    """Download, check, record and convert what is not there yet; raises as :func:`fetch`."""
    source, checkpoint = place.source, place.checkpoint
    file = source if source.exists() else _download(place, timeout)
    try:
        if source == checkpoint:
            checkpoints.load(file)
        else:
            from .convert import convert

            conversion = convert(file)
            if conversion.meta['config'] != checkpoint.stem:
                raise ValueError(f'{file} is the network of {conversion.meta["config"]}')
        _accept(file, source)
    except (RuntimeError, ValueError) as error:
        if file == source:
            raise
        file.unlink()
        raise ValueError(place.refusal(error)) from None
    os.replace(file, source)
    if source == checkpoint:
        return
    for note in (f'{source} is converted to {checkpoint}', *conversion.notes):
        print_log(note, logger='current')
    meta = {**conversion.meta, 'converted_from': source.name}
    checkpoints.save(dict(meta=meta, state_dict=conversion.state_dict), checkpoint)
    write_whole(_beside(checkpoint, 'sha256'), _provenance(place))


def fetch(name: str, timeout: float = TIMEOUT) -> Path:
    """Get a checkpoint by name; without any request where it is cached.

    The cache is ``ARTNET_MM_HOME``, or torch.hub's. Its files are compared at every
    use with the SHA-256 recorded beside them: a downloaded one that differs is
    refused, a converted one is made again.

    Args:
        name (str): A network of the authors' (``RELEASED``, with or without the
            ending ``_released``), that of a file in the package (``artnet_r18_d_toy``), or of
            a file ``NAME.pth`` of the model zoo at ``ARTNET_MM_MIRROR`` (a URL or a folder); an
            ending ``-HASH8`` gives the first 8 hex digits of its SHA-256.
        timeout (float): Seconds for a connection to open, and for each read from it.

    Returns:
        Path: Of the checkpoint, a ``.pth`` file.

    Raises:
        ConnectionError: If the server is down, slow, or has no such file.
        TimeoutError: If another process has begun the download and stands still.
        ValueError: If the name is unknown, or a file is not what it should be.
    """
    for file in PACKAGED.glob('*.pth'):
        if name in (file.stem, file.stem.rpartition('-')[0]):
            return file
    place = _place(name)
    if _is_ready(place):
        return place.checkpoint
    if not place.url and not place.source.exists():
        packaged = [file.stem.rpartition('-')[0] for file in PACKAGED.glob('*.pth')]
        known = sorted(
            [*RELEASED, *packaged], key=lambda other: -SequenceMatcher(None, name, other).ratio()
        )
        raise ValueError(
            f'there is no artnet://{name}; there are {", ".join(known)}, and the files of the '
            'model zoo at ARTNET_MM_MIRROR, which is not set'
        )
    place.source.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place.source, timeout):
        if not _is_ready(place):  # another process may have been first
            _provide(place, timeout)
    return place.checkpoint


def fetch_from_hugging_face(name: str) -> Path:
    """Get a file of a model repository by huggingface_hub, which keeps and verifies it.

    Args:
        name (str): ``OWNER/REPOSITORY/FILE``, or ``OWNER/REPOSITORY@REVISION/FILE``, where a
            revision has ``%2F`` for a slash.

    Raises:
        ConnectionError: If the server is down, or has no such file.
        RuntimeError: If huggingface_hub is not installed.
        ValueError: If that is no name.
    """
    form = re.fullmatch(r'([\w.-]+/[\w.-]+)(?:@([\w.%-]+))?/([\w.-][\w./-]*)', name)
    if not form or '..' in name:
        raise ValueError(f'hf://{name}: expected hf://OWNER/REPOSITORY[@REVISION]/FILE')
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise RuntimeError(f'hf://{name} takes the package: pip install huggingface_hub') from None
    repository, revision, file = form.groups()
    try:
        return Path(hf_hub_download(repository, file, revision=revision and unquote(revision)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConnectionError(f'hf://{name} gave no checkpoint: {reason}') from None


def local(checkpoint: str) -> str:
    """The path of a checkpoint that has a name, downloaded if need be; others as they are.

    Raises:
        ConnectionError, RuntimeError, TimeoutError, ValueError: As :func:`fetch` and
            :func:`fetch_from_hugging_face`.
    """
    if checkpoint.startswith(PREFIX):
        return str(fetch(checkpoint.removeprefix(PREFIX)))
    if checkpoint.startswith(HUGGING_FACE):
        return str(fetch_from_hugging_face(checkpoint.removeprefix(HUGGING_FACE)))
    return checkpoint


@CheckpointLoader.register_scheme(prefixes=HUGGING_FACE, force=True)
def load_from_hugging_face(filename: str, map_location: str | None = None) -> dict:
    """Load ``hf://OWNER/REPOSITORY/FILE`` wherever MMEngine takes a checkpoint."""
    return checkpoints.load(local(filename), map_location)


@CheckpointLoader.register_scheme(prefixes=PREFIX, force=True)
def load_from_artnet(filename: str, map_location: str | None = None) -> dict:
    """Load ``artnet://NAME`` wherever MMEngine takes a checkpoint; see :func:`fetch`."""
    return checkpoints.load(local(filename), map_location)
