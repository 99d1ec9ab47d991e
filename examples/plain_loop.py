"""A head as the criterion of a PyTorch loop: 30 seconds from import to every metric.

python examples/plain_loop.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import lossheads as lh

torch.manual_seed(0)
pixels, classes = load_digits(return_X_y=True)
x = torch.tensor(pixels, dtype=torch.float32) / 16
y = torch.tensor(classes)
order = torch.randperm(len(x))
train, test = order[:1400], order[1400:]

for head in (lh.SoftmaxCCE(lh.OneOf(10)), lh.SigmoidBCE(lh.OneOf(10))):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, head.num_logits))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        for rows in train.split(128):
            optimizer.zero_grad()
            loss = head(model(x[rows]), y[rows])  # mean over the batch, nats per example
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        report = lh.evaluate(model(x[test]), y[test], head=head)
    print(report.table())
    printed, decided = report["keras_2_3_accuracy"], report["accuracy_score"]
    print(
        f"-> Keras 2.3 would have printed {printed.value:.3f} (skill {printed.skill:.3f}); "
        f"{decided.value:.3f} of the test images are decided correctly (skill "
        f"{decided.skill:.3f})\n"
    )
