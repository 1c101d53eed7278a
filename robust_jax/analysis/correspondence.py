"""Does a net relate the same part of different images? (host)"""

import itertools

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


def correspondence(whole: Values, covered: Values) -> float:
    """How differently the features of images change when a part of each is covered.

    The share of features whose change has another sign, the mean over pairs of images;
    0 if a cover changes all images alike. Features that a cover leaves as they are have
    sign 0.

    Args:
        whole: features of n images, shape [n, D], n >= 2.
        covered: of the same with the part covered.
    Raises: ValueError: shapes that differ; fewer than two images.
    References: Zeiler & Fergus, "Visualizing and understanding convolutional networks",
        ECCV 2014, Sec. 4.3. Differs from the paper in: a share, where the paper's sum
        is over pairs.
    """
    if whole.shape != covered.shape or whole.ndim != 2 or len(whole) < 2:
        raise ValueError(
            f"whole.shape={whole.shape}, covered.shape={covered.shape}; expected "
            "[n, D] twice, n >= 2"
        )
    signs = np.sign(whole - covered)
    pairs = itertools.combinations(signs, 2)
    return float(np.mean([(a != b).mean() for a, b in pairs]))
