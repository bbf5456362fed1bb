"""Attention masks: boolean tensors, `True` where a query may attend to a key.

Shape letters: `batch` sentences, `target` query positions, `source` key positions.
"""

import torch
from torch import Tensor


def padding_mask(input_ids: Tensor, pad_token_id: int) -> Tensor:
    """Mark the positions that hold a real token.

    A model whose decoder starts with the padding token (T5, Marian, Pegasus) has a real token that
    looks like padding, so this is meant for the encoder's input and for labels.

    Args:
        input_ids: token ids, (batch, source).
        pad_token_id: the id that fills short rows.

    Returns:
        Boolean mask, (batch, source).
    """
    return input_ids != pad_token_id


def causal_mask(
    target: int, source: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Let every query see itself and the keys before it.

    With more keys than queries, as when earlier keys come from a cache, the last query stands at
    the last key.

    Args:
        target: number of queries.
        source: number of keys, at least `target`; `target` if not given.
        device: where the mask is made.

    Returns:
        Boolean mask, (target, source).

    Raises:
        ValueError: if there are fewer keys than queries.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.2.3.
    """
    source = target if source is None else source
    if source < target:
        raise ValueError(
            f"source={source} is smaller than target={target}: every query needs its own key"
        )
    ones = torch.ones(target, source, dtype=torch.bool, device=device)
    return ones.tril(diagonal=source - target)  # (target, source)


def prefix_lm_mask(prefix_lengths: Tensor, length: int) -> Tensor:
    """Let every query see the whole prefix, and the rest only up to itself.

    Args:
        prefix_lengths: number of prefix tokens of each row, (batch,).
        length: length of prefix and continuation together.

    Returns:
        Boolean mask, (batch, 1, length, length); the 1 stands for all heads.

    Raises:
        ValueError: if a prefix is negative or longer than `length`.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.2.1.
    """
    if (
        prefix_lengths.numel()
        and not 0 <= int(prefix_lengths.min()) <= int(prefix_lengths.max()) <= length
    ):
        raise ValueError(
            f"prefix_lengths={prefix_lengths.tolist()} must lie between 0 and length={length}"
        )
    keys = torch.arange(length, device=prefix_lengths.device)
    in_prefix = keys[None, None, :] < prefix_lengths[:, None, None]  # (batch, 1, length)
    causal = causal_mask(length, device=prefix_lengths.device)  # (length, length)
    return (in_prefix | causal)[:, None]  # (batch, 1, length, length)


def may_look(tensor: Tensor) -> bool:
    """Tell whether values may be looked at.

    On a GPU a look waits for everything before it, which training cannot afford; and a graph that
    is being compiled has no values yet.

    Args:
        tensor: what would be looked at.

    Returns:
        Whether to look.
    """
    if torch.compiler.is_compiling():
        return False
    return tensor.device.type == "cpu" or not torch.is_grad_enabled()


def check_attention_mask(attention_mask: Tensor, input_ids: Tensor) -> Tensor:
    """Bring a caller's padding mask into this package's form, or say what is wrong with it.

    Tokenizers give masks of ones and zeros; inside this package a mask is boolean.

    Args:
        attention_mask: 1 or True for real tokens, (batch, source).
        input_ids: the token ids that it describes, (batch, source).

    Returns:
        Boolean mask, (batch, source).

    Raises:
        ValueError: if the shapes differ, a value is neither 0 nor 1, or a row has no real token.
    """
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, but input_ids has shape "
            f"{tuple(input_ids.shape)}: they must be the same"
        )
    mask = attention_mask.bool()
    if not may_look(mask):
        return mask
    if attention_mask.dtype != torch.bool and not torch.equal(
        mask.to(attention_mask.dtype), attention_mask
    ):
        raise ValueError(
            "attention_mask must hold only 0 and 1 (or False and True), but holds values from "
            f"{attention_mask.min().item()} to {attention_mask.max().item()}"
        )
    empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"attention_mask marks no real token in row(s) {empty}: every row needs at least one"
        )
    return mask


def left_padding(attention_mask: Tensor) -> Tensor | None:
    """Count the padding in front of each row, for models that continue the last token.

    Args:
        attention_mask: boolean, (batch, written).

    Returns:
        Number of padded positions, (batch,), or None if there are none.

    Raises:
        ValueError: if there is padding elsewhere.
    """
    padding = (~attention_mask).sum(dim=1)  # (batch,)
    index = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    expected = index >= padding[:, None]  # (batch, written)
    if not torch.equal(expected, attention_mask):
        rows = (expected != attention_mask).any(dim=1).nonzero().flatten().tolist()
        raise ValueError(
            f"attention_mask has padding after the first real token in row(s) {rows}: a "
            "decoder-only model continues the last token, so pad on the left"
        )
    return padding if bool(padding.any()) else None


def for_attention(mask: Tensor | None) -> Tensor | None:
    """Give a padding mask the axes that attention broadcasts over.

    A mask without padding says nothing, and attention without a mask is faster, so it becomes
    None. That is looked up on the CPU only: elsewhere the look would wait for the device.

    Args:
        mask: boolean, (batch, source), or None.

    Returns:
        Boolean mask, (batch, 1, 1, source), or None if every position may be seen.
    """
    if mask is None:
        return None
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    return mask[:, None, None, :]  # (batch, 1, 1, source)
