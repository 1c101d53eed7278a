"""Clean and robust accuracy of a model under a plan of attacks (host)."""

import dataclasses
import time
from typing import Any, Unpack

from robust_jax.core import checks, compilation, facts
from robust_jax.core.compiling import check_jit, own_settings
from robust_jax.core.types import ParametricThreat, Threat
from robust_jax.evaluate import plans
from robust_jax.evaluate.auditing import (
    AUDIT_SHARE,
    audited,
    check_classes,
    check_points,
    settled,
)
from robust_jax.evaluate.bars import shown
from robust_jax.evaluate.engine import Limit
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.examples import asked, given
from robust_jax.evaluate.identity import plan_flag, threat_flags
from robust_jax.evaluate.known import Judged
from robust_jax.evaluate.model import Model, adapted, admitted
from robust_jax.evaluate.options import Options, Run
from robust_jax.evaluate.report import Report
from robust_jax.evaluate.stages import Plan, Stage


@own_settings()
def robustness(
    model: Any,
    images: Any,
    labels: Any,
    threat: Threat,
    *,
    plan: str | Plan = "standard",
    takes: str | None = None,
    ids: Any = None,
    seed: int = 0,
    audit: bool = True,
    **options: Unpack[Options],
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
            compile again. K >= 2 logits. A module of NNX, Equinox or Linen, the last
            one bound to its variables, is taken as it is, in inference mode.
        images: shape [N, *S], floats inside the threat's box; channels last, unless the
            model says "channels first" (`interop.channels_first`), and then the
            threat's fields and what comes back are so, too.
        labels: shape [N], integers in [0, K).
        threat: such as `threats.Linf(8 / 255)`.
        plan: a name (standard, plus, rand, swift, strongest, basic) or a tuple of
            `Stage`s, which run in this order.
        takes: "example", [*S] -> [K]; "batch", [B, *S] -> [B, K]; "example and key",
            (x, key) -> [K], a random net: use the plan rand, or one whose attacks
            average over keys. By default an example, or else a batch, if it takes that.
        ids: one integer per example, shape [N]; a hash of image and label by default.
        seed: of all random draws, together with the ids.
        audit: whether to run the checks of `evaluate.audit`; not of a threat on
            parameters, such as `threats.RotationTranslation`.
        options: the fields of `evaluate.Run`: samples, subset, layout, retire, points,
            surrogate, certified, name, journal, limit_minutes, on_estimate,
            on_progress, progress.
    Raises: ValueError, TypeError: bad images, labels, radius, plan, option or model, in
        one sentence; an import that differs from its original, see
        `interop.despite_parity`; a journal of another evaluation, damaged, or in use.

    >>> given = net, images, labels, rj.threats.Linf(0.25)
    >>> plan = (rj.evaluate.Stage("fgsm", rj.attacks.fgsm()),)
    >>> report = rj.evaluate.robustness(*given, plan=plan, audit=False)
    >>> report.clean_accuracy.value, report.robust_accuracy.value
    (1.0, 0.333)
    >>> report.citation()
    'cite as: robust accuracy 33.3 % [6.1, 79.2] (95 % Wilson interval, n = 3) under
    linf eps=0.25, worst case over fgsm; seed 0'
    """
    check_jit("robustness")
    start, run = time.perf_counter(), Run.of(options)
    limit = Limit(run.limit_minutes)
    checks.seed(seed)
    checks.flag("audit", audit)
    _check_plan(plan)
    check_points(run.points, audit)
    model, said = admitted(model)
    some = {"certified": run.certified, "subset": run.subset}
    with compilation.recorded() as made, shown(run) as run:
        of = given(images, labels, threat, ids, **some, said=said)
        _check_threat(of.threat, plan, audit)
        surrogate = settled(run.surrogate, of.images, seed, said)
        run = dataclasses.replace(run, surrogate=surrogate, certified=of.certified)
        net = adapted(model, of.images, takes, run.samples, seed)
        examples = asked(net.logits_fn, of, run.layout.tile)
        check_classes(surrogate, examples)
        asked_for = {"seed": seed, "takes": takes, "audit": audit}
        flags = {**_flags(plan, of.threat, ids), **asked_for, **run.flags()}
        plan = _stages(plan, net, of.threat.name, examples.logits.shape[1])
        # What the clean images took to be asked, the last look will take again.
        limit.reserved = made.so_far.seconds
        judged = Judged(net, examples, of.threat, plan, seed, run)
        with Evaluation(judged, limit) as evaluation:
            found = evaluation.run(AUDIT_SHARE if audit else 0.0)
        report = Report(**vars(found), evaluation=evaluation)
        if audit:
            limit.reserved = 0.0
            checked = audited(
                evaluation,
                found,
                run.points,
                on_check=evaluation.tell_audit,
                seconds_left=lambda: limit.left,
            )
            report = report.audited(checked)
    return _finished(report, start, compilation=made.so_far, flags=flags)


def _finished(report: Report, start: float, **kept: Any) -> Report:
    """The report with images in the user's layout, and what it took since the call."""
    run = report.made_by
    return dataclasses.replace(
        report,
        x_adv=run.model.outward(report.x_adv),
        seconds_to_first_step=None if run.began is None else run.began - start,
        seconds=time.perf_counter() - start,
        **kept,
    )


def _flags(plan: str | Plan, threat: Threat, ids: Any) -> dict[str, Any]:
    """What a record keeps of the arguments that are no plain values."""
    named = {"plan": plan_flag(plan), "ids": None if ids is None else "given"}
    return {**named, **threat_flags(threat)}


def _check_plan(plan: Any) -> None:
    """What can be refused without the images."""
    if isinstance(plan, str):
        return plans.check_known(plan)
    is_plan = isinstance(plan, tuple | list) and all(isinstance(s, Stage) for s in plan)
    if not (is_plan and plan):
        raise ValueError(
            f"plan={checks.shown(plan)}; expected a plan's name or at least one Stage "
            "in a tuple: without an attack nothing is known of robustness"
        )


def _check_threat(threat: Threat, plan: str | Plan, audit: bool) -> None:
    """Plans by name and the audit have attacks on pixels alone."""
    for stage in plan if not isinstance(plan, str) else ():
        facts.check_use(stage.attack, threat)
    if not isinstance(threat, ParametricThreat):
        return
    name = threat.name
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
