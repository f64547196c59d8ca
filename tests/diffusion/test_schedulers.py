"""Which samplers fit which models, before any weight is read."""

from __future__ import annotations

import diffusers
import pytest

from sv2r.diffusion.schedulers import make_scheduler, require_compatible
from sv2r.errors import ConfigError


@pytest.mark.parametrize("own", ["DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("name", ["lcm", "TCDScheduler", "euler", "unipc", "dpm++-2m-karras"])
def test_samplers_of_noise_predicting_models_fit_each_other(name, own):
    require_compatible(name, own)


@pytest.mark.parametrize("own", ["DDIMScheduler", "EulerDiscreteScheduler"])
def test_pndm_runs_as_many_steps_as_others(own):
    """Its Runge-Kutta beginning would make twelve of three."""
    current = getattr(diffusers, own)()
    made = make_scheduler("pndm", current)
    made.set_timesteps(3)
    assert len(made.timesteps) == 4  # the second of its steps is run twice


@pytest.mark.parametrize("name", ["lcm", "ddim", "euler"])
def test_none_of_them_fits_a_flow_model(name):
    with pytest.raises(ConfigError, match=f"scheduler '{name}' does not fit a model for FlowMatch"):
        require_compatible(name, "FlowMatchEulerDiscreteScheduler")
