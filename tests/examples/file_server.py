"""A file server on the loopback interface that misbehaves on demand."""

from __future__ import annotations

import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Files and pages by path; `requests` lists (method, path, first requested byte) in order of arrival.

    A GET of a path in `hangs_up` ends half-way that many times. A GET of a path in `trickles` never ends. `refuse_head`
    answers 405 to every HEAD. `on_get` is called with the path before a GET is answered.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    hangs_up: Counter[str] = field(default_factory=Counter)
    trickles: set[str] = field(default_factory=set)
    refuse_head: bool = False
    on_get: Callable[[str], None] = lambda path: None
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def gets(self, path: str) -> list[int]:
        """The first requested byte of each GET of a path."""
        return [begin for method, requested, begin in self.requests if (method, requested) == ("GET", path)]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serves until the end of the block."""
    site = FileServer()

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            site.requests.append(("HEAD", self.path, 0))
            if site.refuse_head:
                self.begin(405, 0)
            else:
                self.begin(200 if self.path in site.files else 404, len(site.files.get(self.path, b"")))

        def do_GET(self) -> None:
            span = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(span[1]), span[2]) if span else (0, "")
            site.requests.append(("GET", self.path, first))
            site.on_get(self.path)
            if self.path not in site.files:
                self.begin(404, 0)
                return
            whole = site.files[self.path]
            content = whole[first : int(last) + 1 if last else None]
            extra = {"Content-Range": f"bytes {first}-{first + len(content) - 1}/{len(whole)}"} if span else {}
            self.begin(206 if span else 200, len(content), **extra)
            cut_off = site.hangs_up[self.path] > 0 or self.path in site.trickles
            self.wfile.write(content[: len(content) // 2] if cut_off else content)
            site.hangs_up[self.path] -= 1
            if self.path in site.trickles:
                self.wfile.flush()
                site.closing.wait()

        def begin(self, status: int, size: int, **headers: str) -> None:
            self.send_response(status)
            kind = site.types.get(self.path, "application/octet-stream")
            named = {"Content-Length": str(size), "Content-Type": kind, "ETag": '"one"', **headers}
            for name, value in named.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        site.closing.set()
        server.shutdown()
        thread.join()


def interrupt_main_thread() -> None:
    """Sends SIGINT to the main thread, like Ctrl-C."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    signal.pthread_kill(main_thread, signal.SIGINT)
