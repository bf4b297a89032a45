"""The control endpoint: how backends steer halls, over HTTP on this machine."""
