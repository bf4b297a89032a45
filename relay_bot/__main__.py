"""`python -m relay_bot`: the same as the command `relay-bot`."""

from relay_bot.cli import main

main()
