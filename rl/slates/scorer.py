"""Pairing models as files, served by ONNX Runtime: light to import, strict about what they load.

The file's metadata name the loop, the encoder and the descriptors that the model reads, so one of another
encoder or of other descriptors is refused before it scores anybody.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

from everloop.contracts.datasets import Float, Float32
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders.context import layout
from rl.onnx_file import read_verified, session_of
from rl.runtime import ENCODER_KEY, LOOP_KEY, VERSION_KEY

DESCRIPTORS_KEY = "everloop.descriptors"
SCORER_INPUTS = ("context", "descriptors")
SCORER_OUTPUTS = ("scores",)


class OnnxScorer:
    """A pairing model behind the ``CandidateScorer`` port. Thread-safe; one core per call.

    Attributes:
        loop: name of the loop whose people it scores.
        descriptors: names of the Z numbers that it reads of a candidate, in their order.
        width: d, dimensions of a state.
    """

    def __init__(self, session: ort.InferenceSession, name: str) -> None:
        meta = session.get_modelmeta().custom_metadata_map
        try:
            self._version = str(meta[VERSION_KEY])
            self._encoder = str(meta[ENCODER_KEY])
            self.loop = str(meta[LOOP_KEY])
            self.descriptors: tuple[str, ...] = tuple(json.loads(meta[DESCRIPTORS_KEY]))
            shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
            self.width = int(shapes["context"][1])
        except (KeyError, ValueError, TypeError) as problem:
            raise ShouldRestoreArtefact(
                f"{name} is no exported pairing model (it lacks {problem}).", "Export it again."
            ) from problem
        self._session = session

    @property
    def version(self) -> str:
        """``<loop>-pairing-<first 16 digits of the weights' SHA-256>``."""
        return self._version

    @property
    def encoder(self) -> str:
        """Version of the encoder whose states it reads."""
        return self._encoder

    def scores(self, context: Float32, descriptors: Float) -> Float:
        """(K,) scores of (K, Z) descriptors for one (d,) state.

        Raises:
            ShouldFixArgument: a wrong shape.
            ShouldRestoreArtefact: the model answered NaN or infinity.
        """
        if context.shape != (self.width,):
            raise ShouldFixArgument(
                f"A state of shape {context.shape} does not fit pairing model {self.version}, which "
                f"reads ({self.width},) from encoder {self.encoder}."
            )
        if descriptors.ndim != 2 or descriptors.shape[1] != len(self.descriptors):
            raise ShouldFixArgument(
                f"Descriptors of shape {descriptors.shape} do not fit pairing model {self.version}, "
                f"which reads (K, {len(self.descriptors)})."
            )
        if not len(descriptors):
            return np.zeros(0)
        (found,) = self._session.run(
            list(SCORER_OUTPUTS),
            {
                "context": np.ascontiguousarray(context[None], dtype=np.float32),
                "descriptors": np.ascontiguousarray(descriptors, dtype=np.float32),
            },
        )
        scores: Float = found.astype(np.float64)
        if not np.isfinite(scores).all():
            raise ShouldRestoreArtefact(
                f"Pairing model {self.version} answered NaN or infinity.",
                "Deploy another pairing model.",
            )
        return scores


def load_scorer(path: Path, sha256: str, spec: LoopSpec) -> OnnxScorer:
    """Load an exported pairing model for a loop; nothing is parsed before its checksum is verified.

    Raises:
        ShouldRestoreArtefact: the file is missing, differs from ``sha256``, or is no pairing model.
        ShouldFixArgument: it was made for another loop, encoder or descriptors.
    """
    data = read_verified(Path(path), sha256, "Fetch the pairing model again.")
    session = session_of(data, str(path), "Export the pairing model again.")
    scorer = OnnxScorer(session, str(path))
    encoding = layout(spec)
    declared = () if spec.candidates is None else spec.candidates.descriptors
    wanted = {
        "loop": (scorer.loop, spec.name),
        "encoder": (scorer.encoder, encoding.encoder),
        "number of state dimensions": (scorer.width, encoding.width),
        "descriptors": (scorer.descriptors, declared),
    }
    for what, (made, asked) in wanted.items():
        if made != asked:
            raise ShouldFixArgument(
                f"Pairing model {scorer.version} was made for {what} {made!s:.200}, but the "
                f"specification has {asked!s:.200}.",
                "Make one for this specification, or serve it under the one it belongs to.",
            )
    return scorer
