"""Factories whose products are pytrees: their numbers are leaves, the rest structure.

A compiled program takes a product as an argument, so that two settings of one attack,
which differ in numbers only, share their programs. Anything that is a few functions
with parameters may be such a product: an attack, a gradient's estimator, a step rule.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import jax
import numpy as np

from robust_jax.core import kinds, signatures
from robust_jax.core.closures import Mark

_P = ParamSpec("_P")
_T = TypeVar("_T")
_KEPT = 1024  # Products of each factory whose identity is remembered.


class _Hole:
    """Where a number was."""

    def __repr__(self) -> str:
        return "·"


_HOLE = _Hole()


class Structure(NamedTuple):
    """All of a product but its numbers; hashable."""

    function: Callable[..., Any]
    signature: inspect.Signature
    fixed: tuple[tuple[str, type, Any], ...]  # arguments that decide the program
    tree: Any  # of the other arguments
    leaves: tuple[Any, ...]  # of the tree, with holes
    mark: Mark = ()  # what functions of the user's compute now
    unvouched: bool = False  # see `core.facts`

    def arguments(self, numbers: Any) -> inspect.BoundArguments:
        """What the factory is called with."""
        rest = iter(numbers)
        leaves = [next(rest) if leaf is _HOLE else leaf for leaf in self.leaves]
        given = jax.tree.unflatten(self.tree, leaves)
        given |= {name: value for name, _, value in self.fixed}
        order = [name for name in self.signature.parameters if name in given]
        return inspect.BoundArguments(
            self.signature, cast(Any, {name: given[name] for name in order})
        )


@jax.tree_util.register_pytree_node_class
class Product:
    """What a factory makes, and of what: a pytree whose leaves are its numbers.

    Looks and is called like what the factory's body returns, which is made again from
    traced numbers wherever a product is an argument of a program. Products are equal
    where factory and arguments are, print as the call that makes them (functions that
    are the usual ones are left out), and pickle as that call.
    """

    __slots__ = ("_made", "_written", "numbers", "structure")

    def __init__(self, structure: Structure, numbers: tuple[Any, ...]) -> None:
        self.structure, self.numbers = structure, numbers

    @property
    def made(self) -> Any:
        """What the factory's body returns for these numbers."""
        try:
            return self._made
        except AttributeError:
            given = self.structure.arguments(self.numbers)
            self._made: Any = self.structure.function(*given.args, **given.kwargs)
            return self._made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self.__slots__:
            raise AttributeError(name)
        return getattr(self.made, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not callable(_unwrapped(self)):
            raise TypeError(
                f"{self.written_by.__name__}(...) is no function; expected "
                "rj.attack(attack, model, images, labels, threat)"
            )
        return self.made(*args, **kwargs)

    @property
    def written_by(self) -> Callable[..., Any]:
        """The function that a user calls to make it."""
        return self._as_written[0]

    @property
    def written(self) -> dict[str, Any]:
        """What that function is given."""
        return self._as_written[1]

    @property
    def _as_written(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        try:
            return cast(Any, self)._written
        except AttributeError:
            given = self.structure.arguments(self.numbers).arguments
            return vars(self.structure.function)["factory"], dict(given)

    def known_as(self, by: Callable[..., Any], *args: Any, **kwargs: Any) -> "Product":
        """The same, made by a function that derived its numbers."""
        bound = inspect.signature(by).bind(*args, **kwargs)
        bound.apply_defaults()
        copy = Product(self.structure, self.numbers)
        cast(Any, copy)._written = by, dict(bound.arguments)
        return copy

    def marked(self, mark: Mark) -> "Product":
        """The same, told from others of these arguments; programs are its own."""
        return self._changed(mark=mark)

    def as_unvouched(self) -> "Product":
        """The same, for a use that nobody vouches for; see `core.facts`."""
        return self._changed(unvouched=True)

    def _changed(self, **fields: Any) -> "Product":
        copy = Product(self.structure._replace(**fields), self.numbers)
        cast(Any, copy)._written = self._as_written
        return copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Product):
            return NotImplemented
        pairs = zip(self.numbers, other.numbers, strict=False)
        return self.structure == other.structure and all(_same(*pair) for pair in pairs)

    def __hash__(self) -> int:
        return hash(self.structure)

    def __repr__(self) -> str:
        usual = inspect.signature(self.written_by).parameters
        given = [
            f"{name}={_shown(value)}"
            for name, value in self.written.items()
            if _is_number(value) or value is not usual[name].default
        ]
        return f"{self.written_by.__name__}({', '.join(given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self.written_by, self.written, self.structure.unvouched)

    def tree_flatten(self) -> tuple[tuple[Any, ...], Structure]:
        return self.numbers, self.structure

    @classmethod
    def tree_unflatten(cls, structure: Structure, numbers: Any) -> "Product":
        return cls(structure, tuple(numbers))


def factory(*fixed: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """A decorator: gives a factory's products numbers that programs need not know.

    Integers and floats among the arguments, in tuples and products too, become leaves;
    functions, names and switches are structure. Equal arguments, however written, give
    equal products, mostly the same object; `True` and `1.0` do not pass for `1`. So

        @factory()
        def pgd(steps: int = 40, relative_step: float = 1 / 30): ...

    lets `pgd(10)` run the programs of `pgd(40)`. The body is run once, when the factory
    is called, and again with traced numbers, which `core.checks` lets pass, in each
    trace: what it derives of them is JAX.

    Args:
        fixed: arguments whose numbers decide shapes or the text of the program, such
            as the length of a table.
    Raises: TypeError: at the call, if an argument is not hashable, or not of the kind
        that its annotation says: a function, a tuple of functions, a flag.
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        signature = inspect.signature(function)
        may_be = {
            name: kinds.allowed(parameter.annotation)
            for name, parameter in signature.parameters.items()
        }
        remembered = functools.lru_cache(maxsize=_KEPT, typed=True)(
            lambda structure, *numbers: _checked(Product(structure, numbers))
        )

        @functools.wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            bound = signatures.bound(function.__name__, signature, args, kwargs)
            bound.apply_defaults()
            bound.arguments |= {k: _plain(v) for k, v in bound.arguments.items()}
            for name, value in bound.arguments.items():
                kinds.check(name, _unwrapped(value), may_be[name])
            structure, numbers = _split(function, signature, fixed, bound.arguments)
            if _is_lasting(structure, numbers):
                made = remembered(structure, *numbers)
            else:
                made = _checked(Product(structure, numbers))
            cast(Any, made)._written = wrapper, dict(bound.arguments)
            # The body knows ranges of its own, and has seen them first.
            for name, value in bound.arguments.items():
                kinds.check_number(name, value, signature.parameters[name].annotation)
            return cast(_T, made)

        vars(function)["factory"] = wrapper
        return wrapper

    return decorate


@factory()
def by_hand(functions: _T) -> _T:
    """A tuple of functions and numbers as a product; a product as it is."""
    return functions


def as_product(made: _T) -> _T:
    """What a factory made as it is, a tuple of functions as a product of itself."""
    return made if isinstance(made, Product) else by_hand(made)


def _made_again(by: Callable[..., Any], given: Any, unvouched: bool) -> Any:
    made = by(**given)
    return made.as_unvouched() if unvouched else made


def _plain(value: Any) -> Any:
    """A NumPy number as Python's: equal settings are one, whoever computed them."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if type(value) is tuple else value


def _unwrapped(value: Any) -> Any:
    """What a product, perhaps of a product, is of; anything else as it is."""
    while isinstance(value, Product):
        value = value.made
    return value


def _split(
    function: Callable[..., Any],
    signature: inspect.Signature,
    fixed: tuple[str, ...],
    arguments: dict[str, Any],
) -> tuple[Structure, tuple[Any, ...]]:
    given = dict(arguments)
    constant = tuple((n, type(given[n]), given.pop(n)) for n in fixed)
    leaves, tree = jax.tree.flatten(given)
    numbers = tuple(leaf for leaf in leaves if _is_number(leaf))
    static = tuple(_HOLE if _is_number(leaf) else leaf for leaf in leaves)
    return Structure(function, signature, constant, tree, static), numbers


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, bool | np.bool_):
        return False
    return isinstance(leaf, int | float | np.number | np.ndarray | jax.Array)


def _is_lasting(structure: Structure, numbers: tuple[Any, ...]) -> bool:
    """Whether a product may outlive its call: nothing in it can be traced."""
    values = (*numbers, *structure.leaves)
    if any(getattr(value, "__closure__", None) for value in values):
        return False
    return all(isinstance(number, int | float | np.number) for number in numbers)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and type(one) is type(other):
        return one == other
    return one is other  # Arrays may be large, traced numbers have no value.


def _checked(product: Product) -> Product:
    _ = product.made  # The body refuses bad arguments at once.
    return product


def _shown(value: Any) -> str:
    if type(value) is tuple:
        return f"({''.join(f'{_shown(part)}, ' for part in value).strip()})"
    return getattr(value, "__name__", None) or repr(value)
