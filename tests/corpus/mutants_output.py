"""B: one line wrong between the last layer and the loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import binary, blobs, curve, multi_label, pictures, reconstruct, token_classes, tokens
from corpus.optimisers import adam
from corpus.program import Case, twins
from corpus.skeletons import Convolutions, Perceptron, Reader, perceptron


def same(z: Tensor) -> Tensor:
    return z


class FunctionalSoftmax(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(16, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return F.softmax(z, dim=-1) if self.wrong else z  # fault: softmax_functional_cross_entropy


@twins("F.softmax before cross-entropy, which takes logits.", "AL201", paths=("",))
def softmax_functional_cross_entropy(wrong: bool) -> Case:
    return Case(FunctionalSoftmax(wrong), blobs(), F.cross_entropy)


@twins("nn.Softmax as the last layer before nn.CrossEntropyLoss.", "AL201", paths=("5",))
def softmax_module_cross_entropy(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.ReLU)
    model.append(nn.Softmax(dim=1) if wrong else nn.Identity())
    return Case(model, blobs(), nn.CrossEntropyLoss())


class PictureSoftmax(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Convolutions(1, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return z.softmax(-1) if self.wrong else z  # fault: softmax_method_cnn


@twins("The method softmax at the end of a convolutional network, before cross-entropy.", "AL201", paths=("",))
def softmax_method_cnn(wrong: bool) -> Case:
    return Case(PictureSoftmax(wrong), pictures(), nn.CrossEntropyLoss(label_smoothing=0.1))


class ReaderSoftmax(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body = Reader(20, 3)
        self.probabilities = nn.Softmax(dim=-1) if wrong else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return self.probabilities(z)  # fault: softmax_transformer


@twins("A transformer classifier gives probabilities to cross-entropy.", "AL201", paths=("probabilities",))
def softmax_transformer(wrong: bool) -> Case:
    return Case(ReaderSoftmax(wrong), token_classes(), F.cross_entropy)


@twins("The loss takes the softmax of the logits, and then the cross-entropy of that.", "AL201")
def softmax_within_the_loss(wrong: bool) -> Case:
    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(torch.softmax(output, dim=1) if wrong else output, targets)

    return Case(Perceptron(16, 4), blobs(), loss)


class LogSoftmax(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(16, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return F.log_softmax(z, dim=-1) if self.wrong else z  # fault: log_softmax_functional


@twins("F.log_softmax before cross-entropy: harmless, done twice.", "AL202", paths=("",))
def log_softmax_functional(wrong: bool) -> Case:
    return Case(LogSoftmax(wrong), blobs(), F.cross_entropy)


@twins("nn.LogSoftmax before nn.CrossEntropyLoss: harmless, done twice.", "AL202", paths=("5",))
def log_softmax_module(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.GELU)
    model.append(nn.LogSoftmax(dim=-1) if wrong else nn.Identity())
    return Case(model, blobs(), nn.CrossEntropyLoss())


class TwoSigmoids(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(16, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return torch.sigmoid(z) if self.wrong else z  # fault: sigmoid_twice_functional


@twins("torch.sigmoid before binary cross-entropy with logits.", "AL203", paths=("",))
def sigmoid_twice_functional(wrong: bool) -> Case:
    return Case(TwoSigmoids(wrong), binary(), F.binary_cross_entropy_with_logits)


@twins("nn.Sigmoid before nn.BCEWithLogitsLoss, several labels.", "AL203", paths=("5",))
def sigmoid_twice_module(wrong: bool) -> Case:
    model = perceptron(16, 5, nn.ReLU)
    model.append(nn.Sigmoid() if wrong else nn.Identity())
    return Case(model, multi_label(), nn.BCEWithLogitsLoss())


def masks(step: int) -> tuple[Tensor, Tensor]:
    """Pictures and where they are bright."""
    x, _ = pictures(1, 4)(step)
    return x, (F.avg_pool2d(x, 3, stride=1, padding=1) > 0).float()


class Segments(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.two(F.relu(self.one(x)))
        return z.sigmoid() if self.wrong else z  # fault: sigmoid_twice_segmentation


@twins("A segmentation network squashes its map and the loss does it again.", "AL203", paths=("",))
def sigmoid_twice_segmentation(wrong: bool) -> Case:
    return Case(Segments(wrong), masks, nn.BCEWithLogitsLoss(), adam(0.01))


@twins("Binary cross-entropy of raw outputs, which PyTorch refuses as soon as one leaves [0, 1].", "AL204")
def no_sigmoid_refused(wrong: bool) -> Case:
    model = perceptron(16, 1, nn.ReLU)
    nn.init.zeros_(model[4].bias)
    model.append(nn.Identity() if wrong else nn.Sigmoid())
    return Case(model, binary(), nn.BCELoss())


@twins("Binary cross-entropy of raw outputs that happen to begin within [0, 1].", "AL204")
def no_sigmoid_at_first(wrong: bool) -> Case:
    model = perceptron(16, 1, nn.ReLU)
    nn.init.normal_(model[-1].weight, std=1e-3)
    nn.init.constant_(model[-1].bias, 0.5)
    model.append(nn.Identity() if wrong else nn.Sigmoid())
    return Case(model, binary(), F.binary_cross_entropy, adam(1e-4))


class LikelihoodEnd(nn.Module):
    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.end = Perceptron(16, 4), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


@twins("The negative log-likelihood of raw outputs.", "AL205")
def no_log_softmax(wrong: bool) -> Case:
    end = same if wrong else (lambda z: F.log_softmax(z, dim=-1))
    return Case(LikelihoodEnd(end), blobs(), F.nll_loss)


@twins("The negative log-likelihood of probabilities instead of their logarithms.", "AL205", paths=("5",))
def softmax_nll(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.Tanh)
    model.append(nn.Softmax(dim=1) if wrong else nn.LogSoftmax(dim=1))
    return Case(model, blobs(), nn.NLLLoss())


@twins("nn.NLLLoss of the raw outputs of a convolutional network.", "AL205")
def no_log_softmax_cnn(wrong: bool) -> Case:
    end = nn.Identity() if wrong else nn.LogSoftmax(dim=1)
    return Case(nn.Sequential(Convolutions(1, 4), end), pictures(), nn.NLLLoss())


class OneOutput(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Convolutions(1, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return torch.softmax(z, dim=1) if self.wrong else torch.sigmoid(z)  # fault: softmax_of_one_cnn


@twins("Softmax over the one output of a convolutional network.", "AL206", paths=("",))
def softmax_of_one_cnn(wrong: bool) -> Case:
    def two_kinds(step: int) -> tuple[Tensor, Tensor]:
        x, labels = pictures(1, 2)(step)
        return x, labels.float()[:, None]

    return Case(OneOutput(wrong), two_kinds, F.binary_cross_entropy)


@twins("nn.Softmax over one output.", "AL206", paths=("5",))
def softmax_of_one_module(wrong: bool) -> Case:
    model = perceptron(16, 1, nn.SiLU)
    model.append(nn.Softmax(dim=-1) if wrong else nn.Sigmoid())
    return Case(model, binary(), nn.BCELoss())


class AcrossBatch(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.axis = Perceptron(16, 4), 0 if wrong else 1

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return F.log_softmax(z, dim=self.axis)  # fault: log_softmax_across_batch


@twins("log_softmax over the examples of the batch instead of the classes.", "AL207", paths=("",))
def log_softmax_across_batch(wrong: bool) -> Case:
    return Case(AcrossBatch(wrong), blobs(), F.nll_loss)


@twins("nn.Softmax(dim=0) over the examples of the batch.", "AL207", paths=("5",))
def softmax_across_batch(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.ReLU)
    model.append(nn.Softmax(dim=0 if wrong else 1))
    return Case(model, blobs(), lambda p, y: F.nll_loss(torch.log(p + 1e-8), y))


class Tagger(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.letters, self.hidden, self.out = nn.Embedding(20, 24), nn.Linear(24, 48), nn.Linear(48, 20)
        self.axis = 1 if wrong else 2

    def forward(self, text: Tensor) -> Tensor:
        z = self.out(F.gelu(self.hidden(self.letters(text))))
        return torch.log_softmax(z, dim=self.axis)  # fault: log_softmax_along_time


@twins("log_softmax along the positions of a text instead of its letters.", "AL207", paths=("",))
def log_softmax_along_time(wrong: bool) -> Case:
    return Case(Tagger(wrong), tokens(), lambda p, y: F.nll_loss(p.flatten(0, 1), y.flatten()))


class Attends(nn.Module):
    """Attention written by hand."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.letters, self.mix, self.out = nn.Embedding(20, 24), nn.Linear(24, 72), nn.Linear(24, 3)
        self.axis = -2 if wrong else -1

    def forward(self, text: Tensor) -> Tensor:
        query, key, value = self.mix(self.letters(text)).chunk(3, dim=-1)
        scores = query @ key.transpose(-1, -2) / 24**0.5
        weights = torch.softmax(scores, dim=self.axis)  # fault: attention_over_queries
        return self.out((weights @ value).mean(1))


