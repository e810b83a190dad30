"""Training without images: a linear model, noise as data, random numbers in the losses."""

from __future__ import annotations

import torch
from torch import nn

from iuv.engine.trainer import Trainer, TrainingData
from iuv.targets import Batch
from iuv.training_config import TrainingConfig

TOY = TrainingConfig().replace(
    **{
        "solver.max_iter": 6,
        "solver.steps": [4],
        "solver.warmup_iters": 2,
        "solver.base_batch_size": None,
        "loader.batch_size": 2,
        "run.log_period": 1,
        "run.checkpoint_period": 2,
    }
)


class ToyStep(nn.Module):
    """Losses of [2, 3, 3] "images", one of them with random numbers, as sampling has them."""

    def __init__(self, config: TrainingConfig, *, noise: bool = True) -> None:
        super().__init__()
        self.config = config
        self.noise = noise
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = nn.Sequential(nn.Linear(9, 4), nn.GroupNorm(2, 4), nn.Linear(4, 1))

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        images = torch.stack([image.flatten().float() / 255 for image in batch.images])
        out = self.model(images)
        return {
            "loss_square": (out - 1).square().mean(),
            "loss_random": (out * (torch.rand(out.shape) if self.noise else 1)).abs().mean(),
        }


class ToyLoader:
    """Batch number n is noise of seed n; `events` are called when their number is taken."""

    def __init__(self, position: int = 0, *, rank: int = 0, size: int = 2, events=None) -> None:
        self.position = position
        self.rank, self.size, self.events = rank, size, events or {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        return self

    def __next__(self) -> Batch:
        number = self.position
        self.events.get(number, lambda: None)()
        generator = torch.Generator().manual_seed(number * 100 + self.rank)
        noise = torch.randint(0, 256, (self.size, 3, 3), generator=generator, dtype=torch.uint8)
        self.position += 1
        return Batch(list(noise), [], [number * 10 + i for i in range(self.size)])


def toy_trainer(folder, config=TOY, *, events=None, digest="toy", **options) -> Trainer:
    """A trainer in this folder; made if missing."""
    folder.mkdir(exist_ok=True)
    data = TrainingData(lambda position: ToyLoader(position, events=events), digest)
    return Trainer(ToyStep(config), data, folder, device=torch.device("cpu"), **options)
