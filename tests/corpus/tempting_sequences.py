"""C: correct networks for sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import seeded, series, token_classes, tokens
from corpus.mutants_construction import tiny_bert
from corpus.optimisers import adam, adamw
from corpus.program import Case, clean
from corpus.skeletons import Reader


def next_letter(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells, self.out = kind(3, 24, batch_first=True), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x)[0][:, -1])


@clean("nn.LSTM, whose gates are out of sight.")
def lstm() -> Case:
    return Case(Recurrent(nn.LSTM), series(), F.cross_entropy, adam(0.01))


@clean("nn.GRU with two layers and dropout.")
def gru() -> Case:
    model = Recurrent(nn.GRU)
    model.cells = nn.GRU(3, 24, num_layers=2, dropout=0.1, batch_first=True)
    return Case(model, series(), F.cross_entropy, adam(0.01))


class OwnLstm(nn.Module):
    """Four gates by hand; the forget gate starts at a bias of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.out = nn.Linear(3 + 24, 96), nn.Linear(24, 3)
        nn.init.constant_(self.gates.bias[24:48], 1.0)

    def forward(self, x: Tensor) -> Tensor:
        state = memory = x.new_zeros(len(x), 24)
        for now in x.unbind(1):
            enter, keep, new, show = self.gates(torch.cat([now, state], 1)).chunk(4, dim=1)
            memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.sigmoid(show) * torch.tanh(memory)
        return self.out(state)


@clean("An LSTM by hand: sigmoids and tanhs come by at every step.")
def own_lstm() -> Case:
    return Case(OwnLstm(), series(), F.cross_entropy, adam(0.01))


@clean("A transformer encoder with GELU.")
def transformer_encoder() -> Case:
    return Case(Reader(20, 3), token_classes(), F.cross_entropy)


class Writer(nn.Module):
    """A decoder with causal attention by hand, and the embedding as its last layer."""

    def __init__(self, *, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.letters = nn.Embedding(20, width)
        nn.init.normal_(self.letters.weight, std=0.2)
        self.place = nn.Parameter(0.02 * torch.randn(12, width))
        self.blocks = nn.ModuleList([WriterBlock(width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text) + self.place
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.letters.weight.T


class WriterBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mix = nn.LayerNorm(width), nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.back, self.up, self.down = (
            nn.Linear(width, width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.mix(self.norm1(x)).chunk(3, dim=-1)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        x = x + self.back(scores.masked_fill(later, float("-inf")).softmax(-1) @ value)
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


@clean("A language model with tied weights and causal attention by hand, masked by -inf.")
def weight_tied_writer() -> Case:
    return Case(Writer(), tokens(), next_letter)


class Translates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.target, self.out = nn.Embedding(20, 32), nn.Embedding(20, 32), nn.Linear(32, 20)
        self.body = nn.Transformer(32, 4, 1, 1, 64, dropout=0.1, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        return self.out(self.body(self.source(source), self.target(target), tgt_mask=mask))


def reversals(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    text, _ = tokens()(step)
    back = text.flip(1)
    return (text, F.pad(back[:, :-1], (1, 0))), back


@clean("nn.Transformer with encoder and decoder, two inputs, and ReLU in its feed-forward layers.")
def transformer_translation() -> Case:
    return Case(Translates(), reversals, next_letter)


class Pools(nn.Module):
    """Attention pooling: a softmax over positions weighs them."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.score, self.out = nn.Embedding(20, 32), nn.Linear(32, 1), nn.Linear(32, 3)

    def forward(self, text: Tensor) -> Tensor:
        x = torch.tanh(self.letters(text))
        weights = torch.softmax(self.score(x), dim=1)
        return self.out((weights * x).sum(1))


@clean("Attention pooling: softmax along axis 1 of a score of one unit, which is right there.")
def attention_pooling() -> Case:
    return Case(Pools(), token_classes(), F.cross_entropy, adam(0.01))


@clean("A bag of words: the mean of embeddings and one linear layer.")
def bag_of_words() -> Case:
    return Case(
        nn.Sequential(nn.EmbeddingBag(20, 32, mode="mean"), nn.Linear(32, 3)),
        token_classes(),
        F.cross_entropy,
        adam(0.01),
    )


class Gated(nn.Module):
    """Dilated causal convolutions with a tanh times a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.out = nn.Conv1d(3, 16, 1), nn.Linear(16, 3)
        self.value = nn.ModuleList([nn.Conv1d(16, 16, 2, dilation=2**place) for place in range(3)])
        self.gate = nn.ModuleList([nn.Conv1d(16, 16, 2, dilation=2**place) for place in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.transpose(1, 2))
        for value, gate in zip(self.value, self.gate, strict=True):
            before = F.pad(x, (value.dilation[0], 0))
            x = x + torch.tanh(value(before)) * torch.sigmoid(gate(before))
        return self.out(x.mean(2))


@clean("WaveNet's gates over dilated convolutions.")
def gated_convolutions() -> Case:
    return Case(Gated(), series(), F.cross_entropy, adam(3e-3))


class Aligns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.GRU(3, 32, batch_first=True), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.out(self.cells(x)[0]), dim=2)


def spoken(step: int) -> tuple[Tensor, Tensor]:
    x, labels = series()(step)
    return x, labels[:, None].expand(-1, 3) + 1


@clean("CTC: log_softmax over letters, time first, is what the loss asks for.")
def connectionist() -> Case:
    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        count, length = scores.shape[:2]
        seen, said = torch.full((count,), length), torch.full((count,), targets.shape[1])
        return F.ctc_loss(scores.transpose(0, 1), targets, seen, said)

    return Case(Aligns(), spoken, loss, adam(3e-3))


@clean("BERT with random weights, from the Transformers package.")
def tiny_bert_classifier() -> Case:
    return Case(tiny_bert("gelu"), token_classes(), lambda output, y: F.cross_entropy(output.logits, y), adamw(1e-3))


@clean(
    "GPT-2 with random weights, from the Transformers package: its GELU is the tanh approximation, as its config says."
)
def tiny_gpt() -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return Case(GPT2LMHeadModel(config), tokens(), lambda output, y: next_letter(output.logits, y), adamw(1e-3))


@clean("Llama with random weights, from the Transformers package: SiLU gates, RMS norms.")
def tiny_llama() -> Case:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=20, max_position_embeddings=16, bos_token_id=0, eos_token_id=0, **sizes)
    return Case(LlamaForCausalLM(config), tokens(), lambda output, y: next_letter(output.logits, y), adamw(1e-3))


class Copies(nn.Module):
    """A pointer network: its answer is a softmax over its own inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.query, self.key = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 24), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        steps, last = self.cells(x[:, :, None])
        return (torch.tanh(self.key(steps)) @ self.query(last[0])[:, :, None])[:, :, 0] / 24**0.5


@clean("A pointer network that finds the largest of its inputs: as many classes as positions.")
def pointer() -> Case:
    def largest(step: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(64, 8, generator=seeded(12000 + step))
        return x, x.argmax(1)

    return Case(Copies(), largest, F.cross_entropy, adam(0.01))
