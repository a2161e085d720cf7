"""Models of a few Keras layers, and JavaScript modules around them as npm packages carry them."""

import json
import re
from typing import Any

SIZE_PX = (4, 2)
"""Width and height of the models' input."""


def layer(name: str, kind: str, inputs: list[str], **config: Any) -> dict[str, Any]:
    """Returns a layer as Keras writes it down."""
    nodes = [[[each, 0, 0, {}] for each in inputs]] if inputs else []
    return {"name": name, "class_name": kind, "config": {"name": name, **config}, "inbound_nodes": nodes}


def topology(
    *layers: dict[str, Any], size_px: tuple[int, int] = SIZE_PX, channels: int = 3
) -> dict[str, Any]:
    """Returns a functional model of an input named `first` and `layers`, the last of which is its output."""
    width, height = size_px
    first = layer("first", "InputLayer", [], batch_input_shape=[None, height, width, channels])
    network = {
        "layers": [first, *layers],
        "input_layers": [["first", 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    return {"model_config": {"class_name": "Model", "config": network}}


def dense_topology(units: int) -> dict[str, Any]:
    """Returns the mean of each channel and a dense layer named `last` behind it."""
    return topology(
        layer("pool", "GlobalAveragePooling2D", ["first"], data_format="channels_last"),
        layer("last", "Dense", ["pool"], units=units, use_bias=True, activation="linear"),
    )


def js_literal(value: Any) -> str:
    """Returns a value as a JavaScript minifier writes it: bare names, `!0` for true, no zero before `.`."""
    text = json.dumps(value, separators=(",", ":"))
    text = re.sub(r'"([A-Za-z_]\w*)":', r"\1:", text)
    text = re.sub(r"\btrue\b", "!0", text)
    text = re.sub(r"\bfalse\b", "!1", text)
    return re.sub(r"(?<![\d.])0\.", ".", text)


def js_module(literal: str) -> bytes:
    """Returns a module as browserify bundles it, which exports the value that `literal` writes."""
    head = "!function(e){module.exports=e()}(function(){return function e(a,n,i){}({1:[function(e,a,n){"
    return f"{head}a.exports={literal}}},{{}}]}},{{}},[1])(1)}});".encode()
