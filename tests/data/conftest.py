import pytest


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder for packages, with a cache of its own."""
    monkeypatch.setenv("ENCDEC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    return tmp_path / "site"
