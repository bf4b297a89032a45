"""How large a packet may be, and to how many at once it is best sent.

LiveKit's limit is 64,000 bytes for an encoded packet *with the identities that it is addressed to*: both SDKs refuse
more. The SFU hands those identities on to every receiver, so a packet to many is dear at both ends, see `group_size`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from relay_bot.link import LinkError

MAX_PACKET: Final = 64_000
_HEAD: Final = 64
"""What an encoded packet has beside its payload, topic and addressees: 54 bytes at most on either link, measured."""
_PUBLISH_MICROSECONDS: Final = {"sdk": 450.0}
_OTHERS_PUBLISH_MICROSECONDS: Final = 180.0
"""CPU that one more packet costs the bot, the link and the SFU before it goes to anybody, by the kind of link.

With these a crowd's acks have about 24 addressees on the native link, and half as many again on the Python SDK's.
"""
_BYTE_MICROSECONDS: Final = 0.004
"""CPU that one more byte to one receiver costs the SFU."""


def addressee_size(identity: str) -> int:
    """Give the bytes that an addressee adds to a packet."""
    size = len(identity) if identity.isascii() else len(identity.encode())
    return size + (2 if size < 128 else 3)


def packet_size(data: int, to: Sequence[str], topic: str) -> int:
    """Give the bytes, at most, of a packet with so many bytes of data, as LiveKit counts them."""
    return _HEAD + data + len(topic) + sum(map(addressee_size, to))


def check_packet(data: int, to: Sequence[str], topic: str) -> int:
    """Give the bytes of a packet, see `packet_size`; raises `LinkError` where they are too many."""
    size = packet_size(data, to, topic)
    if size > MAX_PACKET:
        raise LinkError(f"a packet of {size} bytes with its addressees is too long: {MAX_PACKET} are the limit")
    return size


def group_size(receivers: int, bytes_each: float, link: str) -> int:
    """Give the number of addressees that is cheapest in all.

    In a group of k each receiver is sent what the other k - 1 need as well, `bytes_each` for each of them: n
    receivers cost n/k packets and n * k * bytes_each bytes. The sum is least where k is the root of the cost of a
    packet over that of these bytes. `link` is the name of its kind.
    """
    packet = _PUBLISH_MICROSECONDS.get(link, _OTHERS_PUBLISH_MICROSECONDS)
    best = max(1, round(math.sqrt(packet / (_BYTE_MICROSECONDS * bytes_each))))
    groups = math.ceil(receivers / best)
    return max(1, math.ceil(receivers / max(1, groups)))  # groups of one size: none is left with a few


def addressed(data: int, to: Sequence[str], topic: str, link: str) -> Iterator[Sequence[str]]:
    """Split addressees into groups, none of which makes a packet too long.

    Nothing where the data alone is too long for any of them. No addressees are everybody: one group.
    """
    if not to:
        if packet_size(data, to, topic) <= MAX_PACKET:
            yield to
        return
    room = MAX_PACKET - packet_size(data, (), topic)
    sizes = [addressee_size(identity) for identity in to]
    if max(sizes) > room:
        return
    most = group_size(len(to), sum(sizes) / len(to), link)
    start, size = 0, 0
    for index, more in enumerate(sizes):
        if index - start == most or size + more > room:
            yield to[start:index]
            start, size = index, 0
        size += more
    yield to[start:]
