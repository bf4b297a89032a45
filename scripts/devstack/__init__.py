"""The development stack: a real livekit-server, the bot, and a crowd to try it with."""
