import hashlib

import pytest

from encdec.data.download import DownloadError, fetch

BODY = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(BODY).hexdigest()


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(server, tmp_path):
    server.files["corpus.gz"] = BODY
    first = fetch(f"{server.url}/corpus.gz", DIGEST, "a/corpus.gz", folder=tmp_path)
    second = fetch(f"{server.url}/corpus.gz", DIGEST, "a/corpus.gz", folder=tmp_path)
    assert first == second == tmp_path / "a" / "corpus.gz"
    assert first.read_bytes() == BODY
    assert len(server.requests) == 1


def test_an_interrupted_download_is_continued(server, tmp_path):
    server.files["corpus.gz"] = BODY
    server.cut, server.times = 100_000, 1
    with pytest.raises(DownloadError, match="kept and will be continued"):
        fetch(f"{server.url}/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)
    assert not (tmp_path / "corpus.gz").exists()
    received = (tmp_path / "corpus.gz.part").stat().st_size
    assert received > 0
    path = fetch(f"{server.url}/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)
    assert path.read_bytes() == BODY
    assert server.requests[-1] == ("/corpus.gz", f"bytes={received}-")


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    server.files["corpus.gz"] = BODY
    (tmp_path / "corpus.gz.part").write_bytes(BODY + b"more")
    path = fetch(f"{server.url}/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)
    assert path.read_bytes() == BODY


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(server, tmp_path):
    server.files["corpus.gz"] = b"something else"
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(f"{server.url}/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_refusal_is_one_sentence(server, tmp_path, status):
    server.files["corpus.gz"] = BODY
    server.status = status
    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        fetch(f"{server.url}/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)


def test_no_server_is_one_sentence(tmp_path):
    with pytest.raises(DownloadError, match="fetched: the server could not be reached"):
        fetch("http://127.0.0.1:9/corpus.gz", DIGEST, "corpus.gz", folder=tmp_path)
