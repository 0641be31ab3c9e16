"""Downloads: checked, kept, resumed. A local server plays the network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_server import LocalServer, serve

from casestudies.download import DownloadError, cache_folder, fetch

CONTENT = bytes(range(256)) * 4000  # 1 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serve(files={"weights.bin": CONTENT}) as running:
        yield running


def test_file_arrives_whole(server: LocalServer, tmp_path: Path) -> None:
    path = fetch(server.url + "weights.bin", tmp_path / "a" / "weights.bin", DIGEST)
    assert path.read_bytes() == CONTENT


def test_beginning_of_the_hash_is_enough(server: LocalServer, tmp_path: Path) -> None:
    assert fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST[:8]).exists()


def test_other_hash_algorithms_are_possible(server: LocalServer, tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT).hexdigest()
    assert fetch(server.url + "weights.bin", tmp_path / "weights.bin", digest, "md5").exists()


def test_file_in_the_cache_is_not_fetched_again(server: LocalServer, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST)
    assert len(server.asked) == 1


def test_wrong_hash_is_refused_and_leaves_nothing(server: LocalServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"came with sha256 {DIGEST[:8]} and should have deadbeef"):
        fetch(server.url + "weights.bin", tmp_path / "weights.bin", "deadbeef")
    assert list(tmp_path.iterdir()) == []


def test_broken_transfer_says_so_and_has_no_final_name(server: LocalServer, tmp_path: Path) -> None:
    server.cut = 300_000
    with pytest.raises(DownloadError, match="broke off after 300,000 of 1,024,000 bytes; call again"):
        fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin.part"]


@pytest.mark.parametrize(("ranges", "asked"), [(True, "bytes=300000-"), (False, "bytes=300000-")])
def test_broken_transfer_is_resumed(server: LocalServer, tmp_path: Path, ranges: bool, asked: str) -> None:
    server.cut = 300_000
    with pytest.raises(DownloadError):
        fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST)
    server.cut, server.ranges = None, ranges
    path = fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST)
    assert (path.read_bytes() == CONTENT, server.asked[-1][1]) == (True, asked)


def test_part_that_is_complete_already_is_only_checked(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "weights.bin.part").write_bytes(CONTENT)
    assert fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST).read_bytes() == CONTENT


def test_missing_file_says_what_to_do(server: LocalServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="answers 404 .* put it at .*other.bin"):
        fetch(server.url + "other.bin", tmp_path / "other.bin", DIGEST)


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    with serve() as stopped:
        url = stopped.url
    with pytest.raises(DownloadError, match="cannot be reached .* connect to the network and try again"):
        fetch(url + "weights.bin", tmp_path / "weights.bin", DIGEST)


def test_progress_is_shown_when_asked_for(
    server: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST, progress=True)
    assert "100%" in capsys.readouterr().err


def test_progress_is_silent_outside_of_a_terminal(
    server: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(server.url + "weights.bin", tmp_path / "weights.bin", DIGEST)
    assert capsys.readouterr().err == ""


def test_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_cache_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CASESTUDIES_CACHE", raising=False)
    assert cache_folder().name == "casestudies"
