"""Small plugins for the tests of the hall: each shows one thing that a hall must do for any plugin."""