@twins("Attention weights add up to 1 over the queries instead of the keys.", "AL207", paths=("",))
def attention_over_queries(wrong: bool) -> Case:
    return Case(Attends(wrong), token_classes(), F.cross_entropy)


@twins("A sigmoid predicts targets between -1 and 1.", "AL208", paths=("5",))
def sigmoid_for_signed_targets(wrong: bool) -> Case:
    def signed(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, torch.tanh(2 * y)

    model = perceptron(8, 1, nn.ReLU)
    model.append(nn.Sigmoid() if wrong else nn.Tanh())
    return Case(model, signed, nn.MSELoss())


class Bounded(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(8, 2), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return torch.tanh(z) if self.wrong else z  # fault: tanh_for_large_targets


@twins("tanh predicts targets of several units.", "AL208", paths=("",))
def tanh_for_large_targets(wrong: bool) -> Case:
    return Case(Bounded(wrong), curve(outputs=2, scale=5), F.smooth_l1_loss)


class Positive(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(8, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return F.relu(z) if self.wrong else z  # fault: relu_regression


@twins("A ReLU predicts targets half of which are negative.", "AL208", "AL209", paths=("",))
def relu_regression(wrong: bool) -> Case:
    return Case(Positive(wrong), curve(), nn.MSELoss())


@twins("An autoencoder of standardised inputs ends in a sigmoid.", "AL208", paths=("7",))
def sigmoid_autoencoder(wrong: bool) -> Case:
    wide = (nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
    return Case(nn.Sequential(*wide, nn.Sigmoid() if wrong else nn.Identity()), reconstruct(blobs()), nn.MSELoss())


@twins("softplus predicts targets half of which are negative.", "AL208", paths=("5",))
def softplus_regression(wrong: bool) -> Case:
    model = perceptron(8, 1, nn.Tanh)
    model.append(nn.Softplus() if wrong else nn.Identity())
    return Case(model, curve(), nn.L1Loss())


@twins("nn.ReLU as the last layer of a classifier.", "AL209", paths=("5",))
def relu_on_logits_module(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.ReLU)
    model.append(nn.ReLU() if wrong else nn.Identity())
    return Case(model, blobs(), nn.CrossEntropyLoss())


class BinaryRelu(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(16, 1), wrong
        nn.init.zeros_(self.body.fc3.bias)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return z.relu() if self.wrong else z  # fault: relu_before_bce_with_logits


@twins(
    "A ReLU before binary cross-entropy with logits: no example can be given less than one half.", "AL209", paths=("",)
)
def relu_before_bce_with_logits(wrong: bool) -> Case:
    return Case(BinaryRelu(wrong), binary(), nn.BCEWithLogitsLoss())


class LoopsToTheEnd(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)])
        self.skip_last = not wrong

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place < 2 or not self.skip_last:
                x = torch.relu(x)  # fault: relu_in_a_loop
        return x


@twins("A loop over layers applies its ReLU after the last one too.", "AL209", paths=("",))
def relu_in_a_loop(wrong: bool) -> Case:
    return Case(LoopsToTheEnd(wrong), blobs(), F.cross_entropy)


@twins("Softmax for labels that may hold together, under binary cross-entropy.", "AL210", "AL208", paths=("5",))
def softmax_multi_label(wrong: bool) -> Case:
    model = perceptron(16, 5, nn.ReLU)
    model.append(nn.Softmax(dim=-1) if wrong else nn.Sigmoid())
    return Case(model, multi_label(), nn.BCELoss())


@twins("Cross-entropy, with its softmax inside, against several labels at once.", "AL210")
def cross_entropy_multi_label(wrong: bool) -> Case:
    loss = F.cross_entropy if wrong else F.binary_cross_entropy_with_logits
    return Case(Perceptron(16, 5), multi_label(), loss)


class PictureTags(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Convolutions(1, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return F.softmax(z, dim=1) if self.wrong else F.sigmoid(z)  # fault: softmax_tags_cnn


def tagged(step: int) -> tuple[Tensor, Tensor]:
    """Pictures, and which of their quarters are bright."""
    x, _ = pictures(1, 4)(step)
    return x, (F.adaptive_avg_pool2d(x, 2).flatten(1) > 0).float()


@twins("A convolutional network tags pictures through one softmax.", "AL210", "AL208", paths=("",))
def softmax_tags_cnn(wrong: bool) -> Case:
    return Case(PictureTags(wrong), tagged, F.binary_cross_entropy)
