"""The findings about how a model is built, in words."""

from __future__ import annotations

from actlab.rules.texts_output import Row

CONSTRUCTION: tuple[Row, ...] = (
    (
        "AL301",
        "linear-layers-collapse",
        "warning",
        "two linear layers follow each other with no non-linearity between",
        "W₂(W₁x + b₁) + b₂ is one linear layer with weight W₂W₁: the second layer adds parameters and time, and"
        " no function"
        " that one layer could not give. A bottleneck that is narrower than both its sides (a low-rank factorisation,"
        " LoRA), attention's projections and depthwise convolutions are meant so and are not told. Batch normalisation"
        " between them is linear too once the model is in evaluation mode. Of layers of single numbers, however"
        " they are spelled (linear, addmm, x @ W + b), the one layer is computed and compared with what both gave on"
        " the batch.",
        "composition of affine maps",
        ("add-activation",),
    ),
    (
        "AL302",
        "softmax-as-hidden-activation",
        "warning",
        "softmax is used between layers, as if it were an activation of single numbers",
        "Softmax couples all units of the layer and makes them sum to 1: with n units each is about 1/n, so the signal"
        " shrinks with width, and one large unit silences the rest. As attention or as a gate it multiplies something;"
        " between two linear layers it is mostly a mistake.",
        "Humbatova et al. 2020, arXiv:1910.11015",
        ("use-hidden-activation",),
    ),
    (
        "AL303",
        "initialisation-does-not-fit",
        "warning",
        "the weights' size at the start does not fit the activation, over many layers",
        "Through layer after layer the second moment of the signal is multiplied by fan_in·E w²·E f(√q z)²/q."
        " Where that"
        " is far from 1 the signal, and with it the gradient, grows or dies with depth. Told only where the"
        " product over"
        " all layers is more than a factor of 100 and nothing normalises between them.",
        "He et al. 2015, arXiv:1502.01852; Schoenholz et al. 2017, arXiv:1611.01232",
        ("init-with-gain", "add-normalisation"),
    ),
    (
        "AL304",
        "selu-without-lecun",
        "warning",
        "selu without the initialisation that it relies on",
        "SELU keeps mean 0 and variance 1 through layers only if weights have mean 0 and variance 1/fan_in"
        " (LeCun). With"
        " other variances the fixed point is left and what selu promises does not hold.",
        "Klambauer et al. 2017, arXiv:1706.02515",
        ("lecun-init",),
    ),
    (
        "AL305",
        "selu-with-dropout",
        "warning",
        "selu with plain dropout",
        "Dropout sets units to 0, which is not selu's low saturation value: it moves mean and variance away"
        " from the fixed"
        " point. Alpha dropout sets them to −λα and rescales.",
        "Klambauer et al. 2017, arXiv:1706.02515, section 'New Dropout Technique'",
        ("alpha-dropout",),
    ),
    (
        "AL306",
        "learnable-activation-shared",
        "warning",
        "one learnable activation serves several places",
        "A module with a parameter that is called in several places learns one value for all of them: each"
        " place's gradient"
        " pulls it its own way. Mostly the module was made once for convenience, as one does with nn.ReLU.",
        "He et al. 2015, arXiv:1502.01852 (one slope a layer, or a channel)",
        ("one-each",),
    ),
    (
        "AL307",
        "decay-on-activation-parameters",
        "warning",
        "weight decay pulls the activations' parameters to 0",
        "Weight decay draws a PReLU's slope to 0, that is to a ReLU, and a swish's beta to a straight line: a choice of"
        " function, not a regularisation. The papers train them without.",
        "He et al. 2015, arXiv:1502.01852, section 2.1",
        ("no-decay",),
    ),
    (
        "AL308",
        "random-in-eval",
        "warning",
        "a random activation is active in evaluation mode",
        "Randomised activations (rrelu) and dropout draw afresh at every call while training and are fixed in"
        " evaluation."
        " Called as functions with training=True they stay random: the same input gives other answers every time.",
        "Xu et al. 2015, arXiv:1505.00853",
        ("call-eval",),
    ),
    (
        "AL309",
        "gelu-variant-differs",
        "warning",
        "another variant of gelu than the model's configuration says",
        "gelu and its tanh approximation differ by up to 5e-4, quick_gelu by 2e-2. A checkpoint that was"
        " trained with one"
        " and run with another is a slightly different model at every layer.",
        "Hendrycks, Gimpel 2016, arXiv:1606.08415",
        ("match-config",),
    ),
    (
        "AL310",
        "gradient-zero-in-dtype",
        "warning",
        "in this dtype the activation's gradient is exactly 0 over much of its input",
        "PyTorch computes tanh' as 1 − y² and sigmoid' as y(1 − y): in bfloat16 they are exactly 0 from 3.47"
        " and 6.25 on,"
        " though the true slope is not. Units there stop learning for ever.",
        "measured: `actlab certify tanh --dtype bfloat16 --against torch`",
        ("wider-dtype", "add-normalisation"),
    ),
)
