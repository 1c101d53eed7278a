"""Threats whose adversary chooses parameters, not pixels: geometry and colour.

Such a threat says what the parameters z are, [*Z], in units of their limits, and what
they make of an image; projections, samples and distances are those of z, around zero.
`attacks.through` makes an attack on pixels one on parameters.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from robust_jax.core.images import as_image, from_image, image_shape
from robust_jax.core.types import Array, Key
from robust_jax.core.values import Value
from robust_jax.threats import warps
from robust_jax.threats.linf import Linf


class Parametric(Value):
    """Parameters of which each may be up to eps of its limit.

    An attack on pixels is refused where it asks for a set of pixels: any image would
    be in it.

    Args:
        eps: share of the limits, shape [], >= 0; 1 is all of them.
        lower, upper: of the parameters; -1 and 1, or infinite where there is no limit.

    >>> rj.threats.ColourShift().start(jnp.zeros((8, 8, 3))).shape
    (3, 2)
    """

    name: ClassVar[str]
    sums: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    eps: Array | float = 1.0
    lower: Array | float = -1.0
    upper: Array | float = 1.0

    @property
    def ball(self) -> Linf:
        """The set of parameters, as a ball."""
        return Linf(self.eps, self.lower, self.upper)

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether parameters, of some image, have that shape."""
        raise NotImplementedError

    def measured(self, delta: np.ndarray) -> np.ndarray:
        """NaN, as an image does not tell which parameters made it."""
        return np.full(len(delta), np.nan)

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """All of the limits, and whatever is beyond."""
        return np.inf, "all limits"

    def start(self, x: Array) -> Array:
        """The parameters that leave x as it is: zeros [*Z]."""
        raise NotImplementedError

    def apply(self, x: Array, z: Array) -> Array:
        """The image that the parameters make, the shape of x."""
        raise NotImplementedError

    def project(self, z: Array, z0: Array) -> Array:
        """The nearest allowed parameters."""
        return self._checked(z).project(z, z0)

    def sample(self, key: Key, z0: Array) -> Array:
        """Uniform among those allowed."""
        return self._checked(z0).sample(key, z0)

    def steepest(self, grad: Array, z: Array) -> Array:
        """eps times the signs of the gradient."""
        return self._checked(z).steepest(grad, z)

    def distance(self, z: Array, z0: Array) -> Array:
        """The largest parameter, as a share of its limit; shape []."""
        return self.ball.distance(z, z0)  # That of clean pixels is 0, too.

    def _checked(self, z: Array) -> Linf:
        shape = jnp.shape(z)
        if not self.takes(shape):
            raise ValueError(
                f"threat={type(self).__name__} limits parameters, and the attack moves "
                f"an input of shape {shape}; make it one on parameters by "
                "attacks.through(attack)"
            )
        return self.ball


class RotationTranslation(Parametric, static=("rotation", "translation")):
    """The image is turned about its middle and shifted (Engstrom et al., ICML 2019).

    Parameters: rotation, shift down, shift to the right; [3]. Bilinear, black beyond
    the edges. The limits are static.

    Args:
        eps: share of the limits, shape [], >= 0; 1 is all of them.
        rotation: degrees, either way.
        translation: pixels, along each axis; the paper's 3 of 28 or 32.
    References: Engstrom et al., "Exploring the Landscape of Spatial Robustness".

    >>> threat = rj.threats.RotationTranslation(translation=1.0)
    >>> threat.apply(jnp.eye(3), jnp.array([0.0, 0.0, 1.0]))
    Array([[0., 1., 0.],
           [0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    name: ClassVar[str] = "rotation-translation"
    rotation: float = 30.0
    translation: float = 3.0

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether it is [3]."""
        return shape == (3,)

    def start(self, x: Array) -> Array:
        """No rotation, no shift: zeros [3]."""
        return jnp.zeros(3, jnp.promote_types(x.dtype, jnp.float32))

    def apply(self, x: Array, z: Array) -> Array:
        """The image turned and shifted, the shape of x."""
        shift = self.translation * z[1:]
        return warps.turned(x, self.rotation * z[0], shift[0], shift[1])


class Flow(Parametric, static=("reach",)):
    """Each pixel is taken from a place near by (Xiao et al., ICLR 2018).

    Parameters: displacements down and to the right, [H, W, 2]. The limit is static.

    Args:
        eps: share of the limit, shape [], >= 0; 1 is all of it.
        reach: pixels, along each axis.

    >>> threat = rj.threats.Flow()
    >>> threat.start(jnp.zeros((8, 8, 3))).shape
    (8, 8, 2)
    """

    name: ClassVar[str] = "flow"
    reach: float = 1.0

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether it is [H, W, 2]."""
        return len(shape) == 3 and shape[-1] == 2

    def start(self, x: Array) -> Array:
        """No displacement: zeros [H, W, 2]."""
        height, width, _ = image_shape(x.shape)
        return jnp.zeros((height, width, 2), jnp.promote_types(x.dtype, jnp.float32))

    def apply(self, x: Array, z: Array) -> Array:
        """The image with its pixels displaced, the shape of x."""
        return warps.flowed(x, self.reach * z)


class ColourShift(Parametric, static=("offset", "gain", "low", "high")):
    """Each channel becomes lighter or darker and stronger or weaker in contrast.

    Parameters: offset and gain of each channel, [C, 2]; a channel c becomes
    c * (1 + gain) + offset, clipped to the range. The limits are static.

    Args:
        eps: share of the limits, shape [], >= 0; 1 is all of them.
        offset: pixel units.
        gain: share of the contrast, below 1.
        low, high: the range of pixels.
    References: of the kind of Hosseini & Poovendran, "Semantic Adversarial Examples",
        CVPRW 2018, who shift hue and saturation; this one knows grey images, too.

    >>> threat = rj.threats.ColourShift(offset=0.2)
    >>> threat.apply(jnp.full((1, 2, 1), 0.5), jnp.array([[1.0, 0.0]])).ravel()
    Array([0.7, 0.7], dtype=float32)
    """

    name: ClassVar[str] = "colour-shift"
    offset: float = 0.2
    gain: float = 0.3
    low: float = 0.0
    high: float = 1.0

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether it is [C, 2]."""
        return len(shape) == 2 and shape[-1] == 2

    def start(self, x: Array) -> Array:
        """No shift: zeros [C, 2]."""
        channels = image_shape(x.shape)[2]
        return jnp.zeros((channels, 2), jnp.promote_types(x.dtype, jnp.float32))

    def apply(self, x: Array, z: Array) -> Array:
        """The image with its channels shifted, the shape of x."""
        image, (offset, gain) = as_image(x), z.T[:, None, None]
        shifted = image * (1 + self.gain * gain) + self.offset * offset
        return from_image(jnp.clip(shifted, self.low, self.high), x.shape).astype(
            x.dtype
        )
