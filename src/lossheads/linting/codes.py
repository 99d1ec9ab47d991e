"""Every code that the linter knows: what it means, what follows and what mends it. No torch."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "hint"]


@dataclass(frozen=True)
class Code:
    """One thing that can be wrong.

    Attributes:
        severity: `error`: another thing is trained than meant, or nothing. `warning`: it trains,
            and most who write it meant something else. `hint`: often meant; no finding.
        claim: Name of the claim file that shows the consequence, or empty.
    """

    name: str
    severity: Severity
    what: str
    consequence: str
    mend: str
    claim: str = ""


_ALL = (
    # the last layer and what the loss reads
    Code(
        "softmax-before-logits-loss",
        "error",
        "the model ends in a softmax, and the loss takes logits and normalises them again",
        "the loss cannot fall below -ln(e / (e + C - 1)), and the first gradient is 1/C of the "
        "right one",
        "remove the softmax from the model; apply it where probabilities are shown",
        "double-softmax",
    ),
    Code(
        "sigmoid-before-logits-loss",
        "error",
        "the model ends in a sigmoid, and the loss takes logits and applies a link again",
        "probabilities cannot leave [0.5, 0.731], and a cut at one half says yes to everything",
        "remove the sigmoid from the model, or take the loss that reads probabilities",
        "double-sigmoid",
    ),
    Code(
        "logits-into-probability-loss",
        "error",
        "the model ends in logits, and the loss takes probabilities",
        "values outside [0, 1] are refused or clipped, and where they are clipped the gradient "
        "is zero",
        "use the form that takes logits (torch: BCEWithLogitsLoss, Keras: from_logits=True)",
    ),
    Code(
        "not-log-probabilities",
        "error",
        "the loss takes log-probabilities, and exp of the outputs does not sum to 1",
        "the loss has no lower bound or a wrong one, and its minimum is not the true distribution",
        "end in log_softmax over the classes, or use cross-entropy on the logits",
    ),
    Code(
        "one-unit-softmax",
        "error",
        "a softmax is taken over one unit",
        "its output is 1 for every input, the gradient is exactly 0, and accuracy is the share "
        "of ones",
        "use one unit with sigmoid and binary cross-entropy, or two units with softmax",
        "one-unit-softmax",
    ),
    Code(
        "softmax-over-wrong-dimension",
        "error",
        "the softmax runs over another dimension than the classes",
        "each output depends on the other examples of the batch, or on its neighbours in the "
        "picture",
        "name the class dimension: dim=1 for (N, C) and (N, C, H, W), dim=-1 for (N, T, C)",
    ),
    Code(
        "softmax-with-binary-loss",
        "warning",
        "softmax probabilities of more than two classes go into a binary cross-entropy",
        "this is no likelihood of one class among C: at equal probabilities the gradient is 1/(C "
        "- 1) "
        "of cross-entropy's, and Keras 1.0.6 to 2.3 printed cell-wise accuracy for it",
        "use categorical cross-entropy for one class per example, sigmoids for several labels",
        "bce-97-vs-cce-90",
    ),
    Code(
        "sigmoid-with-categorical-loss",
        "warning",
        "sigmoid units go into a categorical cross-entropy of probabilities",
        "the loss divides by their sum, so all may grow together and the sigmoids are no "
        "probabilities",
        "end in a softmax, or use binary cross-entropy with the sigmoids",
    ),
    Code(
        "softmax-for-several-labels",
        "error",
        "rows with several ones, or none, go into a softmax loss",
        "probabilities that sum to 1 cannot say yes to two labels, and the loss weighs an "
        "example by "
        "the number of its labels",
        "use one sigmoid per label with binary cross-entropy, or lossheads.MultilabelCCE",
        "multilabel-softmax-balances",
    ),
    Code(
        "relu-before-loss",
        "error",
        "the outputs pass a ReLU before the loss",
        "no logit can be negative, and units at zero get no gradient",
        "remove the last ReLU",
    ),
    Code(
        "tanh-before-loss",
        "warning",
        "the outputs pass a tanh before the loss",
        "logits lie in [-1, 1], so no probability can exceed e / (e + (C - 1) / e) and the loss "
        "has a floor",
        "remove the tanh, or scale it (30 * tanh(z / 30)) where a bound is wanted",
    ),
    # targets
    Code(
        "targets-outside-unit-interval",
        "error",
        "binary cross-entropy got targets outside [0, 1]",
        "the loss is accepted and has no lower bound",
        "pass 0 and 1 (labels.clamp(min=0) of -1 and 1, mask / 255), or class indices to "
        "cross-entropy",
    ),
    Code(
        "targets-not-distributions",
        "error",
        "cross-entropy got rows of weights that do not sum to 1",
        "each example counts by the sum of its row",
        "divide each row by its sum",
    ),
    Code(
        "labels-out-of-range",
        "error",
        "class indices lie outside 0 … C - 1",
        "the loss is refused on a CPU, stops the process on a GPU, and is NaN in other frameworks",
        "count classes from 0, give the model one output per class, or name ignore_index",
    ),
    Code(
        "target-shape",
        "error",
        "the shape of the targets does not fit the outputs",
        "the loss refuses it, or compares numbers that do not belong together",
        "indices have the outputs' shape without the class dimension, everything else has their "
        "shape",
    ),
    Code(
        "target-dtype",
        "error",
        "the type of the targets does not fit their meaning",
        "the loss refuses it",
        "class indices are integers (.long()), distributions and 0/1 labels of BCE floats "
        "(.float())",
    ),
    Code(
        "broadcast-targets",
        "error",
        "outputs and targets of different shapes are broadcast",
        "every output is compared with every target, and the minimum is the mean label",
        "give both one shape: outputs.squeeze(1), or targets.unsqueeze(1)",
    ),
    Code(
        "ignored-class",
        "warning",
        "ignore_index names a class that the labels contain",
        "examples of that class are left out of the loss, so it is never learnt",
        "leave ignore_index at -100, unless that class stands for padding",
    ),
    Code(
        "all-targets-ignored",
        "error",
        "every target of the batch is ignored",
        "the mean over nothing is NaN, and one such step makes every weight NaN",
        "look at how labels are masked",
    ),
    Code(
        "smoothed-twice",
        "warning",
        "rows that are smoothed already meet a loss that smooths",
        "twice the smoothing that was asked for",
        "smooth in one place",
        "label-smoothing-bounds-the-gap",
    ),
    # weights
    Code(
        "pos-weight-shape",
        "error",
        "pos_weight is not one number per label",
        "it is broadcast along another dimension and weighs examples, or it is refused",
        "give it shape (L,), or (L, 1, 1) for (N, L, H, W); for one logit one number, negatives "
        "/ positives",
        "pos-weight-is-a-shift",
    ),
    Code(
        "pos-weight-inverted",
        "warning",
        "pos_weight follows the share of positives instead of balancing it",
        "rare positives count even less than they already do",
        "pos_weight = negatives / positives",
        "pos-weight-is-a-shift",
    ),
    Code(
        "weight-scales-everything",
        "warning",
        "`weight` of one number scales positives and negatives alike",
        "only the learning rate changes, the balance does not",
        "pass it as pos_weight",
        "pos-weight-is-a-shift",
    ),
    Code(
        "class-weight-shape",
        "error",
        "`weight` of cross-entropy is not one number per class",
        "the loss refuses it",
        "give one weight per output",
    ),
    Code(
        "class-weight-inverted",
        "warning",
        "class weights grow with the frequency of the class",
        "rare classes count even less than they already do",
        "weights = N / (C * counts)",
    ),
    # size of a step
    Code(
        "sum-over-batch",
        "warning",
        "the loss is a sum over the batch",
        "each step grows with the batch size, and a short last batch takes a shorter one",
        "reduction='mean', or divide the learning rate by the batch size",
    ),
    Code(
        "mean-over-cells",
        "warning",
        "KLDivLoss averages over examples and classes",
        "loss and gradient are 1/C of the divergence",
        "reduction='batchmean'",
    ),
    Code(
        "unreduced-loss",
        "error",
        "the loss returns one number per example or cell",
        "backward() refuses it",
        "reduction='mean', or .mean() after weighting",
    ),
    Code(
        "no-gradient",
        "error",
        "no gradient leads from the loss to the model",
        "nothing is trained",
        "keep argmax, detach(), .item(), numpy and no_grad out of the way from outputs to loss",
    ),
    Code(
        "dead-gradient",
        "error",
        "the gradient of every trainable parameter is exactly 0, although the loss is not",
        "nothing is trained",
        "look for saturated probabilities (use the loss that takes logits) and units dead at the "
        "start",
    ),
    Code(
        "loss-not-finite",
        "error",
        "the loss is NaN or infinite",
        "one step makes every weight NaN",
        "look where it comes from: empty targets, log of 0, division by 0, inputs that are not "
        "finite",
    ),
    Code(
        "initial-loss",
        "warning",
        "the loss is more than twenty times that of a model that ignores its input",
        "the first steps unlearn a start that is confident and wrong",
        "scale the inputs, or start the output layer near zero",
    ),
    # metrics
    Code(
        "metric-sigmoid-again",
        "error",
        "the metric applies a sigmoid to probabilities",
        "every probability above 0 becomes more than one half: all is decided as yes",
        "pass it what it takes (fastai: sigmoid=False)",
        "double-sigmoid",
    ),
    Code(
        "metric-cuts-logits-at-half",
        "error",
        "the metric compares logits with one half",
        "yes is said from a probability of 0.62 on, not 0.5",
        "threshold 0 for logits (Keras: BinaryAccuracy(threshold=0.0)), or pass probabilities",
    ),
    Code(
        "metric-rounds-logits",
        "error",
        "the metric rounds logits",
        "a clear yes becomes 2 or 3 and counts as wrong",
        "compare logits with 0, or round probabilities",
    ),
    Code(
        "metric-argmax-for-several-labels",
        "error",
        "the metric compares the strongest output with the first label of each row",
        "right predictions for several labels count as wrong",
        "compare label by label (Keras: 'binary_accuracy', not 'accuracy')",
        "multi-label-accuracy-collapsed",
    ),
    Code(
        "metric-argmax-of-one-unit",
        "error",
        "the metric takes the argmax of one unit",
        "the decision is always class 0, and the number is the share of zeros",
        "compare the logit with 0, or the probability with one half",
        "one-unit-softmax",
    ),
    Code(
        "metric-elementwise-on-one-hot",
        "warning",
        "the metric counts cells of one-hot rows",
        "a model that says nothing scores 1 - 1/C",
        "compare argmax with the class (Keras: 'categorical_accuracy')",
        "bce-97-vs-cce-90",
    ),
    Code(
        "metric-wants-equality",
        "error",
        "the metric counts outputs that equal the label exactly",
        "a probability of 0.99 counts as wrong: the number stays near 0",
        "Keras: metrics=['accuracy'], or BinaryAccuracy(); Accuracy() is for decided labels",
    ),
    Code(
        "metric-misreads",
        "error",
        "perfect outputs do not score 1 under the metric",
        "the number shown is not about this model",
        "pass the metric what it takes: decisions, probabilities or logits",
    ),
    # transformers
    Code(
        "problem-type-guessed",
        "warning",
        "float labels without problem_type are taken for several labels",
        "one-hot rows are trained with binary cross-entropy per class",
        "set problem_type, or pass class indices",
    ),
    Code(
        "problem-type-regression",
        "warning",
        "num_labels=1 without problem_type means regression",
        "0/1 labels are fitted by squared error, without a link",
        "num_labels=2, or problem_type='regression' where that is meant",
    ),
    # hints
    Code(
        "initial-loss-high",
        "hint",
        "the loss is above twice that of a model that ignores its input",
        "usual for logits with a scale or a margin, and for a trained model on other data",
        "at a fresh start: scale the inputs, or start the output layer near zero",
    ),
    Code(
        "mean-over-classes",
        "hint",
        "binary cross-entropy is averaged over the labels",
        "each step is 1/L of the sum's; under SGD the best learning rate is about L times as large",
        "tune the learning rate for this loss, or sum over the labels",
        "bce-mean-needs-c-times-the-rate",
    ),
    Code(
        "parameters-without-gradient",
        "hint",
        "some trainable parameters get no gradient, or exactly 0",
        "they stay as they are; usual for layers that this loss does not use",
        "none where that is meant; else keep argmax and detach() out of the way",
    ),
    Code(
        "prior-bias",
        "hint",
        "the labels are rare and the outputs start at one half",
        "the first steps are spent on learning that most labels are absent",
        "start the bias of the output layer at ln(p / (1 - p))",
        "prior-bias",
    ),
    Code(
        "sums-by-design",
        "hint",
        "this loss sums over the batch by design",
        "each step grows with the batch size",
        "use the learning rate of its authors, or divide by the batch size",
    ),
    Code(
        "ignored-class-in-sequence",
        "hint",
        "ignore_index names a class that occurs in the labels",
        "right where it stands for padding",
        "none, where it does",
    ),
    Code(
        "smoothing-towards-half",
        "hint",
        "binary cross-entropy smooths every label towards one half",
        "over C classes the smoothed row sums to more than 1; categorical smoothing goes towards "
        "1/C",
        "compare smoothing only within one loss",
        "label-smoothing-bounds-the-gap",
    ),
    Code(
        "metric-macro",
        "hint",
        "the metric averages over classes (macro)",
        "with unequal classes it is not the share of right decisions",
        "average='micro' for the share of right decisions (torchmetrics: MulticlassAccuracy is "
        "macro by "
        "default)",
    ),
    Code(
        "metric-subset-accuracy",
        "hint",
        "the metric counts examples whose labels are all right",
        "one wrong label in a row costs the whole row",
        "say so beside the number, or count labels",
        "multi-label-accuracy-collapsed",
    ),
)
CODES = {code.name: code for code in _ALL}


def markdown() -> str:
    """The table of docs/check.md."""
    lines = ["| code | severity | what | consequence | mend | claim |", "|---|---|---|---|---|---|"]
    for code in _ALL:
        claim = f"[{code.claim}](../claims/{code.claim}.yaml)" if code.claim else ""
        cells = (f"`{code.name}`", code.severity, code.what, code.consequence, code.mend, claim)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"
