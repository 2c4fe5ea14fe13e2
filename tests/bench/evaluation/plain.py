"""What one would do instead: scikit-learn's metrics, fairlearn's MetricFrame.

``plain.py FOLDER sklearn|fairlearn``. Stands alone: any interpreter that has these libraries can run it.
Both arms' measures, the same slices and groups as the gate; no pairing, no test, no interval.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)


def main(folder: Path, library: str) -> None:
    """Compute and print the figures both have."""
    golden = columns(folder / "golden.parquet", ("fraud", "region", "sex", "age"))
    scores = columns(folder / "scores.parquet", ("candidate", "stable"))
    golden["age"] = np.searchsorted([30.0, 60.0], golden["age"], side="right")
    if library == "fairlearn":
        fairlearn(golden, scores["candidate"])
    else:
        for arm, said in scores.items():
            print(arm, sklearn(golden, said))


def columns(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Whole columns."""
    table = pyarrow.parquet.read_table(file, columns=list(names))
    return {name: table.column(name).to_numpy() for name in names}


def sklearn(golden: dict[str, np.ndarray], said: np.ndarray) -> str:
    """Measures of one arm, its calibration curve, its area in every slice."""
    labels, flagged = golden["fraud"], said >= 0.5
    found = {
        "auc": roc_auc_score(labels, said),
        "pr_auc": average_precision_score(labels, said),
        "accuracy": accuracy_score(labels, flagged),
        "recall": recall_score(labels, flagged),
        "precision": precision_score(labels, flagged),
        "log_loss": log_loss(labels, said),
        "brier": brier_score_loss(labels, said),
    }
    calibration_curve(labels, said, n_bins=10, strategy="quantile")
    for column in ("region", "age"):
        for value in np.unique(golden[column]):
            rows = golden[column] == value
            roc_auc_score(labels[rows], said[rows])
    return " ".join(f"{name}={value:.12g}" for name, value in found.items())


def fairlearn(golden: dict[str, np.ndarray], said: np.ndarray) -> None:
    """Slices and groups with bootstrap intervals, of two resamples, which shows the cost of one."""
    from fairlearn.metrics import MetricFrame, selection_rate

    frame = MetricFrame(
        metrics={"selection_rate": selection_rate, "recall": recall_score},
        y_true=golden["fraud"],
        y_pred=(said >= 0.5).astype(int),
        sensitive_features=golden["sex"],
        control_features=golden["region"],
        n_boot=2,
        ci_quantiles=[0.025, 0.975],
        random_state=1,
    )
    print(frame.ratio()["selection_rate"].min())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
