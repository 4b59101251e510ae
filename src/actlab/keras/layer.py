"""An activation as a Keras layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from actlab.catalog.index import get
from actlab.errors import ActlabError, BadInput
from actlab.extras_import import need
from actlab.formula.activation import Activation as Formula
from actlab.formula.expr import Input, ParamRef
from actlab.lower.to_keras import program

if TYPE_CHECKING:
    import keras
    from keras.layers import Layer
else:
    try:
        keras = need("keras", extra="keras")
    except ModuleNotFoundError as error:
        if error.name not in {"tensorflow", "jax", "torch", "openvino"}:
            raise
        raise BadInput(
            f"KERAS_BACKEND: must name a backend that is installed; got {error.name}. Set KERAS_BACKEND=torch before"
            " Keras is imported."
        ) from error
    Layer = keras.layers.Layer


@final
@keras.saving.register_keras_serializable(package="actlab")
class Activation(Layer):  # type: ignore[misc]  # Keras comes without types
    """An activation of the catalog or a typed formula, as a Keras 3 layer on any backend.

    On PyTorch it runs actlab's kernels, with their exact derivative; elsewhere `keras.ops`. Its learned parameters are
    weights of the layer. A random activation applies the mean of its random parameter.

    Args:
        activation: a name, or a formula as for `actlab.get`.
        trainable: whether its learned parameters are trained.
        options: as for every Keras layer: name, dtype.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: a gated activation, one along an axis, or one whose name or formula would not bring it back.
        MissingExtra: Keras is not installed.

    Example:
        ``keras.Sequential([keras.layers.Dense(64), actlab.keras.Activation("swish"), keras.layers.Dense(10)])``
    """

    def __init__(self, activation: str | Formula, *, trainable: bool = True, **options: Any) -> None:
        act = _pointwise(activation)
        super().__init__(trainable=trainable, **options)
        self.activation = act
        self._text = activation if isinstance(activation, str) else _text_of(act)
        self._learned: dict[str, Any] = {}
        self._function: Callable[..., Any] | None = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create a scalar weight for each learned parameter."""
        self._learned = {
            param.name: self.add_weight(
                name=param.name, shape=(), initializer=keras.initializers.Constant(param.value), trainable=True
            )
            for param in self.activation.params
            if param.trainable
        }
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Apply the activation to a tensor of any shape."""
        values = {param.name: param.value for param in self.activation.params} | {
            name: keras.ops.convert_to_tensor(weight) for name, weight in self._learned.items()
        }
        if self._function is None:
            self._function = _operator(self.activation)
        return self._function(inputs, values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return a symbolic output like the input."""
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the layer again."""
        return {**super().get_config(), "activation": self._text}


def _operator(act: Formula) -> Callable[[Any, dict[str, Any]], Any]:
    """Return the function of an input and the values of the parameters, for the backend in use."""
    if keras.backend.backend() == "torch":
        from actlab.nn.functions import functional

        apply = functional(act)
        return lambda inputs, values: apply(inputs, **values)
    names = [param.name for param in act.params]
    written = program([act.expression], [Input(act.inputs[0]), *map(ParamRef, names)]).function
    return lambda inputs, values: written(inputs, *(values[name] for name in names))


def _pointwise(activation: str | Formula) -> Formula:
    act = get(activation)
    if not isinstance(act, Formula) or len(act.inputs) != 1:
        kind = "is gated" if isinstance(act, Formula) else "acts along an axis"
        raise BadInput(
            f"activation: the layer needs an activation of one input; {act.name} {kind}. Choose another one."
        )
    return act


def _text_of(act: Formula) -> str:
    """Return the text that brings the activation back when a saved model is loaded."""
    try:
        found = get(act.label)
    except ActlabError:
        found = None
    if found is None or found.key != act.key:
        raise BadInput(
            f"activation: {act.name} is not in the catalog, so a saved model could not load it. Type its formula."
        )
    return act.label
