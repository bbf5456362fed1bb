import gzip
import hashlib

import pytest

from encdec.data import parallel
from encdec.data.parallel import (
    DataError,
    Pair,
    RemoteFile,
    digest,
    group_references,
    load_multi30k,
    load_tatoeba,
    locate,
    sentence_key,
    split_by_source,
)


def write(folder, name, text, **kwargs):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An ENCDEC_DATA of its own, with no way to the network and an empty cache."""
    monkeypatch.setenv("ENCDEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ENCDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENCDEC_DATA_URL", "http://127.0.0.1:9")
    return tmp_path / "data"


def test_pairs_are_read_from_the_data_folder(data):
    write(data, "tatoeba/eng-fra.tsv.gz", "Run.\tCours !\nI see.\tJe vois.\n")
    assert load_tatoeba("fr") == [Pair("Run.", "Cours !"), Pair("I see.", "Je vois.")]


def test_missing_data_says_what_to_do(data):
    with pytest.raises(DataError, match=r"eng-fra.tsv.gz was not found .* Set ENCDEC_DATA to"):
        load_tatoeba("fr")


def test_missing_data_is_fetched_from_a_mirror(data, server, monkeypatch):
    content = gzip.compress(b"Run.\tCours !\n", mtime=0)
    file = RemoteFile("tatoeba/eng-fra.tsv.gz", hashlib.sha256(content).hexdigest(), "unused")
    monkeypatch.setitem(parallel.TATOEBA, "fr", file)
    monkeypatch.setenv("ENCDEC_DATA_URL", server.url)
    server.files[file.name] = content
    assert load_tatoeba("fr") == [Pair("Run.", "Cours !")]
    assert load_tatoeba("fr") == [Pair("Run.", "Cours !")]
    assert len(server.requests) == 1


def test_a_checksum_mismatch_is_one_sentence(data, server, monkeypatch):
    server.files["tatoeba/eng-fra.tsv.gz"] = b"not the corpus"
    monkeypatch.setenv("ENCDEC_DATA_URL", server.url)
    with pytest.raises(DataError, match="SHA-256 differs"):
        load_tatoeba("fr")


def test_a_truncated_file_is_named(data):
    path = write(data, "tatoeba/eng-fra.tsv.gz", "Run.\tCours !\n" * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"eng-fra.tsv.gz is damaged"):
        load_tatoeba("fr")


def test_a_line_without_a_tab_is_named(data):
    write(data, "tatoeba/eng-fra.tsv.gz", "Run.\tCours !\nWalk.\n")
    with pytest.raises(DataError, match=r"line 2: expected english<TAB>fr, found 'Walk.'"):
        load_tatoeba("fr")


@pytest.mark.parametrize(("target", "source"), [("es", "en"), ("fr", "de")])
def test_an_unknown_tatoeba_pair_names_the_known_ones(target, source):
    with pytest.raises(ValueError, match=f"{source}-{target} is not part.*en-fr, en-de"):
        load_tatoeba(target, source)


def test_an_unknown_multi30k_pair_names_the_known_ones():
    with pytest.raises(ValueError, match="en-en is not part.*en, fr, de"):
        load_multi30k("en", "en")


def test_multi30k_sides_of_different_length_are_refused(data):
    for stem in ("train", "val", "test_2016_flickr"):
        write(data, f"multi30k/{stem}.en.gz", "A dog.\nA cat.\n")
        write(data, f"multi30k/{stem}.fr.gz", "Un chien.\n")
    with pytest.raises(DataError, match="2 en lines against 1 fr lines"):
        load_multi30k("en", "fr")


def test_no_source_is_on_two_sides_whatever_its_case_and_punctuation(corpus):
    shouted = [Pair(pair.source.upper().replace(".", "!"), pair.target) for pair in corpus]
    splits = split_by_source([*corpus, *shouted], validation=40, test=60)
    keys = [
        {sentence_key(pair.source) for pair in side}
        for side in (splits.train, splits.validation, splits.test)
    ]
    assert [len(side) for side in keys] == [len(corpus) - 100, 40, 60]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert sum(map(len, vars(splits).values())) == 2 * len(corpus)


def test_a_split_depends_on_the_seed_and_not_on_the_order(corpus):
    one = split_by_source(corpus, validation=10, test=10, seed=1)
    assert split_by_source(corpus[::-1], validation=10, test=10, seed=1) == one
    assert split_by_source(corpus, validation=10, test=10, seed=2) != one


def test_holding_out_everything_is_refused(corpus):
    with pytest.raises(ValueError, match="leave nothing to train on"):
        split_by_source(corpus, validation=200, test=200)


def test_the_digest_tells_order_and_sides_apart():
    pairs = [Pair("a", "b"), Pair("c", "d")]
    assert digest(pairs) != digest(pairs[::-1])
    assert digest([Pair("a", "b")]) != digest([Pair("b", "a")])


def test_references_are_grouped_by_source():
    pairs = [Pair("Run.", "Cours !"), Pair("Run.", "Courez !"), Pair("Stop.", "Arrête !")]
    assert group_references(pairs) == {"Run.": ["Cours !", "Courez !"], "Stop.": ["Arrête !"]}


def test_the_real_files_have_the_pinned_digests(corpora):
    for file in parallel.TATOEBA.values():
        assert hashlib.sha256(locate(file).read_bytes()).hexdigest() == file.sha256
    for name, sha256 in parallel._MULTI30K_DIGESTS.items():
        path = corpora / "multi30k" / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
