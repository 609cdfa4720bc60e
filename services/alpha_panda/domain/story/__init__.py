"""The story of one order, told from its events. Pure: `Evidence` in, `Story` out; who gathers and prints is elsewhere."""
