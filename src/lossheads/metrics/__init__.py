"""Metrics: numbers about predictions, each with its baseline.

`measure` evaluates all of them for one member's predictions, `measure_cohort` for those of several
at once; a single metric is called like a function:
`accuracy_score(predictions)`, `accuracy_score.baseline(predictions)`. `metric` makes a new one.
"""

from lossheads.metrics.base import Metric as Metric
from lossheads.metrics.base import PerClassMetric as PerClassMetric
from lossheads.metrics.base import metric as metric
from lossheads.metrics.base import per_class_metric as per_class_metric
from lossheads.metrics.base import skill as skill
from lossheads.metrics.classification import accuracy_score as accuracy_score
from lossheads.metrics.classification import balanced_accuracy_score as balanced_accuracy_score
from lossheads.metrics.classification import correct_mask_bits as correct_mask_bits
from lossheads.metrics.classification import (
    elementwise_accuracy_score as elementwise_accuracy_score,
)
from lossheads.metrics.classification import exact_match_score as exact_match_score
from lossheads.metrics.classification import hamming_loss as hamming_loss
from lossheads.metrics.classification import macro_f1_score as macro_f1_score
from lossheads.metrics.classification import macro_precision_score as macro_precision_score
from lossheads.metrics.classification import macro_recall_score as macro_recall_score
from lossheads.metrics.classification import micro_f1_score as micro_f1_score
from lossheads.metrics.classification import micro_precision_score as micro_precision_score
from lossheads.metrics.classification import micro_recall_score as micro_recall_score
from lossheads.metrics.classification import worst_recall_score as worst_recall_score
from lossheads.metrics.curves import PrecisionRecallCurves as PrecisionRecallCurves
from lossheads.metrics.curves import ScoreHistograms as ScoreHistograms
from lossheads.metrics.curves import confusion_matrix as confusion_matrix
from lossheads.metrics.curves import precision_recall_curves as precision_recall_curves
from lossheads.metrics.curves import score_histograms as score_histograms
from lossheads.metrics.evaluate import SHIPPED as SHIPPED
from lossheads.metrics.evaluate import MetricSet as MetricSet
from lossheads.metrics.evaluate import add_ood_metrics as add_ood_metrics
from lossheads.metrics.evaluate import add_threshold_metrics as add_threshold_metrics
from lossheads.metrics.evaluate import find_metric as find_metric
from lossheads.metrics.evaluate import measure as measure
from lossheads.metrics.evaluate import measure_cohort as measure_cohort
from lossheads.metrics.evaluate import metrics_for as metrics_for
from lossheads.metrics.evaluate import per_class_metrics_for as per_class_metrics_for
from lossheads.metrics.frameworks import fastai_accuracy_multi as fastai_accuracy_multi
from lossheads.metrics.frameworks import keras_2_3_accuracy as keras_2_3_accuracy
from lossheads.metrics.frameworks import keras_3_accuracy as keras_3_accuracy
from lossheads.metrics.frameworks import sklearn_accuracy_score as sklearn_accuracy_score
from lossheads.metrics.frameworks import torchmetrics_accuracy as torchmetrics_accuracy
from lossheads.metrics.ood import evaluate_ood as evaluate_ood
from lossheads.metrics.ood import ood_scores as ood_scores
from lossheads.metrics.per_class import average_precision_score as average_precision_score
from lossheads.metrics.per_class import classwise_calibration_error as classwise_calibration_error
from lossheads.metrics.per_class import f1_score as f1_score
from lossheads.metrics.per_class import precision_score as precision_score
from lossheads.metrics.per_class import recall_score as recall_score
from lossheads.metrics.per_class import roc_auc_score as roc_auc_score
from lossheads.metrics.per_class import score_when_absent as score_when_absent
from lossheads.metrics.per_class import score_when_present as score_when_present
from lossheads.metrics.probabilistic import brier_sum_loss as brier_sum_loss
from lossheads.metrics.probabilistic import expected_calibration_error as expected_calibration_error
from lossheads.metrics.probabilistic import fitted_temperature as fitted_temperature
from lossheads.metrics.probabilistic import nll_loss as nll_loss
from lossheads.metrics.probabilistic import posterior_kl_loss as posterior_kl_loss
from lossheads.metrics.ranking import excess_coverage_error as excess_coverage_error
from lossheads.metrics.ranking import macro_roc_auc_score as macro_roc_auc_score
from lossheads.metrics.ranking import mean_average_precision_score as mean_average_precision_score
from lossheads.metrics.ranking import ranking_loss as ranking_loss
from lossheads.metrics.separation import logit_separation_score as logit_separation_score
from lossheads.metrics.stats import LabelStats as LabelStats
from lossheads.metrics.thresholds import compare_thresholds as compare_thresholds
from lossheads.metrics.thresholds import tuned_thresholds as tuned_thresholds
