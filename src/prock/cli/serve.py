"""``prock serve``: figures of process trees for Prometheus.

JSON (``prock.serve/1``), with ``--check``: `listen`, and `trees`: their names, with the number of roots now.
"""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prock import __version__
from prock._compat import signals
from prock._compat.namedtuple import NamedTuple
from prock.cli import output, selectors
from prock.export import exposition
from prock.report.layout import escape
from prock.sampling.named_trees import NamedTrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, TypeAlias

    Chosen: TypeAlias = "dict[str, selectors.Selector]"

EPILOG = """\
The trees are selected by one of the options, or by a TOML file:

  listen = "127.0.0.1:9748"
  [trees.web]
  name = "^gunicorn"
  [trees.database]
  pidfile = "/run/postgresql/main.pid"

A tree keeps its name and its counters when its root ends and a successor
starts. SIGHUP reads the file anew. There is no authentication: each client that
can connect can read the figures.

examples:
  prock serve --name '^gunicorn' --tree web
  prock serve --config /etc/prock.toml
  prock serve --check /etc/prock.toml
"""
LISTEN = "127.0.0.1:9748"
TIMEOUT_S = 10
"""For a client that sends or reads slowly."""
SWITCHES = ("full", "all")
PAGE = b"""<!doctype html><title>prock serve</title><h1>prock serve</h1>
<p><a href="/metrics">/metrics</a>, <a href="/-/healthy">/-/healthy</a></p>
"""


class Settings(NamedTuple):
    """What the options and the configuration file say."""

    listen: str
    trees: Chosen


def configure(parser: argparse.ArgumentParser) -> None:
    selectors.add_options(parser)
    parser.add_argument("--tree", metavar="NAME", help="name of the selected trees (default: what selects them)")
    parser.add_argument("--config", metavar="FILE", help="read the trees from a TOML file")
    parser.add_argument("--check", metavar="FILE", help="check that file, and exit")
    parser.add_argument("--listen", metavar="ADDR:PORT", help=f"address to listen on (default: {LISTEN})")
    parser.add_argument("--pss", action="store_true", help="read proportional memory, each process every 10 s")
    parser.add_argument("--fds", action="store_true", help="count open file descriptors in each scrape")


def run(arguments: argparse.Namespace) -> int:
    if arguments.check is not None:
        return _check(arguments)
    if arguments.json:
        raise output.Failure("--json without --check: the figures are at /metrics", 2)
    settings = _settings(arguments)
    address = _address(arguments.listen or settings.listen)
    trees = NamedTrees(
        {name: chosen.find for name, chosen in settings.trees.items()},
        io=True,
        pss=arguments.pss,
        fds=arguments.fds,
        accounting="ledger",
        on_error=_report_error,
    )
    try:
        if arguments.config is None:
            ((name, chosen),) = settings.trees.items()
            if name not in trees.errors and not trees.sample()[name].process_count:
                raise output.Failure(chosen.missing)
        return _serve(address, trees, arguments)
    finally:
        trees.close()


def _check(arguments: argparse.Namespace) -> int:
    settings = _read_file(arguments.check)
    _address(settings.listen)
    roots = {name: len(chosen.find()) for name, chosen in settings.trees.items()}
    if arguments.json:
        output.write_json({"schema": "prock.serve/1", "listen": settings.listen, "trees": roots})
    else:
        output.write(f"{escape(name)}: roots now: {number}" for name, number in roots.items())
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    chosen = selectors.chosen(vars(arguments))
    if arguments.config is None:
        if chosen is None:
            raise output.Failure("no trees: give --name PATTERN or another selection, or --config FILE", 2)
        return Settings(LISTEN, {arguments.tree or chosen.title: chosen})
    if chosen is not None or arguments.tree is not None:
        raise output.Failure("both --config and a selection of trees: give only one", 2)
    return _read_file(arguments.config)


