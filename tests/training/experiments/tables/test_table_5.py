"""Table V and Fig. 11: the paper's finding (section VII-D) in a small network."""

from training.experiments.tables.table_5 import label_differences


def test_normalization_hurts_labels_of_loudness_most(trained_on_loudness):
    task, results = trained_on_loudness
    rows = label_differences(task, results["plain"], results["normalized"])
    assert [row["plain - normalized"] for row in rows] == sorted(
        (row["plain"] - row["normalized"] for row in rows), reverse=True
    )
    assert {row["label"] for row in rows[:2]} == {"loud", "quiet"} and rows[1]["plain - normalized"] > 0.2
    assert {row["label"] for row in rows[2:]} == {"high", "low"} and rows[2]["plain - normalized"] < 0.1
