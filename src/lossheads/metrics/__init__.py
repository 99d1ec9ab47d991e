"""Rulers: numbers about predictions, each with its floor.

`measure` lays all of them on one member's predictions, `measure_cohort` on those of several at
once; a single ruler is called like a function:
`accuracy_score(predictions)`, `accuracy_score.floor(predictions)`.
"""

from lossheads.metrics.base import ClassRuler as ClassRuler
from lossheads.metrics.base import Ruler as Ruler
from lossheads.metrics.base import skill as skill
from lossheads.metrics.classification import accuracy_score as accuracy_score
from lossheads.metrics.classification import balanced_accuracy_score as balanced_accuracy_score
from lossheads.metrics.classification import (
    elementwise_accuracy_score as elementwise_accuracy_score,
)
from lossheads.metrics.classification import exact_match_score as exact_match_score
from lossheads.metrics.classification import hamming_error as hamming_error
from lossheads.metrics.classification import macro_f1_score as macro_f1_score
from lossheads.metrics.classification import macro_precision_score as macro_precision_score
from lossheads.metrics.classification import macro_recall_score as macro_recall_score
from lossheads.metrics.classification import micro_f1_score as micro_f1_score
from lossheads.metrics.classification import micro_precision_score as micro_precision_score
from lossheads.metrics.classification import micro_recall_score as micro_recall_score
from lossheads.metrics.classification import right_bits as right_bits
from lossheads.metrics.classification import worst_recall_score as worst_recall_score
from lossheads.metrics.curves import PRCurves as PRCurves
from lossheads.metrics.curves import ScoreHistograms as ScoreHistograms
from lossheads.metrics.curves import confusion as confusion
from lossheads.metrics.curves import histograms as histograms
from lossheads.metrics.curves import pr_curve as pr_curve
from lossheads.metrics.evaluate import class_rulers_for as class_rulers_for
from lossheads.metrics.evaluate import find_ruler as find_ruler
from lossheads.metrics.evaluate import measure as measure
from lossheads.metrics.evaluate import measure_cohort as measure_cohort
from lossheads.metrics.evaluate import rulers_for as rulers_for
from lossheads.metrics.evaluate import with_outliers as with_outliers
from lossheads.metrics.evaluate import with_thresholds as with_thresholds
from lossheads.metrics.frameworks import fastai_accuracy_multi as fastai_accuracy_multi
from lossheads.metrics.frameworks import keras_2_3_accuracy as keras_2_3_accuracy
from lossheads.metrics.frameworks import keras_3_accuracy as keras_3_accuracy
from lossheads.metrics.frameworks import sklearn_accuracy_score as sklearn_accuracy_score
from lossheads.metrics.frameworks import torchmetrics_accuracy as torchmetrics_accuracy
from lossheads.metrics.ood import detect as detect
from lossheads.metrics.ood import familiarity as familiarity
from lossheads.metrics.per_class import average_precision_score as average_precision_score
from lossheads.metrics.per_class import f1_score as f1_score
from lossheads.metrics.per_class import label_calibration_error as label_calibration_error
from lossheads.metrics.per_class import precision_score as precision_score
from lossheads.metrics.per_class import recall_score as recall_score
from lossheads.metrics.per_class import roc_auc_score as roc_auc_score
from lossheads.metrics.per_class import score_when_absent as score_when_absent
from lossheads.metrics.per_class import score_when_present as score_when_present
from lossheads.metrics.probabilistic import brier_loss as brier_loss
from lossheads.metrics.probabilistic import calibration_error as calibration_error
from lossheads.metrics.probabilistic import fitted_temperature as fitted_temperature
from lossheads.metrics.probabilistic import nll_loss as nll_loss
from lossheads.metrics.probabilistic import posterior_kl_loss as posterior_kl_loss
from lossheads.metrics.ranking import excess_coverage_error as excess_coverage_error
from lossheads.metrics.ranking import macro_roc_auc_score as macro_roc_auc_score
from lossheads.metrics.ranking import mean_average_precision_score as mean_average_precision_score
from lossheads.metrics.ranking import ranking_loss as ranking_loss
from lossheads.metrics.thresholds import compare_thresholds as compare_thresholds
from lossheads.metrics.thresholds import tuned_thresholds as tuned_thresholds
