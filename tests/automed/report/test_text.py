from dataclasses import replace

import pytest

from automed.report import text
from automed.report.results import Interval, Results


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (text.metric_label("auc"), "AUC"),
        (text.metric_label("balanced_accuracy"), "Balanced accuracy"),
        (text.metric_label("macro_f1"), "Macro F1"),
        (text.metric_label("macro_f1", inline=True), "macro F1"),
        (text.metric_label("auc", inline=True), "AUC"),
        (text.metric_label("dice", inline=True), "Dice"),
        (text.metric_label("hd95"), "HD95"),
        (text.cost_label("latency_p95_ms"), "latency p95"),
        (text.cost_label("size_bytes"), "size"),
        (text.cost_label("macs"), "MACs"),
        (text.cost_text("latency_ms", 2.0), "2 ms"),
        (text.cost_text("size_bytes", 2e6), "2 MB"),
        (text.cost_text("params", 1500), "1.5 k"),
        (text.milliseconds(0.0316), "0.0316 ms"),
        (text.milliseconds(1234.0), "1234 ms"),
        (text.size(999), "999 B"),
        (text.size(912_345), "912 kB"),
        (text.count(11_170_000), "11.2 M"),
        (text.significant(2.4e-6, 2), "2.4e-06"),
        (text.significant(0.0), "0"),
        (text.score_text(0.9471), "0.947"),
        (text.score_text(0.0), "0.000"),
        (text.score_text(12345.6), "12,346"),
        (text.score_texts(123.45, 99.0, 150.04), ["123.5", "99.0", "150.0"]),
        (text.score_texts(0.0021, 0.0014, 0.0033), ["0.0021", "0.0014", "0.0033"]),
        (text.score_texts(0.012, -0.004, 0.03, signed=True), ["+0.012", "-0.004", "+0.030"]),
        (text.metric_label("r2"), "R\u00b2"),
        (text.metric_label("rmse"), "RMSE"),
    ],
)
def test_numbers_read_as_people_write_them(given: object, shown: object) -> None:
    assert given == shown


@pytest.mark.parametrize(
    ("difference", "speedup", "said"),
    [
        ((0.02, 0.01, 0.03), 1.0, "The search beat resnet18. No gain over cnn5."),
        ((0.02, 0.01, 0.03), 0.5, "Its model is more accurate, and slower, than resnet18."),
        ((0.00, -0.01, 0.01), 4.0, "The search beat resnet18. No gain over cnn5."),
        ((0.00, -0.01, 0.01), 1.05, "No gain over resnet18 and cnn5."),
        ((-0.02, -0.03, -0.01), 4.0, "Its model is faster, and less accurate, than resnet18."),
        ((-0.02, -0.03, -0.01), 1.0, "No gain over resnet18 and cnn5."),
    ],
)
def test_what_the_search_gained_is_said_in_a_line(
    results: Results, difference: tuple[float, float, float], speedup: float, said: str
) -> None:
    given = next(c for c in results.comparisons if c.baseline == "resnet18")
    other = replace(given, baseline="cnn5", difference=Interval(0.0, -0.1, 0.1), speedup=1.0)
    changed = replace(given, difference=Interval(*difference), speedup=speedup)
    told = text.gain(replace(results, chosen=given.model, comparisons=(changed, other)))
    assert said in told
    assert told.count("cnn5") == told.count("resnet18") == 1
    assert text.gain(replace(results, comparisons=())) == ""


def test_a_comparison_is_told_with_its_paired_interval(results: Results) -> None:
    model = next(m for m in results.models if m.name == results.chosen)
    given = next(c for c in results.comparisons if c.baseline == "resnet18")
    d = given.difference
    interval = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] AUC, sealed test"
    resnet18 = next(m for m in results.baselines if m.name == "resnet18")
    assert text.compare(results, model, resnet18) == ("4.6\u00d7 faster", interval)
    alike = replace(results, comparisons=(replace(given, speedup=0.99),))
    assert text.compare(alike, model, resnet18)[0] == "as fast"
    sealed = replace(
        results, comparisons=(), models=tuple(replace(m, sealed={}) for m in results.models)
    )
    chosen, baseline = replace(model, sealed={}), replace(resnet18, sealed={})
    gain = model.validation["auc"].value - resnet18.validation["auc"].value
    assert text.compare(sealed, chosen, baseline)[1] == (
        f"{text.score_texts(gain, signed=True)[0]} AUC, validation"
    )


def test_a_latency_says_whether_it_was_measured_and_what_it_is_elsewhere():
    measured = {"latency_ms": 1.0, "latency_p95_ms": 1.25, "latency_ms@openvino": 0.5}
    assert text.latency_remarks(measured) == ["p95 1.25 ms", "openvino 0.5 ms"]
    board = "predicted:board.json"
    predicted = {"latency_ms": 1.0, "latency_error": 0.08, f"latency_ms@{board}": 2.0}
    predicted[f"latency_error@{board}"] = 0.1
    assert text.latency_remarks(predicted) == [
        "predicted ± 8%",
        "predicted:board.json 2 ms predicted ± 10%",
    ]
