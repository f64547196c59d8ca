"""What a model_index.json may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sv2r.diffusion.configs import components_of
from sv2r.errors import ConfigError


@pytest.mark.parametrize(
    "library", ["this", "subprocess", "os", "../x", "diffusers.pipelines", "", "_pytest", "a/b"]
)
def test_a_library_of_somebody_elses_is_refused_before_it_is_imported(library: str) -> None:
    with pytest.raises(ConfigError, match="parts are of diffusers or transformers alone"):
        components_of({"unet": [library, "Popen"]}, Path("model_index.json"))


@pytest.mark.parametrize("library", ["diffusers", "transformers", "stable_diffusion", "kolors"])
def test_libraries_of_models_and_modules_of_pipelines_are_taken(library: str) -> None:
    index = {"_class_name": "X", "part": [library, "Y"], "none": [None, None]}
    assert components_of(index, Path("model_index.json")) == {"part": (library, "Y")}
