"""Rulers: numbers about predictions, each with its floor.

`measure` lays all of them on one member's predictions, `measure_cohort` on those of several at
once; a single ruler is called like a function:
`accuracy_score(predictions)`, `accuracy_score.floor(predictions)`.
"""

from lossheads.rulers.accuracy import accuracy_score as accuracy_score
from lossheads.rulers.accuracy import balanced_accuracy_score as balanced_accuracy_score
from lossheads.rulers.accuracy import elementwise_accuracy_score as elementwise_accuracy_score
from lossheads.rulers.accuracy import exact_match_score as exact_match_score
from lossheads.rulers.accuracy import hamming_error as hamming_error
from lossheads.rulers.accuracy import macro_f1_score as macro_f1_score
from lossheads.rulers.accuracy import macro_precision_score as macro_precision_score
from lossheads.rulers.accuracy import right_bits as right_bits
from lossheads.rulers.accuracy import worst_recall_score as worst_recall_score
from lossheads.rulers.beside import with_outliers as with_outliers
from lossheads.rulers.beside import with_thresholds as with_thresholds
from lossheads.rulers.core import ClassRuler as ClassRuler
from lossheads.rulers.core import Ruler as Ruler
from lossheads.rulers.core import skill as skill
from lossheads.rulers.curves import PRCurves as PRCurves
from lossheads.rulers.curves import ScoreHistograms as ScoreHistograms
from lossheads.rulers.curves import confusion as confusion
from lossheads.rulers.curves import histograms as histograms
from lossheads.rulers.curves import pr_curve as pr_curve
from lossheads.rulers.detection import detect as detect
from lossheads.rulers.detection import familiarity as familiarity
from lossheads.rulers.dialects import fastai_accuracy_multi as fastai_accuracy_multi
from lossheads.rulers.dialects import keras_2_3_accuracy as keras_2_3_accuracy
from lossheads.rulers.dialects import keras_3_accuracy as keras_3_accuracy
from lossheads.rulers.dialects import sklearn_accuracy_score as sklearn_accuracy_score
from lossheads.rulers.dialects import torchmetrics_accuracy as torchmetrics_accuracy
from lossheads.rulers.measuring import class_rulers_for as class_rulers_for
from lossheads.rulers.measuring import find_ruler as find_ruler
from lossheads.rulers.measuring import measure as measure
from lossheads.rulers.measuring import measure_cohort as measure_cohort
from lossheads.rulers.measuring import rulers_for as rulers_for
from lossheads.rulers.multilabel import macro_recall_score as macro_recall_score
from lossheads.rulers.multilabel import micro_f1_score as micro_f1_score
from lossheads.rulers.multilabel import micro_precision_score as micro_precision_score
from lossheads.rulers.multilabel import micro_recall_score as micro_recall_score
from lossheads.rulers.order import excess_coverage_error as excess_coverage_error
from lossheads.rulers.order import macro_roc_auc_score as macro_roc_auc_score
from lossheads.rulers.order import mean_average_precision_score as mean_average_precision_score
from lossheads.rulers.order import ranking_loss as ranking_loss
from lossheads.rulers.per_class import average_precision_score as average_precision_score
from lossheads.rulers.per_class import f1_score as f1_score
from lossheads.rulers.per_class import label_calibration_error as label_calibration_error
from lossheads.rulers.per_class import precision_score as precision_score
from lossheads.rulers.per_class import recall_score as recall_score
from lossheads.rulers.per_class import roc_auc_score as roc_auc_score
from lossheads.rulers.per_class import score_when_absent as score_when_absent
from lossheads.rulers.per_class import score_when_present as score_when_present
from lossheads.rulers.probabilistic import brier_loss as brier_loss
from lossheads.rulers.probabilistic import calibration_error as calibration_error
from lossheads.rulers.probabilistic import nll_loss as nll_loss
from lossheads.rulers.probabilistic import posterior_kl_loss as posterior_kl_loss
from lossheads.rulers.temperature import fitted_temperature as fitted_temperature
from lossheads.rulers.thresholds import compare_thresholds as compare_thresholds
from lossheads.rulers.thresholds import tuned_thresholds as tuned_thresholds
