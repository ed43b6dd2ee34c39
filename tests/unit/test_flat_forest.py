"""A forest without Spark, on two trees drawn by hand: what it fills in, where rows go, and why."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from flat_cases import FOREST, INPUTS, TREES, drawn

from serverload.contracts.errors import InputError, ModelError
from serverload.model.calibration import Calibration
from serverload.model.decision import Decision
from serverload.model.flat_files import load_flat, save_flat, save_reason
from serverload.model.flat_forest import FlatForest
from serverload.model.reasons import leading_reasons, reasons


def test_unknown_loads_lie_below_any_known_one():
    rows = drawn(usual_load=[None, 0.0, 40.0], same_hour_mean=[60.0, None, float("nan")], spread_168h=[None, 8.0, None])

    # -1 and the others in deviations of 10 and 20; of no deviation at all is 0
    assert INPUTS.matrix(rows)[:, :3].tolist() == [[-0.1, 3, 0], [0, -0.05, 0], [4, -0.05, 0]]


def test_a_category_is_one_of_its_columns_and_whatever_it_does_not_know_the_last():
    coded = INPUTS.matrix(drawn(month=[6, 7, 12, None]))[:, 5:]

    assert coded.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (drawn().drop("usual_load", "month"), "features: no column usual_load, month"),
        (drawn(horizon_hours=[1, None]), "features: horizon_hours is unknown in a row; only loads may be"),
    ],
)
def test_what_cannot_be_scored_is_told_in_one_line(rows, line):
    with pytest.raises(InputError) as caught:
        FOREST.probabilities(rows)

    assert str(caught.value) == line


def test_probabilities_are_the_mean_of_the_leaves():
    rows = drawn(usual_load=[20.0, 40.0, 40.0], missing_usual_load=[False, False, True], month=[6, 6, 7])

    assert FOREST.probabilities(rows).tolist() == [[0.625, 0.375, 0.0], [0.1875, 0.4375, 0.375], [0.375, 0.25, 0.375]]


def test_a_value_exactly_at_a_cut_goes_to_the_left_and_the_next_one_to_the_right():
    rows = drawn(usual_load=[30.0, float(np.nextafter(30.0, 31.0)), 30.000001])

    assert INPUTS.matrix(rows)[0, 0] == 3.0
    assert FOREST.probabilities(rows)[:, 0].tolist() == [0.625, 0.1875, 0.1875]


def test_no_rows_and_more_rows_than_are_walked_at_once():
    many = drawn(usual_load=[20.0, 40.0] * 700)

    assert FOREST.probabilities(drawn().clear()).shape == (0, 3)
    assert FOREST.probabilities(many)[:, 0].tolist() == [0.625, 0.1875] * 700
    assert reasons(FOREST, many).height == 1400 * 6
    assert reasons(FOREST, drawn().clear()).height == 0


def test_a_step_is_put_down_to_the_feature_that_was_asked_for():
    told = reasons(FOREST, drawn(usual_load=[40.0], missing_usual_load=[True], month=[7]))

    # tree 0: load (0.5, 0.25, 0.25) -> (0.25, 0.25, 0.5), its flag -> (0.5, 0.5, 0); tree 1: month -> (0.25, 0, 0.75)
    assert told.rows() == [
        (0, "base", None, 0.375, 0.375, 0.25),
        (0, "month", 7.0, 0.0, -0.25, 0.25),
        (0, "usual_load", 40.0, 0.0, 0.125, -0.125),
        (0, "same_hour_mean", 20.0, 0.0, 0.0, 0.0),
        (0, "spread_168h", 20.0, 0.0, 0.0, 0.0),
        (0, "horizon_hours", 1.0, 0.0, 0.0, 0.0),
    ]


def test_contributions_add_up_to_the_probabilities_row_by_row():
    rows = drawn(usual_load=[20.0, 40.0, None], month=[6, 7, 8], missing_usual_load=[False, True, True])

    sums = reasons(FOREST, rows).group_by("row", maintain_order=True).agg(pl.col("^contribution_.*$").sum())

    assert sums.drop("row").to_numpy() == pytest.approx(FOREST.probabilities(rows), abs=1e-15)


def test_the_leading_reasons_are_those_of_the_class_that_is_said_and_the_rest_is_added_up():
    rows = drawn(usual_load=[40.0, None], month=[7, 6], missing_usual_load=True)

    told = leading_reasons(reasons(FOREST, rows), pl.Series(["high", "medium"]), top=1)

    assert told.rows() == [
        (0, "base", None, 0.25),
        (0, "month", 7.0, 0.25),
        (0, "other features", None, -0.125),
        (1, "base", None, 0.375),
        (1, "usual_load", None, -0.125),
        (1, "other features", None, 0.125),
    ]


def test_what_calibration_changes_is_told_apart():
    halved = replace(FOREST, decision=Decision(Calibration(slopes=(0.5, 1.0), shifts=(0.0, 0.0))))
    rows = drawn(usual_load=[40.0], missing_usual_load=[True], month=[7])

    told = reasons(halved, rows)

    # low: odds of 0.375 are 3 / 5, half of them on the log scale is the square root
    low = 0.6**0.5 / (1 + 0.6**0.5)
    assert told["feature"].to_list()[-1] == "calibration"
    assert told.row(-1)[3:] == pytest.approx((low - 0.375, 0.375 - low, 0.0))
    assert halved.probabilities(rows)[0] == pytest.approx([low, 0.625 - low, 0.375], abs=1e-15)
    assert told.select(pl.col("^contribution_.*$").sum()).row(0) == pytest.approx((low, 0.625 - low, 0.375), abs=1e-15)
    leading = leading_reasons(told, pl.Series(["medium"]), top=1)
    assert leading["feature"].to_list() == ["base", "month", "other features", "calibration"]
    assert leading["contribution"].sum() == pytest.approx(0.625 - low, abs=1e-15)


def test_what_moved_nothing_is_no_leading_reason():
    told = leading_reasons(reasons(FOREST, drawn(month=[7])), pl.Series(["low"]), top=5)

    assert told["feature"].to_list() == ["base", "usual_load", "other features"]


def test_what_is_saved_is_loaded(tmp_path):
    saved = replace(FOREST, decision=Decision(Calibration((0.5, 1.0), (0.25, 0.0)), thresholds={"": (0.1, 0.2, 0.3)}))
    save_flat(saved, tmp_path)
    loaded = load_flat(tmp_path)

    assert loaded.decision == saved.decision
    rows = drawn(usual_load=[20.0, None], month=[7, 9])
    assert loaded.inputs.labels == INPUTS.labels
    assert loaded.probabilities(rows).tolist() == saved.probabilities(rows).tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"model.npz", "facts.json"}


def damaged_arrays(folder):
    content = bytearray((folder / "model.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.npz").write_bytes(content)


def other_features(folder):
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps(facts | {"feature_definition": 0}))


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (damaged_arrays, "version 3: the flat model is damaged: model.npz has another checksum than facts.json tells"),
        (other_features, "version 3: the flat model was made for feature_definition 0, this serverload has 1"),
        (lambda folder: (folder / "model.npz").unlink(), "version 3: the flat model cannot be read: .*No such file"),
        (lambda folder: (folder / "facts.json").write_text("{"), "version 3: the flat model cannot be read: .*"),
        (lambda folder: (folder / "facts.json").write_text("7"), "version 3: the flat model cannot be read: .*"),
        (lambda folder: save_reason("it is a wall", folder), "version 3: there is no flat model: it is a wall"),
    ],
)
def test_files_that_do_not_fit_are_told_in_one_line(tmp_path, harm, line):
    save_flat(FOREST, tmp_path)
    harm(tmp_path)

    with pytest.raises(ModelError, match=line):
        load_flat(tmp_path, "version 3")


def test_scoring_needs_no_spark():
    asked = "import sys, serverload.model.flat_files, serverload.model.flat_export, serverload.model.reasons; "
    done = subprocess.run(
        [sys.executable, "-c", asked + "print([name for name in sys.modules if name.startswith(('pyspark', 'py4j'))])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "[]"


def test_a_tree_of_one_leaf_says_the_same_of_every_row():
    leaf = replace(
        TREES, roots=np.array([0]), inputs=np.array([0]), thresholds=np.array([np.inf]), children=np.array([[0, 0]]),
        shares=np.array([[0.5, 0.25, 0.25]]), depth=0,
    )  # fmt: skip

    assert FlatForest(INPUTS, leaf).probabilities(drawn(month=[6, 7])).tolist() == [[0.5, 0.25, 0.25]] * 2
