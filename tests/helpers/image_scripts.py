"""Scripts of the images, loaded from their files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

IMAGES = Path(__file__).resolve().parents[2] / "containers" / "images"


def load_script(image: str, name: str) -> ModuleType:
    """Return a script as a module. The folder of an image is not a package."""
    path = IMAGES / image / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"image_script_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
