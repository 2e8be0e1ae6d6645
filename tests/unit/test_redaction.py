"""What of a command line is hidden, and how it is shown."""

from __future__ import annotations

import pytest

from prock.redaction import redact
from prock.report.layout import describe, quote, shorten

HIDDEN = [
    (["--password", "hunter2", "x"], ["--password", "***", "x"]),
    (["--password=hunter2 and 3"], ["--password=***"]),
    (["-password", "hunter2"], ["-password", "***"]),
    (["--db-password", "-hunter2"], ["--db-password", "***"]),
    (["--token", "--verbose", "x"], ["--token", "--verbose", "x"]),
    (["--token", "--token", "x"], ["--token", "--token", "***"]),
    (["env", "API_KEY=hunter2", "make"], ["env", "API_KEY=***", "make"]),
    (["AWS_SECRET_ACCESS_KEY=hunter2", "PGPASSWORD=x"], ["AWS_SECRET_ACCESS_KEY=***", "PGPASSWORD=***"]),
    (["Client-Secret=hunter2", "apikey=x", "key=x"], ["Client-Secret=***", "apikey=***", "key=***"]),
    (["curl", "-H", "Authorization: Bearer hunter2"], ["curl", "-H", "Authorization: ***"]),
    (["-H", "X-Api-Key: hunter2", "cookie: a=b"], ["-H", "X-Api-Key: ***", "cookie: ***"]),
    (
        ["sh", "-c", "mysql --password hunter2 -e x; TOKEN='a b' make"],
        ["sh", "-c", "mysql --password *** -e x; TOKEN=*** make"],
    ),
    (
        ["sh", "-c", "curl -H 'Authorization: Bearer hunter2' https://a"],
        ["sh", "-c", "curl -H 'Authorization: ***' https://a"],
    ),
    (["https://me:hunter2@host/path"], ["https://me:***@host/path"]),
    (["https://host/?token=hunter2&page=2"], ["https://host/?token=***&page=2"]),
    (['{"user": "me", "password": "hunter2"}'], ['{"user": "me", "password": ***}']),
]


@pytest.mark.parametrize(("given", "expected"), HIDDEN)
def test_secrets_are_hidden(given: list[str], expected: list[str]) -> None:
    assert redact(given) == tuple(expected)
    assert redact(redact(given)) == tuple(expected)


@pytest.mark.parametrize(
    "given",
    [
        ["make", "-j8", "CC=gcc"],
        ["--max-tokens", "100", "--keyboard", "us", "--monkey=1"],
        ["--token-file", "/run/token", "passwords", "the secret is out"],
        ["http://host:80/a@b", "git@host:me/project", "--key"],
        [],
    ],
)
def test_the_rest_is_not(given: list[str]) -> None:
    assert redact(given) == tuple(given)


@pytest.mark.parametrize("part", ["a", "-", "://", "key", "key=", "key ", "'", '"key"', "authorization:", ": "])
def test_the_time_of_a_long_argument_does_not_grow_as_its_square(part: str) -> None:
    """Or this would take hours."""
    redact([part * (2**20 // len(part))])


@pytest.mark.parametrize(
    ("cmdline", "comm", "expected"),
    [
        (("/usr/bin/python3", "-m", "http.server"), "python3", "python3 -m http.server"),
        (("/usr/bin/python3", "/srv/job", "7"), "job", "job: python3 /srv/job 7"),
        (("nginx: worker process",), "nginx", "nginx: worker process"),
        (("-bash",), "bash", "-bash"),
        (("/opt/a-very-long-program",), "a-very-long-pro", "a-very-long-program"),
        (("sh", "-c", "a\n\x1b[31m"), "sh", "sh -c a\\n\\x1b[31m"),
        (None, "kthread\n", "kthread\\n"),
        (("",), "x", "x: ''"),
    ],
)
def test_a_process_in_a_table(cmdline: tuple[str, ...] | None, comm: str, expected: str) -> None:
    assert describe(cmdline, comm) == expected


def test_directories_are_left_out_before_the_end() -> None:
    text = quote(["python3", "/home/me/project/worker.py", "--config", "../conf/a.toml", "http://host/a/b"])
    assert shorten(text, 200) == text
    assert shorten(text, 62) == "python3 …/worker.py --config …/a.toml http://host/a/b"
    assert shorten(text, 20) == "python3 …/worker.py…"
    assert shorten(text, 25, "...") == "python3 .../worker.py ..."
