"""The state of native/relay-link that this bot was made with.

`python -m scripts.devstack.native_link --stamp` writes it, and a test holds it to the sources.
"""

from typing import Final

SOURCE: Final = "acb156d830d88f3a"
