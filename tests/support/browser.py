"""A page in headless Chromium, driven by the DevTools protocol, without a network."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """Opens the file; `requests` are the addresses that it asked for, `errors` what its console said."""

    def __init__(self, path: Path, profile: Path) -> None:
        assert CHROMIUM is not None
        self._open_things = contextlib.ExitStack()
        words = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self._browser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._open(path, profile)
        except BaseException:
            self._end()
            raise

    def _open(self, path: Path, profile: Path) -> None:
        from websockets.sync.client import connect

        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < deadline and self._browser.poll() is None, "Chromium did not start"
            time.sleep(0.05)
        port, address = port_file.read_text().split("\n")[:2]
        address = f"ws://127.0.0.1:{port}{address}"
        self._socket = self._open_things.enter_context(connect(address, max_size=None, compression=None))
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._receive()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        self._open_things.close()
        self._browser.terminate()
        self._browser.wait(30)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        self._socket.send(json.dumps(message if self._session is None else {**message, "sessionId": self._session}))
        number = self._number
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=60))
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.errors.append(json.dumps(params))
        elif method == "Page.loadEventFired":
            self._loaded = True
        return message

    def value(self, script: str) -> Any:
        """Of the expression, or of the promise that it is."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")
