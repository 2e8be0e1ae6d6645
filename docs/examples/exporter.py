"""What trees use, for Prometheus: `python3 exporter.py PORT PID [PID ...]`, as an ordinary user."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import prock

METRICS = {
    "prock_tree_cpu_seconds_total": ("counter", "CPU time since the exporter began to follow; never falls"),
    "prock_tree_rss_bytes": ("gauge", "sum of resident sets; upper bound, as shared pages count in each process"),
    "prock_tree_processes": ("gauge", "living processes"),
    "prock_tree_refused": ("gauge", "processes of which something was refused to this user"),
}


def lines(trees: dict[int, prock.TreeSample]) -> Iterator[str]:
    """The text format. What is unknown is left out: a metric that is missing is no zero."""
    for name, (kind, text) in METRICS.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        for root, tree in trees.items():
            values = (tree.cpu_ns / 1e9, tree.rss_bytes, tree.process_count, tree.denied)
            value = values[list(METRICS).index(name)]
            if value is not None:
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
    with prock.Forest(roots) as Handler.forest, HTTPServer(("127.0.0.1", port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
