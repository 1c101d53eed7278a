"""The image browser of a run's page."""

import pathlib
from typing import Any


def browser(record: dict[str, Any], folder: pathlib.Path) -> dict[str, Any] | None:
    """What `_images.html` shows of a run's images; None where there are none.

    Args:
        record: of the run.
        folder: of the run, in which its adversarial.npz is.
    """
    return None
