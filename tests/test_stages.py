"""The stages page runs as it stands, and prints what it says."""

import contextlib
import io
import re

from documentation import page

BLOCK = re.compile(r"^```python\n(.*?)^```\n\n((?:    [^\n]*\n)+)", re.M | re.S)


def test_every_example_prints_what_the_page_says() -> None:
    """One after the other, as a reader would type them; later ones use names of earlier ones."""
    examples = BLOCK.findall(page("stages.md"))
    assert len(examples) == page("stages.md").count("```python") >= 5
    names: dict[str, object] = {}
    for code, printed in examples:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "stages.md", "exec"), names)
        told = [line.removeprefix("    ") for line in printed.rstrip("\n").split("\n")]
        assert out.getvalue().rstrip("\n").split("\n") == told
