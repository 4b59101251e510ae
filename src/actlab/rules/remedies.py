"""What answers a finding: each remedy in a sentence, by an id that findings name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "remove-output-activation": "Take the activation off the model's output; the loss applies it itself.",
        "use-logits-loss": "Use the loss that takes logits: binary_cross_entropy_with_logits.",
        "add-sigmoid": "Put a sigmoid before the loss, or use binary_cross_entropy_with_logits on the bare logits.",
        "use-cross-entropy": "Use cross_entropy on the bare logits.",
        "add-log-softmax": "Put log_softmax along the classes before nll_loss, or use cross_entropy on logits.",
        "softmax-over-classes": "Give softmax the axis of the classes (dim=1, or dim=-1 where they come last).",
        "use-sigmoid": "With one output use a sigmoid (and binary_cross_entropy_with_logits), not a softmax.",
        "linear-output": "Leave the output linear, or scale the targets into the activation's range.",
        "scale-targets": "Scale the targets into the range of the output activation, or the output to theirs.",
        "use-bce-with-logits": "Several classes may hold: one logit a class, binary_cross_entropy_with_logits.",
        "add-activation": "Put an activation between the two linear layers, or make them one.",
        "use-hidden-activation": "Use an activation of single numbers here, such as gelu or relu.",
        "init-with-gain": "Draw the weights with the activation's own gain: actlab.gain(NAME).",
        "add-normalisation": "Put a normalisation (LayerNorm, BatchNorm) before the activation.",
        "use-non-saturating": "Use an activation that does not saturate here: gelu, silu or relu.",
        "use-leaky": "Use an activation whose slope never ends: leaky_relu, elu, gelu or silu.",
        "lower-learning-rate": "Lower the learning rate.",
        "raise-learning-rate": "Raise the learning rate, or lower the weight decay.",
        "clip-gradients": "Clip the gradient's norm, and lower the learning rate.",
        "residual": "Put residual connections around the layers.",
        "lecun-init": "Draw the weights with variance 1/fan_in: init.kaiming_normal_(w, nonlinearity='linear').",
        "alpha-dropout": "Use nn.AlphaDropout, which keeps the mean and variance that selu relies on.",
        "one-each": "Give every place a module of its own.",
        "no-decay": "Put the activations' parameters into a group without weight decay:"
        " actlab.trainable_activation_parameters(model).",
        "call-eval": "Call model.eval() before inference, and pass `training=self.training` to the function.",
        "match-config": "Use the activation that the checkpoint was trained with.",
        "wider-dtype": "Compute this activation in float32, or use actlab's, whose gradient keeps its tails.",
        "check-data": "Look at the data and the loss for infinities, NaN and divisions by 0 at this step.",
        "check-loss": "Look at the loss, the data and the learning rate: no activation is at fault here.",
        "remove-units": "The units carry nothing: a narrower layer does the same.",
    }
)
