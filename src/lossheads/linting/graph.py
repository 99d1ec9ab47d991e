"""The autograd graph below a tensor: which activations it passed last."""

from typing import Any

from torch import Tensor

from lossheads.linting.observation import Activation, Kind, LastLayers

# Names of graph nodes, without "Backward" and number.
_ACTIVATIONS: dict[str, Kind] = {
    "Softmax": "softmax",
    "SafeSoftmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Tanh": "tanh",
}
_SHAPE = {
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute"),
    *("Clone", "ToCopy", "Alias", "Expand", "AsStrided", "Movedim", "Swapaxes", "Contiguous"),
    *("Identity", "Mkldnn", "ToDense", "Unflatten"),
}
_PICKS = {"Select", "Slice", "Index", "Gather", "Unbind", "Split", "SplitWithSizes", "IndexSelect"}
_CLAMPS = {"Clamp", "ClampMin", "ClampMax"}
_LINEAR = {
    *("Addmm", "Mm", "Bmm", "Baddbmm", "Addbmm", "Mv", "Linear", "Convolution", "MkldnnLinear"),
    *("MkldnnConvolution", "Embedding", "NativeBatchNorm", "NativeLayerNorm", "Mean", "Sum"),
    *("CudnnBatchNorm", "AvgPool2D", "AdaptiveAvgPool2D", "UpsampleBilinear2D", "Dot", "Addmv"),
    *("Cat", "Stack"),
}


def last_layers(outputs: Tensor) -> LastLayers:
    """What the graph tells; nothing where there is none, or where its last node is not known."""
    activations: list[Activation] = []
    picked = clamped = linear = logged = False
    node: Any = outputs.grad_fn
    while node is not None:
        name = _plain(node.name())
        above = [next_node for next_node, _ in node.next_functions if next_node is not None]
        if name in _ACTIVATIONS:
            kind = _ACTIVATIONS[name]
            # The logarithm of probabilities is a logit already.
            kind = "log_softmax" if logged and kind == "softmax" else kind
            activations.append(Activation(kind, _size(node)))
            logged = False
        elif name in _PICKS:
            picked = picked or not activations
        elif name in _CLAMPS:
            clamped = clamped or not activations
        elif name == "Log":
            logged = True
        elif not (name in _SHAPE or (name == "Add" and len(above) == 1)):
            linear = not logged and (name in _LINEAR or name == "Add")
            break
        if not above:
            break
        node = above[0]
    if logged and not activations:
        return LastLayers(seen_by="autograd graph")
    return LastLayers(tuple(activations), linear, picked, clamped, "autograd graph")


def _plain(name: str) -> str:
    """`SoftmaxBackward0` -> `Softmax`."""
    return name.rsplit("::", 1)[-1].rstrip("0123456789").removesuffix("Backward")


def _size(node: Any) -> int | None:
    """Length of the dimension that a softmax ran over."""
    try:
        result, dim = node._saved_result, node._saved_dim
        return int(result.shape[dim - 2**64 if dim >= 2**63 else dim])
    except (AttributeError, RuntimeError, IndexError):
        return None
