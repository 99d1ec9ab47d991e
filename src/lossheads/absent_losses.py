"""Losses that people ask for and no head can be, each with the reason.

A head's loss sees the logits and the target of one row; rows are independent (`heads.base`). A
loss that needs other rows, or the weights, is no head.
"""

_OTHER_ROWS = "needs the other rows of a batch, and a head's loss sees one row"
_WEIGHTS = "is on weights, and a head's loss sees logits and target alone"

ABSENT = {
    "dice": f"Dice and other F-measures are ratios of sums over a batch: the loss {_OTHER_ROWS}",
    "tversky": f"Tversky's index is a ratio of sums over a batch: the loss {_OTHER_ROWS}",
    "jaccard": f"the Jaccard index is a ratio of sums over a batch: the loss {_OTHER_ROWS}",
    "two_way": (
        "the two-way loss (Kobayashi 2023) has a second softmax over the examples of a batch: it "
        f"{_OTHER_ROWS}"
    ),
    "supervised_contrastive": f"a contrastive loss compares examples: it {_OTHER_ROWS}",
    "triplet": f"a triplet loss compares examples: it {_OTHER_ROWS}",
    "final_layer_l2": (
        f"a penalty on the output layer {_WEIGHTS}; optimizer.weight_decay is on all layers"
    ),
    "center_loss": f"center loss learns a centre per class from features: it {_WEIGHTS}",
    "cosine_softmax": (
        "cosine softmax divides features and weights by their lengths, which is the output layer's "
        "work: set output_layer.cosine_temperature, with head=softmax_cce"
    ),
    "dropout": "dropout is a layer of the model, not a loss; write a model of your own",
}

_SAME = {
    "dice_loss": "dice",
    "soft_dice": "dice",
    "f1_loss": "dice",
    "iou": "jaccard",
    "lovasz": "jaccard",
    "two_way_loss": "two_way",
    "twoway": "two_way",
    "supcon": "supervised_contrastive",
    "contrastive": "supervised_contrastive",
    "cosine": "cosine_softmax",
}


def why_absent(name: str) -> str:
    """One sentence on why no head has this name; empty for a name that says nothing."""
    known = name.lower().replace("-", "_")
    return ABSENT.get(_SAME.get(known, known), "")
