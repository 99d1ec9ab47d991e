"""Loss heads: everything that follows from choosing one, in one frozen object each."""

from lossheads.heads.base import Head as Head
from lossheads.heads.binary import SingleLogitBCE as SingleLogitBCE
from lossheads.heads.binary import SingleLogitSoftmaxCCE as SingleLogitSoftmaxCCE
from lossheads.heads.binary import TwoLogitCCE as TwoLogitCCE
from lossheads.heads.grouped import GroupedBalancedCCE as GroupedBalancedCCE
from lossheads.heads.grouped import GroupedCCE as GroupedCCE
from lossheads.heads.grouped import GroupedCentredCCE as GroupedCentredCCE
from lossheads.heads.grouped import GroupedKLExcess as GroupedKLExcess
from lossheads.heads.grouped import GroupedLogitAdjustedCCE as GroupedLogitAdjustedCCE
from lossheads.heads.grouped import GroupedLogSumCCE as GroupedLogSumCCE
from lossheads.heads.grouped import GroupedPairwiseCCE as GroupedPairwiseCCE
from lossheads.heads.multiclass import SigmoidBCE as SigmoidBCE
from lossheads.heads.multiclass import SigmoidOffsetBCE as SigmoidOffsetBCE
from lossheads.heads.multiclass import SoftmaxBCE as SoftmaxBCE
from lossheads.heads.multiclass import SoftmaxCCE as SoftmaxCCE
from lossheads.heads.multilabel import Asymmetric as Asymmetric
from lossheads.heads.multilabel import Focal as Focal
from lossheads.heads.multilabel import MultilabelCCE as MultilabelCCE
from lossheads.heads.multilabel_softmax import PerLabelCCE as PerLabelCCE
from lossheads.heads.multilabel_softmax import SoftmaxMultihot as SoftmaxMultihot
from lossheads.heads.softmax_losses import SoftmaxFocal as SoftmaxFocal
from lossheads.heads.softmax_losses import SoftmaxLogitNormCCE as SoftmaxLogitNormCCE
from lossheads.heads.softmax_losses import SoftmaxLogitPenaltyCCE as SoftmaxLogitPenaltyCCE
from lossheads.heads.softmax_losses import SoftmaxPoly1CCE as SoftmaxPoly1CCE
from lossheads.heads.softmax_losses import SoftmaxWeightedCCE as SoftmaxWeightedCCE
from lossheads.heads.squared import LinearSquaredError as LinearSquaredError
