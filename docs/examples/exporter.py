"""Prometheus exporter of process trees: `python3 exporter.py PORT PID [PID ...]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import prock

CPU, RSS = "prock_tree_cpu_seconds_total", "prock_tree_rss_bytes"
COUNT, DENIED = "prock_tree_processes", "prock_tree_denied"
METRICS = {
    CPU: ("counter", "CPU time since the exporter follows the tree"),
    RSS: ("gauge", "sum of resident sets; shared pages count in each process"),
    COUNT: ("gauge", "living processes"),
    DENIED: ("gauge", "processes that this user may not read completely"),
}


def values(tree: prock.TreeSample) -> dict[str, float | None]:
    return {
        CPU: tree.cpu_ns / 1e9,
        RSS: tree.rss_bytes,
        COUNT: tree.process_count,
        DENIED: tree.denied,
    }


def lines(trees: dict[int, prock.TreeSample]) -> Iterator[str]:
    """The text format. Unknown values are left out: they are not zero."""
    for name, (kind, text) in METRICS.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        for root, tree in trees.items():
            if (value := values(tree)[name]) is not None:
                yield f'{name}{{root="{root}"}} {value}'


class Handler(BaseHTTPRequestHandler):
    forest: prock.Forest

    def do_GET(self) -> None:
        body = "".join(f"{line}\n" for line in lines(self.forest.sample())).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    port, *roots = map(int, sys.argv[1:])
    with (
        prock.Forest(roots) as Handler.forest,
        HTTPServer(("127.0.0.1", port), Handler) as server,
    ):
        print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
