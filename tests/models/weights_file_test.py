"""The bytes of a checkpoint: those of earlier releases, and safetensors' own."""

import hashlib

import jax.numpy as jnp
import numpy as np
import safetensors

from robust_jax import models

# As release 0.1 wrote it, with its own writer: bfloat16 before float32.
OF_OLD = (
    b"\xd0\x01\0\0\0\0\0\0"
    b'{"__metadata__":{"format":"robust_jax checkpoint","version":"1","sha256":'
    b'"d3430edde43b081ca89099e578537942edeac649aeaaed9b92498a8bcdcf2495",'
    b'"model":"mlp","config":"{\\"num_classes\\": 2, \\"mean\\": [0.0], '
    b'\\"std\\": [1.0], \\"hidden\\": [], \\"input_rank\\": 3}",'
    b'"input_shape":"[1, 3, 1]","metadata":"{\\"epoch\\": 3}"},'
    b'"params/Dense_0/bias":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},'
    b'"params/Dense_0/kernel":{"dtype":"F32","shape":[3,2],"data_offsets":[4,28]}}'
    b"       \0?\0\xbf" + np.arange(0, 0.75, 0.125, "<f4").tobytes()
)


def test_a_file_of_an_earlier_release_is_read(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(OF_OLD)
    back = models.load(path)
    assert back.module == models.by_name("mlp", hidden=(), num_classes=2)
    assert (back.input_shape, back.metadata) == ((1, 3, 1), {"epoch": 3})
    dense = back.variables["params"]["Dense_0"]
    assert dense["bias"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(dense["bias"], [0.5, -0.5])
    np.testing.assert_array_equal(dense["kernel"], np.arange(6).reshape(3, 2) / 8)


def test_a_file_is_written_as_by_an_earlier_release(tmp_path):
    """Weights of one type lie in one order, whoever writes them."""
    module = models.by_name("mlp", hidden=(), num_classes=2)
    dense = {"bias": np.zeros(2, np.float32), "kernel": np.ones((3, 2), np.float32)}
    models.save(tmp_path / "net", module, {"params": {"Dense_0": dense}},
                input_shape=(1, 3, 1), metadata={"epoch": 3})  # fmt: skip
    digest = hashlib.sha256((tmp_path / "net").read_bytes()).hexdigest()
    assert digest == "fa31a3c2ead22135ad5e38499c234076a38fd9a120b98be3076a90d4815beff2"


def test_safetensors_itself_reads_a_file(tmp_path):
    path, module = tmp_path / "net", models.by_name("mlp", hidden=(), num_classes=2)
    dense = {"bias": np.zeros(2, np.float16), "kernel": np.ones((3, 2), np.float32)}
    variables = {"params": {"Dense_0": dense}}
    models.save(path, module, variables, input_shape=(1, 3, 1))
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata()["model"] == "mlp"
        for name, array in dense.items():
            found = file.get_tensor(f"params/Dense_0/{name}")
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)
