"""Programs on disk are found again where all that they depend on is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, interop, threats
from robust_jax.core import drive, exports, factories, incumbent
from robust_jax.evaluate import plans
from robust_jax.losses import objectives

X = jax.ShapeDtypeStruct((3,), np.float32)
BATCH = jax.ShapeDtypeStruct((2, 3), np.float32)


@pytest.fixture
def folder(tmp_path):
    exports.keep_in(tmp_path)
    yield tmp_path
    exports.keep_in(None)


def plan(of=(), model="", function=incumbent.nothing_yet, arguments=(X,)):
    result = jax.eval_shape(function, *arguments)
    return exports.Plan(function, arguments, result, (), of, model)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_entry_answers_as_the_function_itself(folder):
    x = jnp.arange(3.0)
    direct = incumbent.nothing_yet(x)
    for _ in range(2):  # Kept now, kept before.
        found = jax.jit(exports.kept(plan())[0])(x)
        assert jax.tree.structure(found) == jax.tree.structure(direct)
        jax.tree.map(np.testing.assert_array_equal, found, direct)
    assert len(entries(folder)) == 1


def test_nothing_is_kept_unless_asked_for():
    assert exports.kept(plan()) == (incumbent.nothing_yet, None)
    assert exports.model_name(Partial(jnp.sin), BATCH) is None


def test_what_is_kept_is_not_traced_again(folder, monkeypatch):
    traces, real = [], incumbent.nothing_yet

    def counting(x):
        traces.append(1)
        return real(x)

    counting.__module__, counting.__qualname__ = real.__module__, real.__qualname__
    one = plan(function=counting)
    traces.clear()
    _, sketch = exports.kept(one)
    once = list(traces)
    assert exports.kept(one)[1] == sketch._replace(kept=True)
    assert not sketch.kept
    jax.jit(exports.kept(one)[0])(jnp.zeros(3))
    assert traces == once


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_entry_is_made_again(folder, damage):
    exports.kept(plan())
    (name,) = entries(folder)
    whole = (folder / name).read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    (folder / name).write_bytes(flipped if damage is None else damage)
    found = jax.jit(exports.kept(plan())[0])(jnp.zeros(3))
    assert found.margin == -jnp.inf
    assert exports._read(folder / name) is not None


def test_an_entry_under_anothers_name_is_made_again(folder):
    """Its own digest is right; the program would be another one."""
    exports.kept(plan())
    (first,) = entries(folder)
    other = plan(arguments=(jax.ShapeDtypeStruct((4,), np.float32),))
    exports.kept(other)
    (second,) = set(entries(folder)) - {first}
    (folder / second).write_bytes((folder / first).read_bytes())
    _, sketch = exports.kept(other)
    assert not sketch.kept and exports.kept(other)[1].kept


def test_the_name_tells_attacks_apart_and_not_their_numbers(folder):
    def name_of(attack, shape=(3,)):
        structs = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((), jnp.result_type(a)), attack
        )
        x = jax.ShapeDtypeStruct(shape, np.float32)
        return exports._name(plan((structs,), arguments=(x,)))

    pgd = name_of(attacks.pgd(7))
    assert pgd == name_of(attacks.pgd(9, relative_step=0.5))
    others = [
        name_of(attacks.bim(7)),
        name_of(attacks.pgd(7, objective=objectives.margin)),
        name_of(attacks.pgd(7), shape=(4,)),
        name_of(attacks.apgd(objectives.dlr)),
        name_of(attacks.apgd(objectives.dlr, radii=(2.0, 1.0))),
    ]
    assert len({pgd, *others}) == len(others) + 1


def test_functions_of_the_user_are_not_kept(folder):
    attack = attacks.pgd(objective=lambda logits, goal: logits[0])
    surrogate = Partial(jnp.sin, jnp.zeros(3))
    for of in (attack, surrogate, factories.as_product(drive.RunOne), jnp.sin):
        one = plan((of,))
        assert exports.kept(one) == (one.function, None)
    assert entries(folder) == []


def ruled(slope, forward=2.0):
    """A net with a rule of differentiation, whose forward pass may differ from it."""

    @jax.custom_vjp
    def rule(x):
        return x * forward

    rule.defvjp(lambda x: (x * 2.0, None), lambda _, g: (slope * g,))
    return Partial(lambda w, x: rule(x) + w, jnp.zeros(3))


def batched(factor):
    """A net that answers a batch by a rule of its own."""

    @jax.custom_batching.custom_vmap
    def rule(x):
        return x

    rule.def_vmap(lambda size, is_batched, x: (factor * x, True))

    @jax.custom_vjp
    def net(x):
        return rule(x)

    net.defvjp(lambda x: (net(x), None), lambda _, g: (g,))
    return Partial(lambda x: net(x))


def closed(constant):
    return Partial(lambda x: x * constant)


def test_a_model_is_known_by_all_that_a_program_may_ask_of_it(folder):
    """A wrong program would give wrong numbers without a word."""
    one = exports.model_name(ruled(2.0), BATCH)
    assert one == exports.model_name(ruled(2.0), BATCH)
    large = np.arange(90_000.0).reshape(30_000, 3)
    others = [
        ruled(3.0),
        ruled(2.0, forward=5.0),
        batched(1.0),
        batched(2.0),
        closed(np.arange(3.0)),
        closed(np.arange(3.0) + 1),
        closed(large[:, :]),
        closed(np.where(large == 45_000, 0, large)),
    ]
    names = {exports.model_name(other, BATCH) for other in others}
    half = exports.model_name(ruled(2.0), jax.ShapeDtypeStruct((2, 3), np.float16))
    assert len({one, half, *names}) == len(others) + 2 and None not in names
    on_host = interop.from_host(lambda batch: batch, 3)
    assert exports.model_name(on_host, BATCH) is None


def test_attacks_that_draw_versions_of_a_net_are_not_kept(folder):
    """A version is not what the net answers without a key."""
    mean = attacks.expectation(plans.by_key, samples=2)
    one = plan((attacks.pgd(gradient=mean),))
    assert exports.kept(one) == (one.function, None) and entries(folder) == []


def test_limits_of_a_threat_that_are_constants_are_in_the_name(folder):
    threats_of = (threats.RotationTranslation(rotation=r) for r in (10.0, 20.0))
    one, other = (exports._name(plan((threat,))) for threat in threats_of)
    assert one != other


def test_what_cannot_be_exported_is_traced_as_before(folder, monkeypatch):
    def refused(*arguments, **options):
        raise ValueError("a custom call")

    monkeypatch.setattr(jax.export, "export", refused)
    one = plan()
    assert exports.kept(one) == (one.function, None) and entries(folder) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a directory, found a file"):
        exports.keep_in(tmp_path / "file")
