"""LiveKit's server API and tokens, through `livekit-api`."""
