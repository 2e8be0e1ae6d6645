"""``prock run --push URL``: the figures of the last run, pushed to a Pushgateway."""

from __future__ import annotations

from prock.cli.output import Failure, complain
from prock.errors import ProckError
from prock.export.otlp import checked_url, send_request
from prock.export.run_metrics import command_name, prometheus_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.cli.run.options import Settings
    from prock.runner.result import RunResult
    from prock.runner.session import RunSession

WAIT_S = 3.0
NEVER_NS = 1 << 62


class Push:
    """Replaces the group of the job: the command's name, unless the URL has ``/metrics/job/NAME``."""

    due_ns = NEVER_NS

    def __init__(self, settings: Settings) -> None:
        try:
            self._url = checked_url(settings.push or "")
        except ProckError as error:
            raise Failure(f"--push: {error}", 2) from None
        self._result: RunResult | None = None

    def step(self, session: RunSession, now_ns: int) -> None:
        """Nothing to do before the end."""

    def environment(self, entries: list[bytes]) -> list[bytes]:
        return entries

    def add(self, result: RunResult) -> None:
        self._result = result

    def close(self, code: int, problems: Sequence[str]) -> None:
        if self._result is None:
            return
        from urllib.parse import quote

        url = self._url
        if "/metrics/job" not in url:
            name = command_name(self._result).encode("utf-8", "surrogateescape")
            url = f"{url.rstrip('/')}/metrics/job/{quote(name, safe='')}"
        text = prometheus_text(self._result).encode()
        failure = send_request("PUT", url, text, {"Content-Type": "text/plain; version=0.0.4"}, WAIT_S)
        if failure is not None:
            complain("prock run", failure)
