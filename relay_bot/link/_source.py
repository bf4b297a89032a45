"""The state of native/relay-link that this bot was made with.

`python -m scripts.devstack.native_link --stamp` writes it, and a test holds it to the sources.
"""

from typing import Final

SOURCE: Final = "47c51829ffc2c0a1"
