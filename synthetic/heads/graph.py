"""ONNX graphs of a user model's heads, in double precision inside and single precision outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from everloop.contracts.datasets import Float32

OPSET = 20
_IR = 10
INT64, FLOAT, DOUBLE = TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE


class Graph:
    """Nodes and constants, added one after another; every method returns the name of its result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One node with one result."""
        result = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [result], **attributes))
        return result

    def constant(self, value: NDArray[Any] | Sequence[int]) -> str:
        """A constant tensor; whole numbers stay such, others are doubles."""
        array = np.asarray(value)
        kind = np.int64 if array.dtype.kind in "iub" else np.float64
        name = f"c{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(array.astype(kind)), name)
        )
        return name

    def double(self, name: str) -> str:
        return self.add("Cast", name, to=DOUBLE)

    def reshaped(self, name: str, *shape: int) -> str:
        return self.add("Reshape", name, self.constant(np.array(shape)))

    def part(self, name: str, start: int, stop: int) -> str:
        """Positions start .. stop - 1 of the last axis."""
        ends = [self.constant(np.array([end])) for end in (start, stop, -1)]
        return self.add("Slice", name, *ends)

    def model(
        self,
        inputs: Mapping[str, tuple[int, Sequence[int | str]]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        metadata: Mapping[str, str],
        defaults: Mapping[str, Float32] | None = None,
    ) -> bytes:
        """The serialised model.

        Args:
            inputs: name -> (element type, shape).
            outputs: name -> (result, shape); single precision.
            metadata: what the file says of itself.
            defaults: input -> value where the caller gives none.
        """
        for name, (result, _) in outputs.items():
            self._nodes.append(helper.make_node("Cast", [result], [name], to=FLOAT))
        given = [numpy_helper.from_array(value, n) for n, value in (defaults or {}).items()]
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(n, FLOAT, shape) for n, (_, shape) in outputs.items()],
            [*self._constants, *given],
        )
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR
        )
        helper.set_model_props(made, dict(metadata))
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString(deterministic=True))
