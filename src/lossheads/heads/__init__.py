"""Loss heads: everything that follows from choosing one, in one frozen object each."""

from lossheads.heads.base import Head as Head
from lossheads.heads.binary import SingleLogitBCE as SingleLogitBCE
from lossheads.heads.binary import SingleLogitSoftmaxCCE as SingleLogitSoftmaxCCE
from lossheads.heads.binary import TwoLogitCCE as TwoLogitCCE
from lossheads.heads.multiclass import SigmoidBCE as SigmoidBCE
from lossheads.heads.multiclass import SoftmaxBCE as SoftmaxBCE
from lossheads.heads.multiclass import SoftmaxCCE as SoftmaxCCE
