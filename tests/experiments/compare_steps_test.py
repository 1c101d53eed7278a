"""A training step beside PyTorch's, which a script plays."""

import json
import statistics

from tests.experiments import command_line, player

# PyTorch's side: every step takes 16 s, and 64 MiB after the first request.
PLAYER = """#!{python}
import json, sys
import numpy as np
with np.load(sys.argv[2]) as file:
    assert file["images"].shape == (512, 28, 28, 1) and file["steps"] == 10
print(json.dumps({{"versions": {{"torch": "9"}}, "threads": 2}}), flush=True)
for line in sys.stdin:
    held = np.ones(64 << 17)
    assert json.loads(line)["count"] == 1
    print(json.dumps({{"seconds": 16.0, "loss": 2.0}}), flush=True)
"""


def test_both_sides_take_their_steps_in_turn(tmp_path):
    folder = player.set_up(tmp_path, PLAYER)
    options = ["--repetitions=2", "--steps=1", "--peers_python=./python", "--out=out"]
    (done,) = command_line.run_all([["comparisons.compare_steps", *options]], folder)
    assert done.code == 0, done.err
    theirs, ours = json.loads((folder / "out" / "record.json").read_text())["rows"]
    assert theirs["who"] == "PyTorch 9" and theirs["all"] == [16.0] * 2
    assert 60 < theirs["resident"] < 80 <= theirs["highest"] < 150
    assert 0 < ours["median"] == statistics.median(ours["all"]) < ours["first"]
    assert ours["ratio"] == ours["median"] / 16
    assert 0 < ours["resident"] < ours["highest"]


def test_without_pytorch_it_says_how_to_get_it(tmp_path):
    (done,) = command_line.run_all(
        [["comparisons.compare_steps", "--peers_python=none"]], tmp_path
    )
    assert done.code == 2 and "run `make peers` first" in done.err
    assert not list(tmp_path.iterdir())
