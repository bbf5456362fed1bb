"""Helpers of the book *Encoder–Decoder LLMs for Instruction Tasks*."""

from encdec import check, zoo
from encdec.config import TransformerConfig
from encdec.decoding import beam_search, generate, greedy_search, sample, stream
from encdec.environment import device, setup
from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder
from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM

__version__ = "0.1.0"

__all__ = [
    "DecoderOnly",
    "EncoderDecoder",
    "PrefixLM",
    "RecurrentConfig",
    "RecurrentEncoderDecoder",
    "TransformerConfig",
    "beam_search",
    "check",
    "device",
    "generate",
    "greedy_search",
    "sample",
    "setup",
    "stream",
    "zoo",
]
