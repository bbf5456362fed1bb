"""Helpers of the book *Encoder–Decoder LLMs for Instruction Tasks*."""

__version__ = "0.1.0"
