"""Every link that leaves the book, followed: ``python tools/links.py`` (``make links``).

Sphinx follows them, several at a time, with retries; ``_config.yml`` says how. A page that is gone
makes the command fail. One that refuses programs or did not answer in time is named and no more.
Without a network nothing is checked, and the command says so.
"""

import json
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("arxiv.org", "aclanthology.org", "github.com")  # where many of the links lead
LEFT_OUT = ("unchecked", "ignored")  # within the book, and to its own address
REFUSED = ("401", "403", "405", "418", "429")
OFFLINE = "There is no network here: no link was checked."


def online() -> bool:
    """Whether one of the hosts that many links lead to can be reached."""
    for host in HOSTS:
        try:
            socket.create_connection((host, 443), timeout=10).close()
        except OSError:
            continue
        return True
    return False


def follow(to: Path) -> list[dict[str, str]]:
    """Let Sphinx follow the links.

    Args:
        to: a folder.

    Returns:
        An entry for each link: ``uri``, ``status``, ``info``, ``filename``.
    """
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT)]
    options = ["--builder", "linkcheck", "--path-output", str(to), "-q"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    found = list(to.rglob("output.json"))
    if not found:
        sys.exit(f"Sphinx could not follow the links:\n{done.stdout}{done.stderr}")
    links = [json.loads(line) for line in found[0].read_text("utf8").splitlines()]
    return [link for link in links if link["status"] not in LEFT_OUT]


def verdict(link: dict[str, str]) -> str:
    """One of ``good``, ``gone`` and ``unknown``."""
    if link["status"] in ("working", "redirected"):
        return "good"
    refused = any(link["info"].startswith(f"{code} ") for code in REFUSED)
    return "unknown" if refused or link["status"] in ("timeout", "rate-limited") else "gone"


def report(links: list[dict[str, str]]) -> tuple[str, bool]:
    """What is to be said about the links, and whether none is gone."""
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for link in links:
        line = f"{link['uri']} ({link['filename']}): {link['info'] or link['status']}"
        kinds[verdict(link)].setdefault(link["uri"], line)
    lines = [
        *(f"gone: {line}" for line in kinds["gone"].values()),
        *(f"could not be told: {line}" for line in kinds["unknown"].values()),
        f"{len(kinds['good'])} links lead somewhere, {len(kinds['gone'])} nowhere, "
        f"{len(kinds['unknown'])} could not be told.",
    ]
    return "\n".join(lines), not kinds["gone"]


def main() -> None:
    """Follow all links and say what was found."""
    if not online():
        print(OFFLINE)
        return
    with TemporaryDirectory() as scratch:
        text, good = report(follow(Path(scratch)))
    print(text)
    sys.exit(not good)


if __name__ == "__main__":
    main()
