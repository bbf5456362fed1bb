"""What a decoder keeps between steps, so that each token is computed once.

Shape letters: `layers` decoder layers, `rows` sequences being written (sentences × beams), `batch`
sentences being read, `heads` attention heads, `capacity` positions allocated, `length` positions
filled, `source` positions of the encoder, `d_kv` width of one head.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from encdec.positions import RelativePositionBias

NEVER = torch.iinfo(torch.long).max
"""The position from which on a row differs from itself."""


class LayerCache(Protocol):
    """What a self-attention layer needs of a cache."""

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values; read what its queries may see."""


class KVCache:
    """Keys and values of all layers, for the positions decoded so far.

    One tensor holds them all, (2, layers, rows, heads, capacity, d_kv), so that a reordering of
    the beams is one operation. It is allocated at the first update, when the shapes are known.

    Beams of one sentence soon have their beginning in common. So the cache notes from which
    position on two rows differ, and a reordering moves only what does: it stays as quick on long
    outputs as on short ones.

    Args:
        num_layers: number of decoder layers.
        max_length: positions to allocate; a fuller cache doubles. A caller who knows how long the
            output can get saves the copies.
        left_padding: number of padded positions at the start of each row, (rows,), for models
            whose prompt is padded on the left; they are never attended to.
    """

    def __init__(
        self, num_layers: int, max_length: int | None = None, left_padding: Tensor | None = None
    ) -> None:
        self.num_layers = num_layers
        self.max_length = max_length
        self.left_padding = left_padding
        self.length = 0
        self.packed: Any = None  # takes steps of one token faster (`encdec.packed.PackedDecoder`)
        self.workspace: Any = None  # its buffers (`encdec.packed.Workspace`)
        self._store: Tensor | None = None
        self._differ = torch.empty(0, 0, dtype=torch.long)  # from which position on, (rows, rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that are written; what is allocated beyond is left out."""
        return 0 if self._store is None else self._store[..., : self.length, :].nbytes

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values, and read all of that layer's.

        Every layer of a step writes to the same positions; `advance` then closes the step.

        Args:
            layer: number of the layer.
            key: keys of the new positions, (rows, heads, new, d_kv).
            value: values of the new positions, (rows, heads, new, d_kv).

        Returns:
            Keys and values, each (rows, heads, length + new, d_kv): views, not copies.
        """
        end = self.length + key.shape[2]
        store = self._store
        if store is None or end > store.shape[4]:
            store = self._grow(end, key)
        keys, values = store[0, layer], store[1, layer]  # (rows, heads, capacity, d_kv)
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def open(self) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
        """Get the places of one new position for all layers at once; `advance` closes the step.

        This is `update` for a packed step (`encdec.packed`), which has no time for views.

        Returns:
            For each layer where its new keys and values go, (2, rows, heads, d_kv); its keys, the
            new one included, (rows * heads, d_kv, length + 1); and its values,
            (rows * heads, length + 1, d_kv): views, not copies.

        Raises:
            ValueError: if nothing is written yet, so that no shape is known.
        """
        store = self._store
        if store is None:
            raise ValueError("the cache is empty: the first tokens have to come by `update`")
        if self.length == store.shape[4]:
            store = self._grow(self.length + 1, store[0, 0])
        slots = store.select(4, self.length).unbind(1)
        written = store.flatten(2, 3).narrow(3, 0, self.length + 1)
        return slots, written[0].transpose(2, 3).unbind(0), written[1].unbind(0)

    def advance(self, new: int) -> None:
        """Count the positions that every layer has written.

        Args:
            new: number of positions.
        """
        self.length += new

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,), integers below the present number of rows.
        """
        if self.left_padding is not None:
            self.left_padding = self.left_padding[beam_index]
        store = self._store
        if store is None:
            return
        rows = torch.arange(store.shape[2], device=store.device)
        if torch.equal(beam_index, rows):
            return
        differ, first = self._differ, 0
        if beam_index.shape == rows.shape:
            first = min(int(differ.gather(1, beam_index[:, None]).min()), self.length)
        twins = beam_index[:, None] == beam_index  # (new rows, new rows)
        differ = differ[beam_index][:, beam_index].masked_fill_(twins, self.length)
        self._differ = differ.fill_diagonal_(NEVER)
        part = store[..., first : self.length, :].index_select(2, beam_index)
        if beam_index.shape != rows.shape:
            self._store = store = self._allocate(beam_index.shape[0], store.shape[4], part)
        store[..., first : self.length, :] = part

    def repeat(self, times: int) -> None:
        """Repeat every row, as when each sentence gets its beams.

        Args:
            times: how often.
        """
        per_row = self.left_padding if self._store is None else self._store[0, 0, :, 0, 0, 0]
        if per_row is not None:  # else nothing is written yet, and any number of rows may come
            rows = torch.arange(len(per_row), device=per_row.device)
            self.reorder(rows.repeat_interleave(times))

    def _grow(self, needed: int, like: Tensor) -> Tensor:
        old = self._store
        capacity = max(needed, 2 * old.shape[4] if old is not None else self.max_length or 64)
        self._store = self._allocate(like.shape[0], capacity, like)
        if old is None:
            differ = torch.zeros(like.shape[0], like.shape[0], dtype=torch.long, device=like.device)
            self._differ = differ.fill_diagonal_(NEVER)
        else:
            self._store[..., : self.length, :] = old[..., : self.length, :]
        return self._store

    def _allocate(self, rows: int, capacity: int, like: Tensor) -> Tensor:
        heads, d_kv = (like.shape[-3], like.shape[-1])
        return like.new_empty(2, self.num_layers, rows, heads, capacity, d_kv)


