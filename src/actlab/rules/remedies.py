"""Remedies: what to do about a finding, one sentence each, by an id that rules name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "remove-output-activation": "Remove the activation from the model's output; the loss applies it itself.",
        "use-logits-loss": "Use the loss that takes logits: binary_cross_entropy_with_logits.",
        "add-sigmoid": "Apply a sigmoid before the loss, or use binary_cross_entropy_with_logits on the logits.",
        "use-cross-entropy": "Use cross_entropy on the logits.",
        "add-log-softmax": "Apply log_softmax over the class dimension before nll_loss, or use cross_entropy.",
        "softmax-over-classes": "Apply softmax over the class dimension (dim=1, or dim=-1 if classes come last).",
        "softmax-over-items": "Apply softmax over the axis of the weighted items, over which the model then sums.",
        "batch-first": "Pass batch_first=True, or transpose the input so that the sequence comes first.",
        "use-sigmoid": "With a single output use a sigmoid (and binary_cross_entropy_with_logits), not a softmax.",
        "linear-output": "Leave the output linear.",
        "scale-inputs": "Scale the inputs: divide pixels by 255, or subtract the mean and divide by the deviation.",
        "scale-targets": "Scale the targets into the range of the output activation.",
        "targets-in-range": "Scale the targets to what the loss takes: 0 ... 1 for binary cross-entropy, -1 and 1 for a"
        " margin loss, counts from 0 for a Poisson loss, probabilities for cross_entropy and kl_div.",
        "positive-output": "Make the output positive: softplus(x) + 1e-6 or exp(x); or use the form of the loss"
        " that takes its logarithm.",
        "same-shape": "Give both the same shape: squeeze the output, or unsqueeze the targets.",
        "classes-second": "Move the classes to axis 1, as in output.transpose(1, 2), or flatten the other axes.",
        "use-bce-with-logits": "For multi-label targets use one logit per class with BCEWithLogitsLoss.",
        "add-activation": "Add an activation between the two linear layers, or merge them into one.",
        "call-activation": "Call the activation that the module has, and use its result.",
        "use-hidden-activation": "Use an element-wise activation here, such as gelu or relu.",
        "name-the-argument": "Check the activation's arguments, and pass them by name: nn.LeakyReLU(inplace=True).",
        "init-with-gain": "Initialize the weights with the activation's gain: actlab.gain(NAME).",
        "scale-scores": "Divide the scores by the square root of the width of queries and keys before the softmax.",
        "add-normalisation": "Add normalization (LayerNorm, BatchNorm) before the activation.",
        "use-non-saturating": "Use an activation that does not saturate here: gelu, silu or relu.",
        "use-leaky": "Use an activation with a non-zero negative slope: leaky_relu, elu, gelu or silu.",
        "lower-learning-rate": "Lower the learning rate.",
        "raise-learning-rate": "Raise the learning rate, or lower the weight decay.",
        "clip-gradients": "Clip the gradient norm.",
        "residual": "Add residual connections around the layers.",
        "lecun-init": "Initialize the weights with variance 1/fan_in: init.kaiming_normal_(w, nonlinearity='linear').",
        "alpha-dropout": "Use nn.AlphaDropout, which preserves the mean and variance that selu relies on.",
        "one-each": "Create a separate module for each place.",
        "no-decay": "Put the activations' parameters into a group without weight decay:"
        " actlab.trainable_activation_parameters(model).",
        "call-eval": "Call model.eval() before inference, and pass `training=self.training` to the function.",
        "match-config": "Use the activation that the checkpoint was trained with.",
        "wider-dtype": "Compute this activation in float32, or use actlab's, whose gradient does not underflow there.",
        "check-data": "Check the data and the loss for infinities, NaN and divisions by 0 at this step.",
        "guard-branch": "Clamp the argument inside the branch: torch.where computes and differentiates both branches.",
        "finite-mask": "Mask with a large negative number instead of -inf, or leave out rows without an entry.",
        "use-log-softmax": "Use log_softmax (or logsigmoid) instead of the logarithm of a probability.",
        "keep-away-from-edge": "Keep the argument inside the function's domain: add a small number, or clamp it.",
        "skip-zero-times": "Leave the product out where a probability is 0: torch.xlogy, or masked_fill the log.",
        "stable-function": "Use PyTorch's own function, which does not overflow: F.silu, F.softplus, logsumexp.",
        "clone-first": "Do not write in place: use a call that returns a new tensor: x - 1 instead of x.sub_(1).",
        "remove-detach": "Remove the call that cuts the gradient, or freeze the parameters by requires_grad_(False).",
        "enable-grad": "Run these layers outside the torch.no_grad() block, or freeze them by requires_grad_(False).",
        "straight-through": "Use a straight-through estimator, x + (f(x) - x).detach(), or a smooth function.",
        "smooth-activation": "Use an activation with a second derivative, such as tanh, softplus or silu.",
        "fix-backward": "Return the derivative of forward from backward; torch.autograd.gradcheck compares them.",
        "saved-input": "Compute backward from inputs kept by ctx.save_for_backward, in differentiable operations;"
        " torch.autograd.gradgradcheck compares them.",
        "detach-state": "Detach what is kept from one step to the next, such as a hidden state.",
        "check-loss": "Check the loss, the data and the learning rate: no activation is at fault here.",
        "check-inputs": "Check the inputs and the weights before these units: they may always be zero.",
        "remove-units": "Remove the units: a narrower layer computes the same function.",
    }
)
