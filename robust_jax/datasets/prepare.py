"""Official files to a tfds directory that plain `tfds.data_source` reads.

tfds's own builders need TensorFlow to read the files and to encode the images. Ours
are the same builders (name, version, features, keys, hence tfds's order) with these
two steps in NumPy and pillow, and without the download manager: its cache of unpacked
files goes by file name, and MNIST's and Fashion-MNIST's have the same names.
"""

import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from robust_jax.core import checks, extras
from robust_jax.datasets import layouts, official, tfds_source
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.official import RawSplit
from robust_jax.datasets.types import dataset_ids

_MEAN_TOLERANCE = 2e-4  # The catalog has four digits; a wrong byte order is off by 0.1.
_SCALE = 255


def prepare(
    name: str,
    manual_dir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    verify: bool = True,
    overwrite: bool = False,
) -> pathlib.Path:
    """Prepares a data set from its official files, without TensorFlow or network.

    The files are checked and read, written as array_record under a temporary name,
    read back and compared, and moved into place: there is a whole data set or none.
    SVHN's "extra" split is not prepared. About 50 s for MNIST.

    Args:
        name: a key of `catalog.CATALOG`.
        manual_dir: holds the files under their official names.
        data_dir: as for tfds; default $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        verify: compare the files with tfds's list of sha256, and the mean of the
            train images with the known one.
        overwrite: replace what is prepared already.
    Returns: the prepared directory, data_dir/NAME/VERSION.
    Raises: FileNotFoundError: a file is missing; the sentence has its address.
        FileExistsError: prepared already, and not `overwrite`.
        ValueError: a file is not the official one, truncated, or of another format;
            data_dir cannot be written.
    """
    checks.known_name("dataset", name, CATALOG)
    stock = _stock_builder(name)
    root = tfds_source.data_root(data_dir)
    target = root / stock.name / str(stock.VERSION)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; pass --overwrite to prepare it again")
    layout = layouts.LAYOUTS[name]
    folder = pathlib.Path(manual_dir).expanduser()
    _check_files(folder, layout.files, stock.url_infos, verify)
    splits, class_names = layout.read(folder)
    _check_contents(name, splits)
    if verify:
        _check_means(name, splits["train"])
    with _temporary_directory(root) as temporary:
        written = _write(stock, splits, class_names, temporary)
        _check_written(written, splits)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            os.replace(target, temporary / "replaced")
        os.replace(written, target)
    return target


def _stock_builder(name: str) -> Any:
    tfds = extras.needed("tensorflow_datasets", "data", "datasets.prepare")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    return tfds.builder_cls(CATALOG[name].tfds_name)


def _check_files(
    folder: pathlib.Path, files: tuple[str, ...], url_infos: Any, verify: bool
) -> None:
    """Raises unless all files are there and, if wanted, are the official ones."""
    by_file = {url.rsplit("/", 1)[1]: (url, info) for url, info in url_infos.items()}
    for file in files:
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder / file} is missing; fetch it from {by_file[file][0]}"
            )
    for file in files if verify else ():
        official.check_sha256(folder / file, by_file[file][1].checksum)


def _check_contents(name: str, splits: dict[str, RawSplit]) -> None:
    """Raises unless images and labels are of the kind the data set has."""
    entry = CATALOG[name]
    for split, (images, labels) in splits.items():
        if images.shape[1:] != entry.shape or not len(images):
            raise ValueError(
                f"the {split} images of {name} have shape {list(images.shape)}; "
                f"expected [N, {', '.join(map(str, entry.shape))}]"
            )
        if labels["label"].max() >= entry.num_classes:
            raise ValueError(
                f"the {split} labels of {name} go up to {labels['label'].max()}; "
                f"expected 0 to {entry.num_classes - 1}"
            )


def _check_means(name: str, train: RawSplit) -> None:
    found = train.images.mean(axis=(0, 1, 2), dtype=np.float64) / _SCALE
    expected = np.array(CATALOG[name].means)
    if np.abs(found - expected).max() > _MEAN_TOLERANCE:
        raise ValueError(
            f"the train images of {name} have mean {np.round(found, 4).tolist()}; "
            f"expected {expected.tolist()}; the files do not hold the named data set"
        )


@contextlib.contextmanager
def _temporary_directory(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory on the file system of `root`, gone at the end; `root` is made."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=root, prefix=".prepare-")
    except OSError as error:
        raise ValueError(
            f"data_dir={root} cannot be written ({error.strerror}); "
            "give a directory that can"
        ) from error
    try:
        yield pathlib.Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    stock: Any,
    splits: dict[str, RawSplit],
    class_names: dict[str, list[str]],
    root: pathlib.Path,
) -> pathlib.Path:
    """Writes the splits with tfds; returns root/NAME/VERSION."""
    tfds = extras.needed("tensorflow_datasets", "data", "datasets.prepare")

    class FromOfficialFiles(stock, skip_registration=True):  # type: ignore[call-arg]
        """The stock builder, fed from memory."""

        name = stock.name

        def _info(self) -> Any:
            info = super()._info()
            # Asking tfds's bucket would leave a temporary directory behind.
            info.initialize_from_bucket = lambda: None
            return info

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            for feature, names in class_names.items():
                self.info.features[feature].names = names
            return {name: self._generate_examples(name) for name in splits}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
            with_id = "id" in self.info.features
            for index, image in enumerate(splits[split].images):
                columns = splits[split].labels.items()
                record: dict[str, Any] = {key: int(c[index]) for key, c in columns}
                if with_id:
                    width = 6 if stock.name == "svhn_cropped" else 5  # as tfds has it
                    record["id"] = f"{split}_{index:0{width}d}"
                yield index, {"image": _png(image), **record}

    logging.info("Writing %s", stock.name)
    builder = FromOfficialFiles(data_dir=root)
    with contextlib.redirect_stdout(io.StringIO()):  # It prints the temporary name.
        builder.download_and_prepare(
            download_dir=root / "unused",
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
    return pathlib.Path(builder.data_dir)


def _check_written(directory: pathlib.Path, splits: dict[str, RawSplit]) -> None:
    """Raises unless the directory holds the same examples, in whatever order."""
    for split, (images, labels) in splits.items():
        ids = dataset_ids(images, labels["label"].astype(np.int32), _SCALE)
        arrays = tfds_source.read(directory, split)
        if not np.array_equal(np.sort(ids), np.sort(arrays.ids)):
            raise ValueError(
                f"{directory} does not give back the {split} images as written; try "
                "again, or another disk"
            )
        tfds_source.keep(directory, split, arrays)


def _png(image: np.ndarray) -> bytes:
    Image = extras.needed("PIL.Image", "data", "datasets.prepare")
    buffer = io.BytesIO()
    gray = image.shape[-1] == 1
    Image.fromarray(image[..., 0] if gray else image).save(buffer, format="PNG")
    return buffer.getvalue()
