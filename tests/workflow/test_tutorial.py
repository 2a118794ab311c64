"""docs/tutorial.md, taken literally and done from its first line to its last; recorded answers stand for the model."""

import json
import re
from pathlib import Path

import yaml
from pages import Reader, blocks

# The judge likes texts that begin with an example.
ANSWERS = [
    {"contains": "Begin with:", "text": "Imagine a kitchen where bread rises twice: so it is with both."},
    {"contains": "Explain in one short paragraph", "text": "Both are instances of a conserved quantity."},
    {"contains": "where bread rises twice", "text": '{"reason": "It has an example.", "score": 5}'},
    {"contains": "a conserved quantity", "text": '{"reason": "Vague words.", "score": 2}'},
]


def test_the_tutorial_ends_with_a_finding(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    first, *rest = blocks("tutorial.md")
    reader.do(first)
    models = reader.folder / "config/models.yaml"
    (model_id,) = yaml.safe_load(models.read_text())["models"]  # nobody answers but the model that the page names
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("".join(f"{json.dumps(answer)}\n" for answer in ANSWERS))
    models.write_text(yaml.safe_dump({"models": {model_id: {"provider": "replay", "name": str(recorded)}}}))
    for block in rest:
        reader.do(block)
    runs = [shown for shown in reader.shown if "generations made" in shown]
    assert "2 of 2 generations made" in runs[0] and "Nothing is compared" in runs[0]
    assert any("Both are instances" in shown and "Vague words." in shown for shown in reader.shown), "nothing to read"
    assert "34 of 34 generations made" in runs[1]
    said = " ".join(runs[1].split())
    finding = "example is better than plain by 3.00 [3.00, 3.00] points on clear (1-5), 12 pairs in 6 combinations"
    assert finding in re.sub(r"draft templates? ", "", said)
    assert finding in re.sub(
        r"draft templates? ", "", " ".join((reader.folder / "data/results/clear/README.md").read_text().split())
    )
