"""Statistics of scores: metrics, curves, clustered bootstrap intervals, comparisons of detectors.

Pure functions over arrays: labels (N,) integers, 1 = fake; scores (N,) floats, greater = more likely fake; clusters (N,)
names or codes of what must not be taken for independent. A NaN score raises ValueError: an item that failed has no score
and is the caller's to count. What is undefined, such as the AUC of one class, is NaN, and the caller says why.
"""

from eval.statistics.bootstrap import DRAWS, bootstrap_metrics, bootstrap_values
from eval.statistics.curves import (
    Curve,
    Reliability,
    det_curve,
    reliability_bins,
    roc_curve,
)
from eval.statistics.metrics import (
    METRICS,
    Rates,
    auc,
    average_precision,
    brier,
    equal_error_rate,
    even_prior_weights,
    expected_calibration_error,
    metric_values,
    rates_at,
    tpr_at_fpr,
)
from eval.statistics.pairs import (
    DeLongTest,
    PairedDifference,
    delong_interval,
    delong_test,
    delong_variance,
    holm,
    paired_bootstrap_difference,
)
from eval.statistics.selective import COVERAGES, RiskCoverage, risk_coverage
from forensics.common.clusters import clusters_of
from forensics.common.metrics import Estimate as Interval

__all__ = [
    "COVERAGES",
    "DRAWS",
    "METRICS",
    "Curve",
    "DeLongTest",
    "Interval",
    "PairedDifference",
    "Rates",
    "Reliability",
    "RiskCoverage",
    "auc",
    "average_precision",
    "bootstrap_metrics",
    "bootstrap_values",
    "brier",
    "clusters_of",
    "delong_interval",
    "delong_test",
    "delong_variance",
    "det_curve",
    "equal_error_rate",
    "even_prior_weights",
    "expected_calibration_error",
    "holm",
    "metric_values",
    "paired_bootstrap_difference",
    "rates_at",
    "reliability_bins",
    "risk_coverage",
    "roc_curve",
    "tpr_at_fpr",
]
