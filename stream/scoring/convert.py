"""From a model's original files to one ONNX graph, for the formats that models come in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stream.scoring.manifest import Format
from stream.scoring.tfjs import onnx_from_tfjs


def to_onnx(files: Sequence[bytes], file_format: Format) -> bytes:
    """Returns the ONNX model, serialised, that computes what the original files do.

    Raises:
        ModelGraphMismatch: The files are not of that format, or hold what it cannot be converted from.
    """
    return _CONVERTERS[file_format](files)


def _as_it_is(files: Sequence[bytes]) -> bytes:
    (model,) = files
    return model


_CONVERTERS: Final[Mapping[Format, Callable[[Sequence[bytes]], bytes]]] = {
    "onnx": _as_it_is,
    "tfjs-layers": onnx_from_tfjs,
}
