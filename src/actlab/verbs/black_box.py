"""Load the function that a text names: Python, an ONNX file's node, or a function of a shared library."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.user_code import imported, imported_module, their_code

_LIBRARY = re.compile(r".*\.(so(\.\d+)*|dll|dylib)")
_FORM = "Write package.module:callable, file.py:callable, file.onnx:node, or library.so:function."

BlackBox = Callable[..., Any]


def black_box(text: str) -> BlackBox:
    """Return the callable of tensors that `text` names.

    Args:
        text: `package.module:callable`, `file.py:callable`, `file.onnx:node`, `library.so:function` for
            `float function(float)`, or `library.so:function:double`. A class is called without arguments first.

    Raises:
        BadInput: nothing has this name, or loading it raises.
        MissingExtra: an ONNX file needs a package that is not installed.
    """
    place, colon, name = text.partition(":")
    if not colon or not name:
        raise BadInput(f"the subject must name a file or a module and a callable; got '{text}'. {_FORM}")
    if place.endswith(".onnx"):
        return _node(Path(place), name)
    if _LIBRARY.fullmatch(place):
        return _library_function(Path(place), name)
    module = imported(Path(place), error=BadInput) if place.endswith(".py") else imported_module(place, error=BadInput)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        with their_code(f"{name}()", error=BadInput):
            found = found()
    if not callable(found):
        raise BadInput(f"'{place}' has no callable '{name}'. {_FORM}")
    called: BlackBox = found
    return called


def _library_function(file: Path, name: str) -> BlackBox:
    name, _, kind = name.partition(":")
    kinds = {"": ctypes.c_float, "float": ctypes.c_float, "double": ctypes.c_double}
    if kind not in kinds:
        raise BadInput(f"the type of {name} must be float or double; got '{kind}'.")
    if not file.is_file():
        raise BadInput(f"there is no file '{file}'. {_FORM}")
    try:
        function = getattr(ctypes.CDLL(str(file.resolve())), name)
    except (OSError, AttributeError) as error:
        raise BadInput(f"'{file.name}' must be a shared library with a function '{name}'; got: {error}.") from error
    function.argtypes, function.restype = [kinds[kind]], kinds[kind]
    dtype = torch.float64 if kind == "double" else torch.float32

    def called(x: Tensor) -> Tensor:
        values = [function(value) for value in x.to(dtype).flatten().tolist()]
        return torch.tensor(values, dtype=dtype).reshape(x.shape)

    return called


def _node(file: Path, name: str) -> BlackBox:
    onnx, runtime = need("onnx", extra="onnx"), need("onnxruntime", extra="onnx")
    if not file.is_file():
        raise BadInput(f"there is no file '{file}'. {_FORM}")
    with their_code(f"'{file.name}', when read as ONNX,", error=BadInput):
        model = onnx.load(str(file))
    found = [node for node in model.graph.node if name in (node.name, *node.output)]
    if len(found) != 1:
        names = ", ".join(node.name or node.output[0] for node in model.graph.node[:8])
        raise BadInput(f"'{file.name}' must have one node '{name}'; got {len(found)}. It has {names}.")
    (node,) = found
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = [each for each in dict.fromkeys(node.input) if each and each not in held]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "one_node",
        [info(each, onnx.TensorProto.FLOAT, None) for each in inputs],
        [info(node.output[0], onnx.TensorProto.FLOAT, None)],
        [held[each] for each in node.input if each in held],
    )
    single = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    with their_code(f"node '{name}' of '{file.name}'", error=BadInput):
        session = runtime.InferenceSession(single.SerializeToString(), providers=["CPUExecutionProvider"])

    def called(*tensors: Tensor) -> Tensor:
        feed = {each: tensor.float().numpy() for each, tensor in zip(inputs, tensors, strict=True)}
        return torch.from_numpy(np.asarray(session.run(None, feed)[0]))

    return called
