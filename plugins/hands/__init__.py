"""Raised hands and the stage: who wants to speak, in what order, and the way onto the stage and back."""

from plugins.hands.plugin import HandsPlugin

__all__ = ["HandsPlugin"]
