"""What each of several processes does in a test: train, stop, go on from the checkpoint.

torchrun --standalone --nproc-per-node=2 tests/two_processes.py FOLDER [shared]
"""

import sys

import torch
from accelerate import Accelerator
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import test_training
from encdec import training

STOP_AFTER = 13


class Sharing(Accelerator):
    """Shares out weights, gradients and moments (FSDP), which Accelerate offers on GPUs only."""

    is_fsdp2 = True

    def prepare(self, model, optimizer):
        names = {id(weight): name for name, weight in model.named_parameters()}
        groups = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
        for layer in (*model.model.encoder.layers, *model.model.decoder.layers):
            fully_shard(layer)
        fully_shard(model)
        weights = dict(model.named_parameters())
        for group, members in zip(optimizer.param_groups, groups, strict=True):
            group["params"] = [weights[name] for name in members]
        return model, self.prepare_optimizer(optimizer)


def main(folder, shared):
    if shared:
        training.Accelerator = Sharing
    for stop_after in (STOP_AFTER, None):
        trainer = test_training.trainer(folder, test_training.model(dropout=0.0), accumulate=2)
        assert trainer.accelerator.num_processes == 2
        assert shared == all(isinstance(p, DTensor) for p in trainer.wrapped.parameters())
        trainer.run(stop_after=stop_after)
    trainer.accelerator.wait_for_everyone()  # the first one writes
    saved = training.read_safetensors(trainer.folder / training.CHECKPOINT)[0]
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, saved[f"model.{name}"])  # the model that was given, in one piece


if __name__ == "__main__":
    main(sys.argv[1], "shared" in sys.argv)