def _read_file(path: str) -> Settings:
    """Raises `Failure` with the file, the line, and what to do."""
    import tomllib

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        document = tomllib.loads(text)
    except OSError as error:
        raise output.Failure(f"cannot read the configuration: {output.describe(error)}") from None
    except UnicodeDecodeError:
        raise output.Failure(f"{path}: not in UTF-8: write TOML in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise output.Failure(f"{path}: no valid TOML: {error}") from None

    def failure(words: str, message: str) -> output.Failure:
        lines = enumerate(text.split("\n"), 1)
        number = next((number for number, line in lines if words in line.replace('"', "")), 1)
        return output.Failure(f"{path}, line {number}: {message}")

    for key in document:
        if key not in ("listen", "trees"):
            raise failure(key, f"unknown key {key!r}: use listen and [trees.NAME]")
    listen, tables = document.get("listen", LISTEN), document.get("trees", {})
    if not isinstance(listen, str):
        raise failure("listen", "listen must be text: use ADDR:PORT in quotes")
    if not isinstance(tables, dict) or not tables:
        raise failure("trees", "no trees: add a table [trees.NAME] with a selection, such as name = 'PATTERN'")
    return Settings(listen, {name: _selector(name, table, failure) for name, table in tables.items()})


def _selector(name: str, table: Any, failure: Any) -> selectors.Selector:
    place = f"trees.{name}"
    known = ", ".join(selectors.TABLE)
    if not isinstance(table, dict):
        raise failure(place, f"trees.{name} must be a table: write [trees.{name}]")
    for key, value in table.items():
        if key not in selectors.TABLE and key != "full":
            raise failure(key, f"unknown key {key!r}: use one of {known}, full")
        wanted = bool if key in SWITCHES else (str, int) if key in ("pid", "user") else str
        if not isinstance(value, wanted) or (key not in SWITCHES and isinstance(value, bool)):
            raise failure(key, f"{key} is {value!r}: use {'true or false' if key in SWITCHES else 'text in quotes'}")
    try:
        chosen = selectors.chosen(table)
    except output.Failure as error:
        raise failure(place, str(error)) from None
    if chosen is None:
        raise failure(place, f"no selection of trees: add one of {known}")
    return chosen


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise output.Failure(f"invalid address {text!r}: use ADDR:PORT, such as {LISTEN}", 2)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _serve(address: tuple[str, int], trees: NamedTrees, arguments: argparse.Namespace) -> int:
    """Until SIGINT or SIGTERM. All signals are blocked in the other threads, and waited for in this one."""
    if sys.platform == "win32":
        raise output.Failure("prock serve waits for signals that Windows does not have: run it on another system")
    wanted = _waited_for()
    before = signals.kernel.pthread_sigmask(signals.kernel.SIG_BLOCK, wanted)
    server = _listen(address, trees)
    with signals.all_blocked():
        thread = threading.Thread(target=server.serve_forever, name="prock-serve", daemon=True)
        thread.start()
    try:
        output.write_error(f"prock serve: listening on {_url(server)}\n")
        while True:
            received = signals.kernel.sigwait(wanted)
            if received != getattr(signals.kernel, "SIGHUP", None):
                break
            _reload(trees, arguments)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        signals.kernel.pthread_sigmask(signals.kernel.SIG_SETMASK, before)
    if received == signals.kernel.SIGINT:
        raise KeyboardInterrupt
    return 0


def _waited_for() -> set[int]:
    """SIGINT, SIGTERM and SIGHUP, but for those that the caller ignores."""
    numbers = signals.numbers("SIGINT SIGTERM SIGHUP")
    return {number for number in numbers if signals.kernel.getsignal(number) != signals.kernel.SIG_IGN}


def _reload(trees: NamedTrees, arguments: argparse.Namespace) -> None:
    """An invalid file changes nothing."""
    try:
        settings = _settings(arguments)
        trees.finds = {name: chosen.find for name, chosen in settings.trees.items()}
    except output.Failure as error:
        output.write_error(f"prock serve: not reloaded: {escape(str(error))}\n")
    else:
        output.write_error(f"prock serve: reloaded: {len(settings.trees)} trees\n")


def _report_error(name: str, text: str) -> None:
    output.write_error(f"prock serve: {escape(name)}: {escape(text)}\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    trees: NamedTrees

    def handle_error(self, request: object, client_address: object) -> None:
        """One line, no traceback; nothing for a client that has gone."""
        error = sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            output.write_error(f"prock serve: a request failed: {escape(repr(error))}\n")


def _listen(address: tuple[str, int], trees: NamedTrees) -> _Server:
    host, port = address
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        server_class = type("_FamilyServer", (_Server,), {"address_family": family})
        server: _Server = server_class((host, port), _Handler)
    except OSError as error:
        reason = error.strerror or str(error)
        raise output.Failure(f"cannot listen on {host}:{port}: {reason}: choose another with --listen") from None
    server.trees = trees
    return server


def _url(server: _Server) -> str:
    host, port = server.server_address[:2]
    name = host.decode() if isinstance(host, bytes) else str(host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/metrics"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S
    server_version = f"prock/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send_metrics()
        elif path == "/-/healthy":
            self._send(b"healthy\n", "text/plain; charset=utf-8")
        elif path == "/":
            self._send(PAGE, "text/html; charset=utf-8")
        else:
            self._send(b"not found: use /metrics\n", "text/plain; charset=utf-8", 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send_metrics(self) -> None:
        openmetrics = "application/openmetrics-text" in self.headers.get("Accept", "")
        began_ns = time.thread_time_ns()
        families = exposition.tree_families(self.server.trees.sample())
        families += _own_families(self.server.trees, time.thread_time_ns() - began_ns)
        body = exposition.render(families, openmetrics=openmetrics)
        self._send(body, exposition.OPENMETRICS if openmetrics else exposition.TEXT)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Vary", "Accept, Accept-Encoding")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # the name in the base class
        """No line a request."""


def _own_families(trees: NamedTrees, sample_ns: int) -> list[exposition.Family]:
    family = exposition.Family
    errors = [({"tree": name}, number) for name, number in trees.error_counts.items()]
    return [
        family("prock_serve_info", "gauge", "Version of prock", [({"version": __version__}, 1)]),
        family("prock_serve_cpu_seconds", "counter", "CPU time of prock serve itself", [({}, time.process_time())]),
        family("prock_serve_sample_cpu_seconds", "gauge", "CPU time of the latest sample", [({}, sample_ns / 1e9)]),
        family("prock_serve_search_errors", "counter", "Failed searches for roots", list(errors)),
    ]
