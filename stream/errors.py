"""One tree of errors, so that a caller can catch what it can act on.

    FramewardenError
    |-- ConfigError (ValueError)        a configuration or policy that cannot be used
    |-- ModelError                      a model that cannot be used
    |   |-- ModelNotPulled              its file is not in the cache
    |   |-- ModelHashMismatch           its bytes are not the pinned ones
    |   `-- ModelGraphMismatch          its graph does not fit its manifest
    |-- ProviderError                   no usable ONNX Runtime provider for what was asked
    |-- SourceError                     something to be moderated that cannot be read
    |-- WorkerError                     a decode worker that died, hung or broke the protocol
    `-- OutputError (OSError)           results that cannot be written

A message says what was seen, what was expected and what to do.
"""


class FramewardenError(Exception):
    """Root of every error that Framewarden raises on purpose."""


class ConfigError(FramewardenError, ValueError):
    """A configuration or policy that cannot be used as it stands."""


class ModelError(FramewardenError):
    """A model that cannot be used."""


class ModelNotPulled(ModelError):
    """The model's file is not in the cache."""


class ModelHashMismatch(ModelError):
    """The model's bytes are not those that its manifest pins."""


class ModelGraphMismatch(ModelError):
    """The model's graph does not fit its manifest."""


class ProviderError(FramewardenError):
    """ONNX Runtime has no usable provider for what was asked."""


class SourceError(FramewardenError):
    """Something to be moderated that cannot be read.

    Attributes:
        code: A short, stable word for metrics and events, such as `no_video`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkerError(FramewardenError):
    """A decode worker that died, hung or broke the protocol.

    Attributes:
        code: A short, stable word for metrics and events, such as `worker_hung`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OutputError(FramewardenError, OSError):
    """Results that cannot be written."""
