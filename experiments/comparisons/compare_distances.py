"""Do our minimum-norm attacks find nearer adversarial images than other libraries'?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.comparisons.compare_distances --norm=l2 \
        --checkpoint=fastadv.safetensors --count=200

Every attack that minimises --norm, ours with their preset `short` and those of
--libraries, attacks the same images, all that the net gets right, in one batch on the
CPU, with settings that cost at most 1,000 forwards and backwards per image; a note
names those that cost more, as some libraries' costs depend on the image. What an attack
returned is judged, not what it passed on its way: in the box, wrong in a new forward
pass of our net (a tie is wrong), and its distance in float64; an image that it did not
break is infinitely far. "Near misses" are images that the library's framework may call
wrong, and that ours gets right by less than 1e-4: they count in median, area and
optimality, not among the found; the record has distances with and without them.

adv_lib (github.com/jeromerony/adversarial-library) is not on PyPI, and `make peers`
does not install it; where it is missing its rows say so. A busy machine is unfair to
PyTorch, whose threads spin while they wait: let nothing else run where seconds matter,
or give both sides one core each (`taskset -c 0`).
"""

from absl import flags

from experiments.comparisons.peers import (
    distance_rows,
    minimum_norm,
    nearest,
    options,
    ours,
)
from experiments.comparisons.peers.problem import Problem
from robust_jax import report
from robust_jax.attacks.catalog import SHORT_BUDGET
from robust_jax.commands.shared import common, distance_plans, recording
from robust_jax.core import checks
from robust_jax.evaluate import NearestPlan

_LIBRARIES = flags.DEFINE_list(
    "libraries", list(minimum_norm.LIBRARIES), "Beside ours; empty for none."
)

_ATTACKS = flags.DEFINE_list(
    "attacks", ["all"], "Of ours: names, nearest for the library's plan, or all."
)

_COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("library", "library"),
    report.Column("median", "median distance", report.fixed(4)),
    report.Column("area", "area", report.fixed(4)),
    report.Column("optimality", "optimality", report.fixed(4)),
    report.Column("success", "found [95 %]"),
    report.Column("forwards", "forwards", report.fixed(0)),
    report.Column("backwards", "backwards", report.fixed(0)),
    report.Column("seconds", "seconds", report.fixed(1)),
    report.Column("near_misses", "near misses"),
    report.Column("settings", "settings"),
)


def main(argv: list[str]) -> None:
    """Runs both sides, judges them, prints the table, writes the record."""
    _check_flags()
    norm, budget = options.NORM.value, SHORT_BUDGET
    plans = distance_plans.named(norm, _ATTACKS.value, "short")
    chosen = list(minimum_norm.of_norm(norm, budget, tuple(_LIBRARIES.value)))
    data, problem, libraries = options.posed()
    run = recording.Run("compare_distances")
    for plan in plans:
        found = _ours(plan, problem)
        run.rows.append(distance_rows.row(plan.name, "robust_jax", found, problem))
        run.rows[-1]["settings"] = distance_plans.settings(plan, "short")
    with libraries as peers:
        chosen = [
            peer for peer in chosen if minimum_norm.runs_with(peer, peers.versions)
        ]
        for peer in report.progress(chosen, f"{norm} attacks", "attack"):
            theirs = nearest.measure(peers, peer, problem, common.SEED.value)
            run.rows.append(
                distance_rows.row(peer.attack, peer.library, theirs, problem)
            )
            run.rows[-1]["settings"] = minimum_norm.settings(peer)
        run.notes = [options.conditions(peers, problem), *distance_rows.rank(run.rows)]
        run.notes += distance_rows.failures(run.rows)
        run.notes += distance_rows.over(run.rows, budget)
    run.show(_COLUMNS)
    run.save(
        f"Distances beside other libraries': {options.CHECKPOINT.value}",
        f"{data.name} test, n = {len(data)}, {norm}, at most {budget} forwards and "
        "backwards per image",
        _COLUMNS,
    )


def _ours(plan: NearestPlan, problem: Problem) -> nearest.Measured:
    ours.nearest(plan, problem, common.SEED.value)  # Compiles.
    return nearest.measured(problem, ours.nearest(plan, problem, common.SEED.value))


def _check_flags() -> None:
    options.check_without_radius()
    for library in _LIBRARIES.value:
        checks.known_name("library", library, minimum_norm.LIBRARIES)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(options)
    common.run_main(main)
