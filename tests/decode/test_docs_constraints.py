"""The examples of docs/constraints.md. Run: pytest tests/decode/test_docs_constraints.py"""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs/constraints.md"


def test_the_examples_run_on_a_bundle(nano_bundle: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 7
    code = "\n".join(blocks).replace('Path("runs/demo/bundle")', f"Path({str(nano_bundle)!r})")
    made: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), made)
    assert len(made["free"].item_ids) == 6
