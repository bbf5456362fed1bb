"""Small distributions in a folder, as pip leaves them behind."""

from encdec.data.docstrings import side

NAMES = {  # one package for each side, by the seed that the book uses
    wanted: next(name for i in range(99) if side(name := f"package{i}") == wanted)
    for wanted in ("train", "validation", "test")
}


def install(site, name, files, version="1.0"):
    """A distribution as pip leaves it behind."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for relative, content in files.items():
        path = site / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf8")
    (info / "RECORD").write_text("".join(f"{relative},,\n" for relative in files))


def function(name, summary, *, body="total = sum(values) + {number} * len(values)"):
    """Source of a function that is long enough to be kept; its name makes it unlike others."""
    lines = body.format(number=len(name)).split("\n")
    return "\n".join(
        [
            f"def {name}(values):",
            f'    """{summary}"""',
            *(f"    {line}" for line in lines),
            f"    assert total is not None, 'there are no values for {name}'",
            "    return total",
            "",
        ]
    )


def fill(site):
    """A package for each side, so that nothing is missing."""
    for wanted, name in NAMES.items():
        install(
            site,
            name,
            {f"{name}/a.py": function(f"total_{wanted}", f"Add up the values of {wanted}.")},
        )
