"""Saves both versions of the digits as MLflow models."""

import sys
from pathlib import Path

import mlflow.sklearn
from digits import VERSIONS, train

if __name__ == "__main__":
    for version in VERSIONS:
        mlflow.sklearn.save_model(
            train(version), str(Path(sys.argv[1]) / f"mlflow-{version}"), serialization_format="cloudpickle"
        )
