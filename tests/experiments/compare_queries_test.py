"""Decision-based attacks beside other libraries', which a script plays."""

import json

import numpy as np
import pytest

from tests.experiments import command_line, player

pytestmark = pytest.mark.xdist_group("compare_peers")

# One attack blackens all images but the first, for 311 queries; the other is missing.
PLAYER = (
    player.START
    + """
print(json.dumps({{"versions": {{"foolbox": "9"}}, "threads": 2}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["attack"] == "GeoDA":
        said = {{"error": "TypeError: no such thing"}}
    else:
        assert request["attack"] == "BoundaryAttack" and request["eps"] is None
        assert request["arguments"]["steps"] == 199, request
        found = images[::-1] * 0
        found[0] = images[0]
        np.savez(sys.argv[3], x_adv=found)
        said = {{"seconds": 1.5, "forwards": 311.0, "backwards": 0.0}}
    print(json.dumps(said), flush=True)
"""
)


def test_ours_gets_as_many_queries_and_both_are_judged(tmp_path):
    folder = player.set_up(tmp_path, PLAYER)
    command = "comparisons.compare_queries --norm=l2 --queries=300 --count=20"
    command += " --attacks=boundary_attack,geoda --repetitions=2 --out=out"
    command += " --checkpoint=net.safetensors"
    options = [f"--peers_python={folder / 'python'}"]
    end = command_line.run([*command.split(), *options], folder)
    assert end.code == 0, end.err
    record = json.loads((folder / "out" / "record.json").read_text())
    rows = {row["attack"]: row for row in record["rows"]}
    assert rows["geoda"]["error"] == "TypeError: no such thing"
    assert "geoda of art failed: TypeError: no such thing" in record["notes"]
    row = rows["boundary_attack"]
    theirs, ours = (
        np.array([np.inf if d is None else float(d) for d in row[name]])
        for name in ("distances", "our_distances")
    )
    assert row["n"] == len(theirs) == len(ours) and row["queries"] == 311
    assert np.isinf(theirs[0])  # It was not changed ...
    assert row["found"] == np.isfinite(theirs).sum()
    middle = np.median(theirs)
    assert row["median"] == (pytest.approx(middle) if middle < np.inf else None)
    assert row["ours"] == pytest.approx(np.median(ours))  # ... and all of ours are.
    nearer = int((ours < theirs).sum())
    assert row["nearer"] == f"{nearer} of {row['n']}" and nearer > 0
    times = np.array(row["times"])
    assert times.shape == (3, 2) and (times[:, 0] == 1.5).all()
    assert row["first"] == 1.5 and row["our_first"] == times[0, 1]
    assert row["our_seconds"] == pytest.approx(np.median(times[1:, 1]))
    assert row["ratio"] == pytest.approx(1.5 / row["our_seconds"])
