"""Two versions of a model of handwritten digits, trained anew in each server's environment."""

import json
import sys
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

VERSIONS = ("1", "2")


def data() -> tuple[Any, Any, Any, Any]:
    """Rows to learn from, rows to ask about, and the labels of both."""
    rows, labels = load_digits(return_X_y=True)
    return train_test_split(rows, labels, test_size=0.4, random_state=0)


def train(version: str) -> Any:
    """Version 1 is a shallow tree, version 2 a linear model that is better."""
    rows, _, labels, _ = data()
    model: Any = DecisionTreeClassifier(max_depth=6, random_state=0)
    if version == "2":
        model = LogisticRegression(max_iter=200)
    return model.fit(rows / 16, labels)


def main(out: Path) -> None:
    """Writes both models, and the rows with their labels."""
    import joblib

    out.mkdir(parents=True, exist_ok=True)
    _, rows, _, labels = data()
    (out / "rows.json").write_text(json.dumps({"rows": (rows / 16).tolist(), "labels": labels.tolist()}))
    for version in VERSIONS:
        joblib.dump(train(version), out / f"digits-{version}.joblib")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
