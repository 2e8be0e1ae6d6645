"""The check of words in `make lint`: what it reports, and what the allow-list permits."""

from __future__ import annotations

from pathlib import Path

import check_words
import pytest


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(check_words, "ROOT", tmp_path)
    monkeypatch.setattr(check_words, "ALLOWED", tmp_path / "allowed.txt")
    monkeypatch.setattr(check_words, "files", lambda _: ["docs/page.md"])
    return tmp_path


@pytest.mark.parametrize("line", ["it tells a pid", "ratio_told = 1", "It IS NO process", "is given away again"])
def test_a_banned_word_is_reported(project: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "docs/page.md").write_text(f"fine\n{line}\n")
    assert check_words.main([]) == 1
    assert capsys.readouterr().out.startswith("docs/page.md:2: ")


@pytest.mark.parametrize(
    "line", ["there is no process", "is no longer there", "taskset", "whose parent ignores SIGCHLD"]
)
def test_other_words_pass(project: Path, line: str) -> None:
    (project / "docs/page.md").write_text(line)
    assert check_words.main([]) == 0


def test_an_entry_permits_its_part_of_a_line_only(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "allowed.txt").write_text("docs/*: the truth  # a reason\n")
    (project / "docs/page.md").write_text("the truth\n")
    assert check_words.main([]) == 0
    (project / "docs/page.md").write_text("the truth is told\n")
    assert check_words.main([]) == 1
    (project / "docs/page.md").write_text("nothing\n")
    assert check_words.main([]) == 1
    assert "remove the entry" in capsys.readouterr().out
