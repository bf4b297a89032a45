"""What all that reads people's text agrees on: what can be seen, what is the same, what is a word, what is an emoji.

Unicode's rules come from libraries that keep up with it: ICU (`icu4py`) for words, `regex` for the properties of
characters (Python's own tables are years behind), `emoji` for the list of emoji.
"""

from relay_bot.text.emojis import emoji_key, is_emoji
from relay_bot.text.folding import fold_text, fold_to_match, spaces_folded
from relay_bot.text.lookalikes import unmixed
from relay_bot.text.visible import clean_text, disturbs, is_blank, one_line
from relay_bot.text.words import Word, graphemes, list_words

__all__ = [
    "Word",
    "clean_text",
    "disturbs",
    "emoji_key",
    "fold_text",
    "fold_to_match",
    "graphemes",
    "is_blank",
    "is_emoji",
    "list_words",
    "one_line",
    "spaces_folded",
    "unmixed",
]
