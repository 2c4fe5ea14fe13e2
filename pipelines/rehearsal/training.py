"""What the rehearsal promotes: small fraud models, really trained at set-up, and a golden set to judge them.

Everything is drawn from fixed seeds, so that two runs on one machine write the same bytes. An artifact is a
folder: ``model.npz`` (the trees of a scikit-learn gradient boosting classifier as plain arrays, which load
without scikit-learn and without running anybody's code) and ``metadata.json`` (name, version, features, and
what is wrong with the version on purpose).
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.rehearsal.processes import write_whole

MODEL = "fraud-scorer"
FEATURES = (
    "amount",
    "hour",
    "merchant_risk",
    "distance_km",
    "account_age_days",
    "payments_24h",
    "mean_amount_30d",
    "device_age_days",
    "is_foreign",
    "card_present",
    "failed_logins",
    "seconds_since_last",
)
LABEL = "fraud"

_TRAINING_ROWS = 16_000
_GOLDEN_ROWS = 4_000
_LIVE_ROWS = 4_000
_TRAINING_SEED, _GOLDEN_SEED, _SHUFFLE_SEED, _LIVE_SEED = 11, 23, 37, 41
BUSY_FROM, BUSY_SHARE = 30.0, 0.12
"""Live traffic has cards with more payments a day than the golden set ever saw: this share of it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a version does wrong on purpose. Without any, it is a good one."""

    slow_percent: float = 0.0
    """Share of inference requests that are answered late."""
    slow_ms: float = 0.0
    """How much later."""
    slow_feature: str = ""
    slow_above: float = 0.0
    """Requests with a row in which this feature is above this are late too; "" for none."""
    error_percent: float = 0.0
    """Share of inference requests answered with HTTP 500."""
    never_ready: bool = False
    """The server comes up and never says that it is ready."""
    crash_after: int = 0
    """The process dies at this many inference requests; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    rows: int
    trees: int
    what: str
    shuffled: bool = False
    faults: Faults = field(default_factory=Faults)


