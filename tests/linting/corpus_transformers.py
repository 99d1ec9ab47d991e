"""transformers: tiny models made from a configuration; the loss is the model's own."""

import torch
import transformers
from torch import nn

from .corpus import BINARY, CLASSES, MANY, ONE_HOT, C, L, generator, right, wrong

IDS = {"input_ids": torch.randint(50, (12, 7), generator=generator(11))}


def bert(kind: str = "SequenceClassification", **settings: object) -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        **settings,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"BertFor{kind}")(config)


@right("transformers")
def sequence_classes():
    return bert(num_labels=C), IDS, CLASSES[:12], None


@right("transformers")
def sequence_classes_said_so():
    model = bert(num_labels=C, problem_type="single_label_classification")
    return model, IDS, CLASSES[:12], None


@right("transformers")
def sequence_with_several_labels():
    model = bert(num_labels=L, problem_type="multi_label_classification")
    return model, IDS, MANY[:12], None


@right("transformers")
def sequence_regression():
    model = bert(num_labels=1, problem_type="regression")
    return model, IDS, torch.randn(12, generator=generator()), None


@right("transformers")
def tokens_with_ignored_pieces():
    labels = torch.randint(C, (12, 7), generator=generator())
    labels[:, 0] = -100
    return bert("TokenClassification", num_labels=C), IDS, labels, None


@right("transformers")
def causal_language_model():
    config = transformers.GPT2Config(
        vocab_size=50,
        n_positions=8,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config), IDS, IDS["input_ids"], None


@right("transformers")
def logits_with_a_loss_of_ones_own():
    return bert(num_labels=C), IDS, CLASSES[:12], nn.CrossEntropyLoss(label_smoothing=0.1)


@wrong("transformers", "problem-type-guessed")
def one_hot_rows_without_problem_type():
    return bert(num_labels=C), IDS, ONE_HOT[:12], None


@wrong("transformers", "problem-type-regression")
def one_unit_for_two_classes():
    return bert(num_labels=1), IDS, BINARY[:12].float(), None


@wrong("transformers", "target-dtype")
def integers_for_several_labels():
    model = bert(num_labels=L, problem_type="multi_label_classification")
    return model, IDS, MANY[:12].long(), None


@wrong("transformers", "target-shape")
def several_labels_as_integers_without_problem_type():
    return bert(num_labels=L), IDS, MANY[:12].long(), None


@wrong("transformers", "labels-out-of-range")
def more_classes_than_num_labels():
    return bert(num_labels=2), IDS, CLASSES[:12], None


@wrong("transformers", "softmax-before-logits-loss")
def classifier_with_a_softmax():
    model = bert(num_labels=C)
    model.classifier = nn.Sequential(model.classifier, nn.Softmax(dim=-1))
    return model, IDS, CLASSES[:12], None