class EncoderDecoderCache:
    """The decoder's own keys and values, and the encoder's, which are projected once.

    The beams of a sentence read the same source. So the encoder's keys and values are stored once
    a sentence, not once a beam, and attention folds the beams of a sentence into its queries.

    Args:
        self_attention: what grows with every step.
        cross_attention: keys and values of the encoder's output for each layer, each
            (batch, heads, source, d_kv).
        cross_mask: which source positions may be seen, (batch, 1, 1, source), or None for all.
        position_bias: T5's bias of the last position of the longest output towards all positions,
            (1, heads, 1, capacity), or None for models without. It depends on the distance alone,
            so its last n entries are the bias of position n - 1.
        packed: takes steps of one token faster (`encdec.packed.PackedDecoder`), or None.
    """

    def __init__(
        self,
        self_attention: KVCache,
        cross_attention: list[tuple[Tensor, Tensor]],
        cross_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        *,
        packed: Any = None,
    ) -> None:
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        self.cross_mask = cross_mask
        self.position_bias = position_bias
        self.packed = packed
        self.beams = 1  # rows for each sentence
        self._source: tuple[list[tuple[Tensor, Tensor]], Tensor | None] | None = None
        self._bias: Tensor | None = None  # see `folded_bias`

    @property
    def length(self) -> int:
        """Number of target positions decoded so far."""
        return self.self_attention.length

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,), integers below the present number of rows. The beams of one
                sentence stay together: whole sentences may move or go.

        Raises:
            ValueError: if the beams of one sentence came from several.
        """
        batch = self.cross_attention[0][0].shape[0]
        sentences = moved_sentences(beam_index, self.beams, batch)
        self.self_attention.reorder(beam_index)
        if sentences is not None:
            self._source = self.self_attention.workspace = None
            self.cross_attention = [
                (key[sentences], value[sentences]) for key, value in self.cross_attention
            ]
            if self.cross_mask is not None:
                self.cross_mask = self.cross_mask[sentences]

    def folded_source(self, heads: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Get what cross-attention reads, laid out for a packed step (`encdec.packed`).

        Args:
            heads: attention heads of the decoder.

        Returns:
            For each layer keys, (sentences * heads, d_kv, source), and values,
            (sentences * heads, source, d_kv); and a mask to be added to the scores,
            (sentences * heads, 1, source), or None.
        """
        if self._source is None:
            mask = None
            if self.cross_mask is not None:
                hidden = ~self.cross_mask[:, 0]  # (sentences, 1, source)
                mask = torch.zeros_like(hidden, dtype=torch.float32)
                mask = mask.masked_fill_(hidden, -math.inf).repeat_interleave(heads, dim=0)
            layers = [
                (key.flatten(0, 1).transpose(1, 2), value.flatten(0, 1))
                for key, value in self.cross_attention
            ]
            self._source = layers, mask
        return self._source

    def folded_bias(self, rows: int, positions: RelativePositionBias) -> Tensor:
        """Get the position bias of the next token for all rows and heads.

        Args:
            rows: number of rows.
            positions: makes the bias where the output gets longer than was foreseen.

        Returns:
            (rows * heads, 1, length + 1).
        """
        bias, written = self.position_bias, self.length + 1
        if bias is None or bias.shape[3] < written:
            keys = torch.arange(2 * written, device=positions.weight.device)
            self.position_bias = bias = positions(keys[-1:], keys)  # (1, heads, 1, capacity)
            self._bias = None
        if self._bias is None or len(self._bias) != rows * bias.shape[1]:
            self._bias = bias.detach()[0].repeat(rows, 1, 1)  # (rows * heads, 1, capacity)
        return self._bias.narrow(2, bias.shape[3] - written, written)

    def repeat(self, times: int) -> None:
        """Give every sentence its beams; the encoder's part is shared, not copied.

        Args:
            times: beams for each row of now.
        """
        self.self_attention.repeat(times)
        self.beams *= times


def moved_sentences(beam_index: Tensor, beams: int, batch: int) -> Tensor | None:
    """Find out what a reordering of rows means for what is stored once a sentence.

    Args:
        beam_index: for each new row the row that it continues, (new rows,).
        beams: rows for each sentence.
        batch: number of sentences now.

    Returns:
        For each new sentence the one that it was, (new batch,); None if all stay where they are,
        as in beam search, where beams trade places within their sentence only.

    Raises:
        ValueError: if the beams of one sentence came from several.
    """
    if batch == 1 and len(beam_index) == beams:
        return None  # whatever moves, moves within the one sentence
    sentences = beam_index // beams  # (new rows,)
    first = sentences[::beams]  # (new batch,)
    if beams > 1 and not torch.equal(sentences, first.repeat_interleave(beams)):
        raise ValueError(
            f"beam_index={beam_index.tolist()} mixes sentences: with {beams} beams each, every "
            f"{beams} entries must name rows of one sentence"
        )
    if len(first) == batch and torch.equal(first, torch.arange(batch, device=first.device)):
        return None
    return first