_GOOD = 90
_RECIPES: Mapping[str, _Recipe] = {
    "v1": _Recipe(rows=10_000, trees=50, what="good"),
    "v2": _Recipe(rows=16_000, trees=_GOOD, what="slightly better than v1"),
    "v3": _Recipe(
        rows=16_000,
        trees=_GOOD,
        what="as good as v2, but 150 ms late for busy cards, of which the golden set has none",
        faults=Faults(slow_ms=150.0, slow_feature="payments_24h", slow_above=BUSY_FROM),
    ),
    "v4": _Recipe(
        rows=16_000, trees=_GOOD, what="trained on shuffled labels: wrong decisions", shuffled=True
    ),
    "v5": _Recipe(
        rows=16_000,
        trees=_GOOD,
        what="as good as v2, but 5 % of its answers are errors",
        faults=Faults(error_percent=5.0),
    ),
    "v6": _Recipe(rows=16_000, trees=_GOOD, what="never becomes ready", faults=Faults(never_ready=True)),
    "v7": _Recipe(rows=16_000, trees=_GOOD, what="dies at its 500th request", faults=Faults(crash_after=500)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Rows with known answers that no version was trained on."""

    path: Path
    """CSV: a header, the features in order, then the label (0 or 1)."""
    sha256: str
    """Of the file's bytes, 64 hexadecimal digits."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What was trained: the artifact folder of each version, and the golden set."""

    folder: Path
    model: str
    features: tuple[str, ...]
    label: str
    versions: Mapping[str, str]
    """Version -> what it is, in words."""
    golden: Golden
    live: Path
    """Rows as production sends them, in the golden set's form."""

    def path(self, version: str) -> Path:
        """The artifact's folder."""
        return self.folder / self.model / version

    def uri(self, version: str) -> str:
        """The artifact's address, ``file:///…/fraud-scorer/v2``."""
        return self.path(version).as_uri()

    def digest(self, version: str) -> str:
        """The artifact's digest as the signature gate computes it."""
        from gates.signature import artifact_digest

        return artifact_digest(self.path(version))


def train(folder: Path) -> Catalogue:
    """Write all versions and the golden set below a folder; done already, it only says what is there.

    Takes some seconds the first time. A change of this file makes everything afresh.
    """
    folder = folder.resolve()
    stamp = folder / "catalogue.json"
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    known = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    if known.get("recipe") != recipe:
        stamp.unlink(missing_ok=True)
        for version in _RECIPES:
            shutil.rmtree(folder / MODEL / version, ignore_errors=True)
        _write_versions(folder)
        known = {"recipe": recipe, "golden_sha256": _write_golden(folder / "golden.csv")}
        _write_live(folder / "live.csv")
        write_whole(stamp, json.dumps(known))
    return Catalogue(
        folder=folder,
        model=MODEL,
        features=FEATURES,
        label=LABEL,
        versions={version: made.what for version, made in _RECIPES.items()},
        golden=Golden(path=folder / "golden.csv", sha256=known["golden_sha256"], rows=_GOLDEN_ROWS),
        live=folder / "live.csv",
    )


def payments(rows: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Card payments as features and labels; about two in a hundred are fraud."""
    rng = np.random.default_rng(seed)
    mean_amount = rng.lognormal(3.6, 0.7, rows)
    columns = {
        "amount": mean_amount * rng.lognormal(0.0, 0.9, rows),
        "hour": rng.integers(0, 24, rows),
        "merchant_risk": rng.beta(1.5, 6.0, rows),
        "distance_km": rng.exponential(25.0, rows) * rng.choice([1.0, 12.0], rows, p=[0.93, 0.07]),
        "account_age_days": rng.exponential(900.0, rows),
        "payments_24h": rng.poisson(2.2, rows),
        "mean_amount_30d": mean_amount,
        "device_age_days": rng.exponential(220.0, rows),
        "is_foreign": rng.random(rows) < 0.08,
        "card_present": rng.random(rows) < 0.55,
        "failed_logins": rng.poisson(0.25, rows),
        "seconds_since_last": rng.exponential(20_000.0, rows),
    }
    risk = _log_odds({name: np.asarray(column, dtype=np.float64) for name, column in columns.items()})
    labels = (rng.random(rows) < 1.0 / (1.0 + np.exp(-risk))).astype(np.int64)
    table = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in FEATURES])
    return np.round(table, 4), labels


def _log_odds(column: Mapping[str, Floats]) -> Floats:
    """The truth the models have to find: no single feature gives it away."""
    unusual = np.log(column["amount"] / column["mean_amount_30d"])
    night = (column["hour"] < 5).astype(np.float64)
    risk: Floats = (
        -10.0
        + 2.0 * np.clip(unusual, -1, 3)
        + 9.0 * column["merchant_risk"]
        + 0.02 * np.minimum(column["distance_km"], 250)
        + 1.2 * night * (1 - column["card_present"])
        + 2.0 * column["is_foreign"]
        + 2.0 * np.minimum(column["failed_logins"], 3)
        + 3.0 * (column["device_age_days"] < 10)
        + 0.35 * np.maximum(column["payments_24h"] - 4, 0)
        - 0.6 * column["card_present"]
        - 0.0006 * np.minimum(column["account_age_days"], 2000)
        + 1.0 * (column["seconds_since_last"] < 120)
    )
    return risk


def _write_versions(folder: Path) -> None:
    table, labels = payments(_TRAINING_ROWS, _TRAINING_SEED)
    shuffled = np.random.default_rng(_SHUFFLE_SEED).permutation(labels)
    fitted: dict[tuple[int, int, bool], dict[str, NDArray[Any]]] = {}
    for version, recipe in _RECIPES.items():
        key = (recipe.rows, recipe.trees, recipe.shuffled)
        if key not in fitted:
            targets = shuffled if recipe.shuffled else labels
            fitted[key] = _as_arrays(fit(table[: recipe.rows], targets[: recipe.rows], trees=recipe.trees))
        write_artifact(folder / MODEL / version, version=version, arrays=fitted[key], faults=recipe.faults)


def write_artifact(
    home: Path, *, version: str, arrays: Mapping[str, NDArray[Any]], faults: Faults | None = None
) -> str:
    """Write one artifact folder, which must not exist; returns its ``file://`` address."""
    home.mkdir(parents=True)
    with (home / "model.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    metadata = {
        "name": MODEL,
        "version": version,
        "features": FEATURES,
        "faults": asdict(faults or Faults()),
    }
    (home / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    return home.resolve().as_uri()


def constant(score: float) -> dict[str, NDArray[Any]]:
    """The arrays of a model that gives every row this score (above 0, below 1): enough for many a trial."""
    leaf = np.zeros((1, 1), np.int32)
    base = np.array(np.log(score / (1.0 - score)))
    ways = {"feature": leaf, "left": leaf, "right": leaf, "depth": np.array(0, np.int32)}
    return {**ways, "threshold": np.zeros((1, 1)), "value": np.zeros((1, 1)), "base": base}


def fit(table: Floats, labels: NDArray[np.int64], *, trees: int) -> Any:
    """A scikit-learn gradient boosting classifier, seeded."""
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=trees, max_depth=3, learning_rate=0.1, subsample=0.5, min_samples_leaf=20, random_state=5
    )
    return model.fit(table, labels)


def _as_arrays(model: Any) -> dict[str, NDArray[Any]]:
    """The trees side by side, short ones filled up with leaves; one row of each array per tree."""
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    width = max(tree.node_count for tree in trees)
    shape = (len(trees), width)
    arrays: dict[str, NDArray[Any]] = {
        "feature": np.zeros(shape, np.int32),
        "threshold": np.zeros(shape, np.float64),
        "left": np.tile(np.arange(width, dtype=np.int32), (len(trees), 1)),
        "right": np.tile(np.arange(width, dtype=np.int32), (len(trees), 1)),
        "value": np.zeros(shape, np.float64),
    }
    for number, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        arrays["feature"][number, inner] = tree.feature[inner]
        arrays["threshold"][number, inner] = tree.threshold[inner]
        arrays["left"][number, inner] = tree.children_left[inner]
        arrays["right"][number, inner] = tree.children_right[inner]
        arrays["value"][number, : tree.node_count] = model.learning_rate * tree.value[:, 0, 0]
    prior = float(model.init_.class_prior_[1])
    arrays["base"] = np.array(np.log(prior / (1.0 - prior)))
    arrays["depth"] = np.array(max(tree.max_depth for tree in trees), np.int32)
    return arrays


def _write_golden(path: Path) -> str:
    _write_rows(path, *payments(_GOLDEN_ROWS, _GOLDEN_SEED))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_live(path: Path) -> None:
    table, labels = payments(_LIVE_ROWS, _LIVE_SEED)
    rng = np.random.default_rng(_LIVE_SEED)
    busy = rng.random(_LIVE_ROWS) < BUSY_SHARE
    table[busy, FEATURES.index("payments_24h")] = rng.integers(int(BUSY_FROM) + 1, 80, int(busy.sum()))
    _write_rows(path, table, labels)


def _write_rows(path: Path, table: Floats, labels: NDArray[np.int64]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FEATURES, LABEL])
        writer.writerows([*map(float, row), int(label)] for row, label in zip(table, labels, strict=True))
