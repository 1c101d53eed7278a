"""Clean and robust accuracy of a model under a plan of attacks (host)."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from robust_jax.core import checks, compilation, records
from robust_jax.core.compiling import check_jit, own_settings
from robust_jax.core.records import PathLike
from robust_jax.evaluate import plans
from robust_jax.evaluate.audit import Audit
from robust_jax.evaluate.auditing import (
    AUDIT_SHARE,
    Auditor,
    check_classes,
    check_points,
    settled,
)
from robust_jax.evaluate.claims import of_parameters
from robust_jax.evaluate.engine import Estimate, Layout, Limit
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.examples import asked, given
from robust_jax.evaluate.forecast import OnProgress
from robust_jax.evaluate.identity import describe
from robust_jax.evaluate.model import Model, adapted
from robust_jax.evaluate.report import Report, StageResult
from robust_jax.evaluate.stages import Plan, Stage


@own_settings()
def robustness(
    model: Any,
    images: Any,
    labels: Any,
    threat: Any,
    *,
    plan: str | Plan = "standard",
    takes: str = "example",
    samples: int = 100,
    ids: Any = None,
    subset: Any = None,
    seed: int = 0,
    layout: Layout = Layout(),  # noqa: B008  Frozen.
    retire: bool = True,
    audit: bool = True,
    points: int | None = None,
    surrogate: Any = None,
    certified: Any = None,
    name: str = "model",
    journal: PathLike | None = None,
    limit_minutes: float | None = None,
    on_estimate: Callable[[Estimate], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Clean and robust accuracy, every adversarial example checked, the whole audited.

    Guarantees: the same flags, bytes and useful cost for any order, subset or batch of
    examples, number of tiles, chunk and devices, interrupted or not; robust accuracy
    <= clean accuracy; new weights and radii do not compile again.
    Edge cases: an example that the model gets wrong counts as broken, unattacked;
    non-finite logits at an adversarial iterate count as broken and are named.

    Args:
        model: what `takes` says; bind weights with `jax.tree_util.Partial(apply,
            variables)`, as the adapters of `interop` do, so that new ones do not
            compile again. K >= 2 logits.
        images: shape [N, *S], floats inside the threat's box.
        labels: shape [N], integers in [0, K).
        threat: such as `threats.Linf(8 / 255)`.
        plan: a name (standard, plus, rand, swift, strongest, basic) or a tuple of
            `Stage`s, which run in this order.
        takes: "example", [*S] -> [K]; "batch", [B, *S] -> [B, K]; "example and key",
            (x, key) -> [K], a random net: use the plan rand, or one whose attacks
            average over keys.
        samples: fresh answers of a random net whose majority is its verdict.
        ids: one integer per example, shape [N]; a hash of image and label by default.
        subset: which examples, as NumPy indexes: integers, a mask or a slice.
        seed: of all random draws, together with the ids.
        layout: of the work on the devices.
        retire: an example that one stage broke is spared by the next ones; if False
            every stage attacks every example that the model gets right.
        audit: whether to run the checks of `evaluate.audit`; not of a threat on
            parameters, such as `threats.RotationTranslation`.
        points: examples that every check of the audit looks at, whatever that costs.
            None lets the audit spend a quarter of the plan's cost: from 16 examples a
            check to 128, more where a check is undecided; what is too dear is left
            out, and the report says so. Where the plan left an example, five checks of
            the model are asked in any case, which is up to 5,120 forward passes (of a
            random net times `samples`): of a plan that costs less than four times that
            the audit is more than a quarter.
            See `Report.audit_again`.
        surrogate: a plain net of one example, for the audit's transfer attack.
        certified: shape [N] bool, examples that are proved robust, for the audit.
        name: of the model, for the report.
        journal: folder in which finished items are kept (at least every 30 s), and
            from which an interrupted evaluation of the same goes on, to the same
            result but for spent cost and time, which are this session's. It knows the
            evaluation by all that its items depend on, weights included; of a model
            on the host by its name, see `interop.from_host`.
        limit_minutes: of the whole call, compilation included, after which it stops
            with a partial report. Attacks, stages and checks of the audit that were
            not begun are left undone; what was found is still checked by a last look,
            for which time is kept back.
        on_estimate: called before the plan begins with what all will take, which costs
            a few forward passes.
        on_progress: called while programs compile, at every look of the host, and after
            every check of the audit.
    Raises: ValueError: bad images, labels, radius, plan or model, in one sentence; a
        journal of another evaluation, damaged, or in use by another run.
    """
    check_jit("robustness")
    start, limit = time.perf_counter(), Limit(limit_minutes)
    _check_options(
        plan, seed, layout, name, retire=retire, audit=audit, on_estimate=on_estimate,
        on_progress=on_progress,
    )  # fmt: skip
    if journal is not None:
        records.names_a_folder("journal", journal)
    check_points(points, audit)
    with compilation.recorded() as made:
        of = given(images, labels, threat, ids, certified=certified, subset=subset)
        threat, certified = of.threat, of.certified
        if of_parameters(threat):
            _check_of_parameters(threat.name, plan, audit)
        surrogate = settled(surrogate, of.images, seed)
        net = adapted(model, of.images, takes, samples, seed)
        examples = asked(net.logits_fn, of, layout.tile)
        check_classes(surrogate, examples)
        plan = _stages(plan, net, threat.name, examples.logits.shape[1])
        # What the clean images took to be asked, the last look will take again.
        limit.reserved = made.so_far.seconds
        run = Evaluation(net, examples, threat, plan, seed, layout, retire, limit)
        run.watch(on_progress)
        try:
            if journal is not None:
                run.keep(journal)
            share = AUDIT_SHARE if audit else 0.0
            _tell(run, share, on_estimate, on_progress is not None)
            report = _report(run, tuple(run.all_stages()), name)
            auditor = Auditor(run, surrogate, certified)
            report = dataclasses.replace(report, auditor=auditor)
        finally:
            run.close()
        if audit:
            report = report.audited(_audit(run, report, points))
    return dataclasses.replace(
        report,
        compilation=made.so_far,
        seconds_to_first_step=None if run.began is None else run.began - start,
    )


