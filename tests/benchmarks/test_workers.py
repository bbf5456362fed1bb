"""What a second worker brings is measured on the same text, and recorded as it was."""

import pytest
import torch

from benchmarks import workers
from encdec import results


def test_one_process_has_nothing_to_add_up():
    assert workers.add_up(torch.ones(3)) == 0.0


def test_a_setting_is_summarised_by_its_median():
    runs = [
        {"tokens": 2000, "seconds": seconds, "add_up_seconds": seconds / 100}
        for seconds in (1.0, 2.0, 4.0)
    ]
    found = workers.summarise("two, doubled batch", runs)
    assert (found["processes"], found["batch"]) == (2, 2)
    assert (found["lowest"], found["tokens_per_second"], found["highest"]) == (500, 1000, 2000)
    assert found["add_up_seconds"] == 0.02
    assert found["tokens_per_step"] == 2000 / (workers.STEPS - workers.LOG_EVERY)


def test_the_recorded_run_compares_one_worker_with_two():
    record = results.load("benchmark-workers")
    settings = record["settings"]
    assert {name: (row["processes"], row["batch"]) for name, row in settings.items()} == (
        workers.SETTINGS
    )
    one, same, doubled = settings.values()
    assert same["tokens_per_step"] == one["tokens_per_step"]
    assert doubled["tokens_per_step"] == pytest.approx(2 * one["tokens_per_step"], rel=0.05)
    assert one["tokens_per_second"] < same["tokens_per_second"]
    assert one["tokens_per_second"] < doubled["tokens_per_second"]
    assert one["add_up_seconds"] == 0 < same["add_up_seconds"]
    translator = results.load("benchmark-training")["parameters"]
    assert record["gradient_bytes"] == pytest.approx(4 * translator, rel=0.05)
