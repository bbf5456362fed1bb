import pytest
import torch

from encdec.cache import EncoderDecoderCache, KVCache, moved_sentences


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(rows=3, length=4, layers=2, **options):
    cache = KVCache(layers, **options)
    written = randn(layers, 2, rows, 2, length, 5)
    for layer in range(layers):
        cache.update(layer, *written[layer])
    cache.advance(length)
    return cache, written


def read(cache, layer):
    rows = cache._store.shape[2]
    key, value = cache.update(layer, torch.empty(rows, 2, 0, 5), torch.empty(rows, 2, 0, 5))
    return torch.stack([key, value])


@pytest.mark.parametrize("max_length", [None, 4, 2])
def test_what_was_written_is_read_back(max_length):
    cache, written = filled(max_length=max_length)
    for layer in range(2):
        assert torch.equal(read(cache, layer), written[layer])


def test_a_full_cache_grows_and_keeps_what_it_has():
    cache, written = filled(max_length=4)
    more = randn(2, 2, 3, 2, 3, 5, seed=1)
    for layer in range(2):
        key, _ = cache.update(layer, *more[layer])
        assert torch.equal(key, torch.cat([written[layer, 0], more[layer, 0]], dim=2))
    cache.advance(3)
    assert cache.length == 7


def test_updates_are_views_not_copies():
    cache, _ = filled()
    assert read(cache, 0)[0].numel()
    key, _ = cache.update(0, torch.empty(3, 2, 0, 5), torch.empty(3, 2, 0, 5))
    assert key.untyped_storage().data_ptr() == cache._store.untyped_storage().data_ptr()


@pytest.mark.parametrize("index", [[2, 0, 1], [1, 1, 1], [2, 0], [0, 0, 1, 1, 2, 2]])
def test_properties_reorder_moves_all_layers_alike(index):
    cache, written = filled(left_padding=torch.tensor([0, 1, 2]))
    cache.reorder(torch.tensor(index))
    for layer in range(2):
        assert torch.equal(read(cache, layer), written[layer][:, index])
    assert cache.left_padding.tolist() == index


@pytest.mark.parametrize("seed", range(5))
def test_properties_moving_only_what_differs_equals_moving_all(seed):
    """Write and reorder many times, beside a cache that is copied whole."""
    generator = torch.Generator().manual_seed(seed)
    cache, wanted = KVCache(1, max_length=2), torch.empty(2, 4, 1, 0, 3)
    for _ in range(30):
        new = torch.randn(2, 4, 1, 1, 3, generator=generator)
        cache.update(0, *new)
        cache.advance(1)
        wanted = torch.cat([wanted, new], dim=3)
        if torch.rand((), generator=generator) < 0.7:
            index = torch.randint(0, 4, (4,), generator=generator)
            cache.reorder(index)
            wanted = wanted[:, index]
        assert torch.equal(cache._store[:, 0, :, :, : cache.length], wanted)


def test_properties_two_reorders_are_one():
    one, _ = filled()
    two, _ = filled()
    first, second = torch.tensor([2, 0, 1]), torch.tensor([1, 1, 0])
    one.reorder(first)
    one.reorder(second)
    two.reorder(first[second])
    assert torch.equal(read(one, 1), read(two, 1))


def test_repeat_gives_each_row_its_beams():
    cache, written = filled()
    cache.repeat(2)
    assert torch.equal(read(cache, 1), written[1].repeat_interleave(2, 1))
    empty = KVCache(2, left_padding=torch.tensor([1, 0]))
    empty.repeat(2)
    assert empty.left_padding.tolist() == [1, 1, 0, 0]


def shared(beams=3, batch=2):
    own, written = filled(rows=batch)
    cross = [(randn(batch, 2, 7, 5, seed=layer), randn(batch, 2, 7, 5)) for layer in range(2)]
    mask = torch.ones(batch, 1, 1, 7, dtype=torch.bool)
    cache = EncoderDecoderCache(own, cross, mask)
    cache.repeat(beams)
    return cache, written, cross


def test_properties_beams_may_trade_places_and_share_the_source():
    cache, written, cross = shared()
    cache.reorder(torch.tensor([2, 2, 0, 5, 3, 4]))
    assert cache.cross_attention[0][0] is cross[0][0]
    assert torch.equal(read(cache.self_attention, 0)[:, 0], written[0][:, 0])
    assert cache.length == 4


def test_properties_whole_sentences_may_move_or_go():
    cache, written, cross = shared()
    cache.reorder(torch.tensor([5, 4, 3]))
    assert torch.equal(cache.cross_attention[1][1], cross[1][1][1:])
    assert cache.cross_mask.shape[0] == 1
    assert torch.equal(read(cache.self_attention, 0)[:, 0], written[0][:, 1])


def test_beams_of_different_sentences_do_not_mix():
    cache, _, _ = shared()
    with pytest.raises(ValueError, match=r"beam_index=\[0, 1, 3, 3, 4, 5\] mixes sentences"):
        cache.reorder(torch.tensor([0, 1, 3, 3, 4, 5]))


def test_moved_sentences_tells_a_move_from_none():
    assert moved_sentences(torch.tensor([1, 0, 3, 2]), 2, 2) is None
    assert moved_sentences(torch.tensor([3, 2, 1, 1]), 2, 2).tolist() == [1, 0]
