"""Forests and classifiers on raw numbers: every pixel of the image, every column of the table."""

from typing import Any

import numpy as np
import onnx

from automed.baselines import linear
from automed.data.dataset import Dataset
from automed.exporters.onnx_file import OPSET, graph_inputs
from automed.sample import SampleSpec

NUM_TREES = 200


def logistic_regression(train: Dataset, seed: int) -> bytes:
    """Logistic regression on standardised values, of several findings one each; no draws."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    del seed
    if train.sample.target.kind == "labels":
        return linear.findings(train)
    return _fitted(make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)), train)


def random_forest(train: Dataset, seed: int) -> bytes:
    """A random forest of NUM_TREES trees.

    Of findings and values it is one of regression, the mean of 0 and 1 a probability; there what
    is not known counts as the mean of the training part.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if train.sample.target.kind == "label" else RandomForestRegressor
    return _fitted(kind(NUM_TREES, random_state=seed, n_jobs=-1), train)


def _fitted(model: Any, train: Dataset) -> bytes:
    from skl2onnx import to_onnx

    raw_NF = np.concatenate(
        [np.asarray(x, dtype=np.float32).reshape(len(train), -1) for x in train.given], axis=1
    )
    truth: Any = train.truth
    options = {"zipmap": False, "output_class_labels": False}
    if train.sample.target.kind != "label":
        numbers = truth.astype(np.float64)
        known = np.where(np.isfinite(numbers), numbers, np.nanmean(numbers, axis=0))
        truth, options = known[:, 0] if known.shape[1] == 1 else known, {}
    model.fit(raw_NF, truth)
    proto = to_onnx(
        model,
        raw_NF[:1],
        options={id(model): options},
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )
    return _raw_in_probabilities_out(proto, train.sample)


def _raw_in_probabilities_out(proto: Any, sample: SampleSpec) -> bytes:
    """The graph with every input of the sample, flattened and side by side, for its one."""
    graph, several = proto.graph, len(sample.inputs) > 1
    together = graph.input[0].name
    names = [f"{spec.name}_flat" if several else together for spec in sample.inputs]
    nodes = [
        onnx.helper.make_node("Flatten", [spec.name], [flat], axis=1)
        for spec, flat in zip(sample.inputs, names, strict=True)
    ]
    if several:
        nodes.append(onnx.helper.make_node("Concat", names, [together], axis=1))
    for node in reversed(nodes):
        graph.node.insert(0, node)
    del graph.input[:]
    graph.input.extend(graph_inputs(sample.inputs))
    for label in [o for o in graph.output if "label" in o.name]:
        graph.output.remove(label)
    return bytes(proto.SerializeToString())
