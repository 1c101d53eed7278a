import math

import numpy as np
import pytest

from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.report import table

ROWS = [
    {"net": "plain", "n": 1797, "accuracy": Proportion(457, 500), "seconds": 0.5},
    {"net": "robust net", "n": 3, "accuracy": Proportion(5, 500), "seconds": None},
]


def test_numbers_stand_on_the_right_and_text_on_the_left():
    columns = [
        table.Column("net", "net"),
        table.Column("n", "n"),
        table.Column("accuracy", "accuracy [95 %]"),
        table.Column("seconds", "seconds", table.fixed(2)),
    ]
    assert table.format_table(ROWS, columns).splitlines() == [
        "net             n      accuracy [95 %]  seconds",
        "----------  -----  -------------------  -------",
        "plain       1,797  91.4 % [88.6, 93.6]     0.50",
        "robust net      3     1.0 % [0.4, 2.3]        –",
    ]


def test_rows_read_from_disk_give_the_same_table(tmp_path):
    rows = [*ROWS, {"net": "x", "seconds": np.float32(np.nan), "n": np.int64(4)}]
    records.write_json(tmp_path / "rows.json", rows)
    again = records.read_json(tmp_path / "rows.json")
    assert table.format_table(again) == table.format_table(rows)


def test_columns_are_inferred_in_order_of_appearance():
    rows = [{"b": 1}, {"robust_accuracy": 0.25, "b": 2}, {"a": "x"}]
    titles = [column.title for column in table.infer_columns(rows)]
    assert titles == ["b", "robust accuracy", "a"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (False, "no"),
        (12_345, "12,345"),
        (0.123456, "0.1235"),
        (-2.5e-7, "-2.5e-07"),
        (1234567.0, "1,234,567"),
        (0.0, "0"),
        ("NaN", "NaN"),
    ],
)
def test_a_cell_goes_by_its_type(value, text):
    assert table.auto(value) == text


def test_a_fixed_format_writes_what_a_record_holds():
    write = table.fixed(1)
    texts = [write(value) for value in (1234.56, 2, None, "NaN", "-Infinity")]
    assert texts == ["1,234.6", "2.0", "–", "nan", "-inf"]


def test_a_column_with_one_text_is_text():
    rows = [{"a": 1, "b": math.inf}, {"a": "x", "b": None}]
    assert table.make_cells(rows).numeric == (False, True)


def test_yes_and_no_are_text():
    assert table.make_cells([{"a": True}]).numeric == (False,)


def test_an_unknown_column_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'nett'.*choose from accuracy, n, net, sec"):
        table.format_table(ROWS, [table.Column("nett", "net")])


def test_no_rows_give_the_headings():
    columns = [table.Column("net", "net"), table.Column("n", "n")]
    assert table.format_table([], columns).splitlines() == ["net  n", "---  -"]
