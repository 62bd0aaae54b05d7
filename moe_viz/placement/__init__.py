"""Where and when a model is computed: resident, spread over devices, offloaded, streamed."""

from .loading import load as load
