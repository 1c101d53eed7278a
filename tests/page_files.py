"""The files that blocks of pages read, written into the working directory."""

import pathlib
import shutil
import warnings

import numpy as np

COUNT = 8


def write() -> None:
    """What docs/bring-your-model.md reads: nets and images of a user's."""
    import torch
    from PIL import Image

    import robust_jax as rj
    from tests import mynets

    data = rj.datasets.load("digits", "test").take(np.arange(COUNT))
    torch.manual_seed(0)
    module = mynets.Torch().eval()
    torch.save({"state_dict": module.state_dict()}, "net.pt")
    with warnings.catch_warnings(action="ignore"):  # The other exporter wants more.
        torch.onnx.export(
            module,
            torch.zeros(2, 1, 8, 8),
            "net.onnx",
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            dynamo=False,
        )
    shutil.copy(mynets.__file__, "mynets.py")
    np.savez("images.npz", images=data.pixels(), labels=data.labels)
    for label in range(10):
        pathlib.Path(f"folder/{label}").mkdir(parents=True)
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        pixels = Image.fromarray((image[..., 0] * 15).astype(np.uint8))
        pixels.save(f"folder/{label}/{number}.png")


def write_bytes() -> None:
    """What CONTRIBUTING.md reads: images of bytes, with their labels."""
    import robust_jax as rj

    data = rj.datasets.load("digits", "train")
    images = (data.pixels() * 255).round().astype(np.uint8)
    np.savez("mine.npz", images=images, labels=data.labels)
