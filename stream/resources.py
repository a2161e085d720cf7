"""Where the files lie that are shipped with the code and are not code.

An installed wheel carries the model manifests and cards inside the package, a source checkout has them in
the `models/` folder beside it. Nobody else needs to know which of the two is running.
"""

from pathlib import Path

from stream.errors import ModelError

_PACKAGE = Path(__file__).resolve().parent


def models_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder that holds one folder for each model, with its `model.toml` and `README.md`.

    It is a part of the installation: read it, and write weights elsewhere.

    Args:
        package: The folder of the `stream` package; only tests pass another.

    Raises:
        ModelError: The installation carries no models folder.
    """
    candidates = (package / "_models", package.parent / "models")
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked_in = " and ".join(str(folder) for folder in candidates)
    raise ModelError(
        f"no model manifests: looked in {looked_in}; install framewarden again, or work in a whole checkout"
    )
