"""An operating point for tests."""

from level2_stack.thresholds.operating_point import Measure, OperatingPoint

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "net_benefit", "referred")


def operating_point(**changes):
    """Return a point of 90 % sensitivity with ``changes``."""
    values = {
        "name": "90 % sensitivity",
        "rule": "sensitivity",
        "aim": 0.9,
        "threshold": 0.25,
        "prevalence": 0.0176,
        "fold_thresholds": (0.2, 0.3),
        "measures": {name: Measure(value=0.5, low=0.25, high=None) for name in MEASURES},
        "true_positives": 9,
        "false_positives": 20,
        "true_negatives": 80,
        "false_negatives": 1,
    }
    return OperatingPoint(**values | changes)
