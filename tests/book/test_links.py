"""Links that leave the book: what Sphinx says of them, judged; nothing is followed here."""

import pytest
import yaml

import address
import links


def link(status, info="", uri="https://example.org/a", filename="chapters/01.ipynb"):
    return {"uri": uri, "status": status, "info": info, "filename": filename}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (link("working"), "good"),
        (link("redirected", "https://example.org/b"), "good"),
        (link("broken", "404 Client Error: Not Found for url: https://example.org/a"), "gone"),
        (link("broken", "HTTPSConnectionPool(host='example.org', port=443): ..."), "gone"),
        (link("broken", "403 Client Error: Forbidden for url: https://example.org/a"), "unknown"),
        (link("broken", "404 Client Error: 403 pages"), "gone"),
        (link("timeout", "timed out"), "unknown"),
        (link("rate-limited"), "unknown"),
    ],
)
def test_a_page_is_gone_only_if_its_server_says_so_or_is_not_there(entry, expected):
    assert links.verdict(entry) == expected


def test_what_is_gone_is_named_first_and_counted_once():
    gone = link("broken", "404 Client Error", "https://example.org/gone", "live.md")
    text, good = links.report([link("working"), link("timeout", uri="x"), gone, gone])
    assert not good
    first, *_, last = text.splitlines()
    assert first == "gone: https://example.org/gone (live.md): 404 Client Error"
    assert last == "1 links lead somewhere, 1 nowhere, 1 could not be told."
    assert links.report([link("working")])[1]


def test_without_a_network_nothing_is_checked_and_that_is_said(monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(links.socket, "create_connection", refuse)
    monkeypatch.setattr(links, "follow", lambda to: pytest.fail("a link was followed"))
    links.main()
    assert capsys.readouterr().out.strip() == links.OFFLINE


def test_a_link_that_is_gone_makes_the_command_fail(monkeypatch, capsys):
    monkeypatch.setattr(links, "online", lambda: True)
    monkeypatch.setattr(links, "follow", lambda to: [link("broken", "404 Client Error")])
    with pytest.raises(SystemExit) as stopped:
        links.main()
    assert stopped.value.code == 1
    assert "gone: https://example.org/a" in capsys.readouterr().out


def test_the_books_own_address_is_not_followed():
    config = yaml.safe_load((links.ROOT / "_config.yml").read_text("utf8"))
    settings = config["sphinx"]["config"]
    assert any(address.address().startswith(start) for start in settings["linkcheck_ignore"])
    assert settings["linkcheck_retries"] >= 2
