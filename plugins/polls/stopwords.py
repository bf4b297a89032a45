"""Words that say nothing in a word cloud, by language. Short lists: a word that could be an answer is in none."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["none", "de", "en", "es", "fr", "it", "nl", "pt"]

_LISTS: Final[dict[str, str]] = {
    "en": "a about all also am an and any are as at be because been but by can could did do does don't for from had has"
    " have he her his how i i'd i'll i'm i've if in into is isn't it it's its just me more my not of on or our out she"
    " so some than that that's the their them then there they this to too up us very was we we're were what when where"
    " which who why will with would you you're your",
    "de": "aber als am an auch auf aus bei bin da das dass dem den der des die doch du ein eine einem einen einer er es"
    " für hat ich ihr im in ist mich mir mit nicht noch nur oder sehr sich sie sind so um und uns von vor war was wenn"
    " wie wir zu zum zur",
    "es": "al como con de del el ella en es esta este la las lo los me mi muy más o para pero por que qué se si son su"
    " sus te un una y ya yo",
    "fr": "à au aux avec c'est ce ces cette d'un d'une dans de des du elle en est et il ils j'ai je la le les leur lui"
    " ma mais me mes mon nous on ou par pas pour qu'il que qui sa se ses son sur un une vous y",
    "it": "a al alla anche c'è che chi ci come con da dal dei del della di e è gli ha ho i il in io la le lo ma mi nel"
    " nella non o per più se si sono su sul un una uno",
    "nl": "aan als bij dat de die dit door een en er het hij ik in is je maar met mijn naar niet nog of om ook op te"
    " uit van voor was we wij ze zijn zo",
    "pt": "a ao as com como da das de do dos e é ela ele em eu foi já mais mas me meu muito na nas no nos o os ou para"
    " pela pelo por que se seu são sua também um uma",
}


def stop_words(language: Language) -> frozenset[str]:
    """Give the words of a language that say nothing, by their keys."""
    return frozenset(_LISTS.get(language, "").split())