def _check_options(plan: Any, seed: Any, layout: Any, name: Any, **others: Any) -> None:
    """What can be refused without the images."""
    checks.seed(seed)
    checks.instance("layout", layout, Layout, "an evaluate.Layout")
    checks.instance("name", name, str, "a text")
    for option, value in others.items():
        if not option.startswith("on_"):
            checks.flag(option, value)
        elif value is not None:
            checks.function(option, value)
    if isinstance(plan, str):
        return plans.check_known(plan)
    is_plan = isinstance(plan, tuple | list) and all(isinstance(s, Stage) for s in plan)
    if not (is_plan and plan):
        raise ValueError(
            f"plan={checks.shown(plan)}; expected a plan's name or at least one Stage "
            "in a tuple: without an attack nothing is known of robustness"
        )


def _tell(
    run: Evaluation,
    audit_share: float,
    on_estimate: Callable[[Estimate], None] | None,
    is_watched: bool,
) -> None:
    """Forecasts for who asks; a limit needs to know how fast the model is."""
    if on_estimate is None and not is_watched and run.limit.minutes is None:
        return
    forecast = run.forecast(audit_share)
    if on_estimate is not None:
        on_estimate(forecast.estimate)


def _audit(run: Evaluation, report: Report, points: int | None) -> Audit:
    run.limit.reserved = 0.0
    return report.auditor(
        report,
        points,
        on_check=run.tell_audit,
        seconds_left=lambda: run.limit.left,
    )


def _check_of_parameters(name: str, plan: str | Plan, audit: bool) -> None:
    """Plans by name and the audit have attacks on pixels alone."""
    if isinstance(plan, str):
        raise ValueError(
            f"plan={plan}; expected stages for {name}, such as "
            "(Stage('grid', attacks.through(attacks.grid())),)"
        )
    if audit:
        raise ValueError(
            f"audit=True; expected False for {name}: the checks' attacks choose "
            "pixels, not parameters"
        )


def _stages(plan: str | Plan, net: Model, norm: str, num_classes: int) -> Plan:
    if plan == "rand" and not net.is_random:
        raise ValueError(
            "plan='rand' is for random nets; expected takes='example and key'; use "
            "standard or swift for this one"
        )
    if isinstance(plan, str):
        return plans.by_name(plan, norm, num_classes)
    return tuple(plan)


def _report(run: Evaluation, stages: tuple[StageResult, ...], name: str) -> Report:
    return Report(
        model=name,
        threat=describe(run.threat),
        clean=run.clean,
        stages=stages,
        x_adv=run.x_adv,
        winner=run.winner,
        place=run.place,
        best_margin=run.best_margin,
        ids=run.examples.ids,
        claims=run.claims(),
        seed=run.seed,
        tile=run.layout.tile,
        samples=run.model.samples,
        right_share=run.right_share,
        evaluation=run,
    )
