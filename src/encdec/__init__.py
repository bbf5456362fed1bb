"""Helpers of the book *Encoder–Decoder LLMs for Instruction Tasks*."""

from encdec import check, zoo
from encdec.decoding import generate
from encdec.environment import device, setup
from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM

__version__ = "0.1.0"

__all__ = [
    "DecoderOnly",
    "EncoderDecoder",
    "PrefixLM",
    "check",
    "device",
    "generate",
    "setup",
    "zoo",
]
