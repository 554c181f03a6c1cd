"""A real HTTP server on the loopback address that can misbehave, and processes that ask it."""

import hashlib
import os
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .helpers import ROOT

NOW = 'Sat, 01 Sep 2018 09:00:00 GMT'


class FileServer(ThreadingHTTPServer):
    """Serves files in a thread, and keeps what was asked for and sent.

    Attributes:
        files (dict[str, bytes]): Content by path.
        answers (list[list]): [Range header, status, bytes of the body sent].
        cuts (list[int]): Of the next answers, bytes after which the connection is cut.
        stall_after (int, optional): Bytes after which nothing more comes.
        delay (float): Seconds before every 50 kB of a body.
        ranges (bool): Whether parts can be asked for.
        part_from (int, optional): First byte of parts, whatever was asked for.
        status (int, optional): Answer to everything; 302 with ``headers``.
        headers (dict): More headers, or others than the usual ETag; None for none.
        length_error (int): By how much Content-Length is wrong.
    """

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f'http{"s" * bool(certificate)}://127.0.0.1:{self.server_port}'
        self.files: dict[str, bytes] = {}
        self.answers: list[list] = []
        self.cuts: list[int] = []
        self.stall_after = self.part_from = self.status = None
        self.delay, self.ranges, self.length_error = 0.0, True, 0
        self.headers: dict[str, str | None] = {}
        self.stopped = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that goes away

    def __enter__(self) -> 'FileServer':
        threading.Thread(target=self.serve_forever, kwargs=dict(poll_interval=0.02)).start()
        return self

    def stop(self) -> None:
        if not self.stopped.is_set():
            self.stopped.set()
            self.shutdown()
            self.server_close()

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *message: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return NOW

    def do_GET(self) -> None:
        server, asked = self.server, self.headers['Range']
        data, status, start = server.files.get(self.path.lstrip('/')), server.status, 0
        headers = {'ETag': f'"{hashlib.sha256(data or b"").hexdigest()}"', **server.headers}
        if data is None:
            status = status or 404
        elif asked and server.ranges and self.headers['If-Range'] in headers.values():
            start, status = int(asked.removeprefix('bytes=').removesuffix('-')), 206
            status = 416 if start >= len(data) else status
            start = start if server.part_from is None else server.part_from
        answer = [asked, status or 200, 0]
        server.answers.append(answer)
        if answer[1] >= 400:
            self.send_error(answer[1])
            return
        self.send_response(answer[1])
        if answer[1] == 206:
            self.send_header('Content-Range', f'bytes {start}-{len(data) - 1}/{len(data)}')
        self.send_header('Content-Length', str(len(data) - start + server.length_error))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == 'HEAD':
            return

        body = data[start : start + server.cuts.pop(0)] if server.cuts else data[start:]
        body = body[: server.stall_after]
        answer[2] = len(body)
        for piece in range(0, len(body), 50_000):
            time.sleep(server.delay)
            self.wfile.write(body[piece : piece + 50_000])
        if server.stall_after is not None:
            server.stopped.wait(20)

    do_HEAD = do_GET


def make_certificate(folder: Path) -> Path:
    """A certificate for the loopback address with its key, by the command openssl."""
    path = folder / 'certificate.pem'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
         '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', path,
         '-out', folder / 'public.pem'],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + (folder / 'public.pem').read_bytes())
    return path


FETCH = """
import hashlib
import os
import sys

from artnet_mm.zoo import hub

for _ in range(int(sys.argv[1]) - 1):
    if not os.fork():
        break
print(hashlib.sha256(hub.fetch(sys.argv[2]).read_bytes()).hexdigest(), flush=True)
os._exit(0)  # eight interpreters take seconds to clear up
"""


def start_fetching(count: int, name: str) -> subprocess.Popen:
    """Start processes that fetch a name at once; each prints the SHA-256 of what it gets."""
    words = [sys.executable, '-c', FETCH, str(count), name]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
