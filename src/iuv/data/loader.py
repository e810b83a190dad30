"""The endless stream of training batches, the same whatever the number of workers.

    shuffled (samplers.py) → records → [worker: read_image → prepare → one piece of memory] → Batch

Records travel with the orders, so workers hold no copy of the data set and start at once.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from iuv.data.packing import PackedBatch
from iuv.data.records import DataError, Dataset, ImageRecord
from iuv.data.samplers import group, shuffled
from iuv.data.symmetry import UVSymmetry
from iuv.data.transforms import draw_augmentation, prepare
from iuv.images import ImageError, read_image
from iuv.sectioned import require
from iuv.targets import Batch
from iuv.training_config import AugmentConfig, TrainingConfig

__all__ = ["TrainingLoader"]


class TrainingLoader:
    """An endless iterator over the batches of one process.

    A batch depends on the data set, the configuration, the rank and its number only: a loader made
    with the `position` of an earlier one goes on exactly where that one was.

    Args:
        dataset: what to train with, as it is: no image is left out here.
        config: sections ``augment`` and ``loader``, ``run.seed``, ``solver.accumulate`` and
            ``losses.segm_from_masks``. There are at most as many workers as cores.
        symmetry: to mirror images.
        rank: number of this process.
        world_size: of so many. Together they go through the images once before any comes again.
        position: how many batches have been taken already.

    Raises:
        ConfigError: the batch cannot be shared out evenly.
        DataError: there are no images, or images are to be mirrored without tables.
    """

    position: int
    """Batches given out so far."""

    def __init__(
        self,
        dataset: Dataset,
        config: TrainingConfig,
        symmetry: UVSymmetry | None,
        *,
        rank: int = 0,
        world_size: int = 1,
        position: int = 0,
    ) -> None:
        if not len(dataset):
            raise DataError(
                f"{dataset.source}: there is no image to train with; without loader.keep_empty, "
                "images need a person with points"
            )
        if symmetry is None and config.augment.flip_probability > 0:
            raise DataError(
                "mirroring images needs the body's symmetry tables; give them, or set "
                "augment.flip_probability=0"
            )
        self.batch_size = _share(config, world_size)
        self.position = position
        self._dataset, self._config, self._symmetry = dataset, config, symmetry
        self._rank, self._world_size = rank, world_size
        self._batches: Iterator[PackedBatch | DataError] | None = None

    def __iter__(self) -> TrainingLoader:
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            DataError: an image cannot be read, or is not the one that was annotated.
        """
        if self._batches is None:
            self._batches = iter(self._stream())
            atexit.register(self.close)  # else Python would wait for the workers, and they for it
        packed = next(self._batches)
        if isinstance(packed, DataError):
            self.close()
            raise packed
        self.position += 1
        return packed.unpack()

    def close(self) -> None:
        """Stop the workers. The next batch would start them again."""
        atexit.unregister(self.close)
        batches, self._batches = self._batches, None
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            batches._shutdown_workers()  # its end would do so, but an error in flight may hold it
            for queue in (*batches._index_queues, batches._worker_result_queue):
                _await_feeder(queue)

    def __enter__(self) -> TrainingLoader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _stream(self) -> DataLoader[PackedBatch | DataError]:
        config = self._config
        workers = min(config.loader.workers, _cores())  # more would only wait for each other
        return DataLoader(
            _Assembler(
                config.augment, config.run.seed, self._symmetry, config.losses.segm_from_masks
            ),
            sampler=self._orders(),
            batch_size=None,  # an order is a whole batch already
            collate_fn=_as_it_is,
            num_workers=workers,
            worker_init_fn=_settle_worker,
            # A fork of a process with threads (DDP's, CUDA's) may hang.
            multiprocessing_context="spawn" if workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else the loader draws from the trainer's generator
        )

    def _orders(self) -> Iterator[_Order]:
        """Yield batches from `position` on."""
        images, loader = self._dataset.images, self._config.loader
        stream = enumerate(shuffled(len(images), self._config.run.seed))
        samples = itertools.islice(stream, self._rank, None, self._world_size)

        def is_wide(sample: tuple[int, int]) -> bool:
            record = images[sample[1]]
            return loader.aspect_ratio_grouping and record.width > record.height

        batches = itertools.islice(group(samples, self.batch_size, is_wide), self.position, None)
        for batch in batches:
            yield [(place, images[index]) for place, index in batch]


_Order = list[tuple[int, ImageRecord]]
"""Place in the stream over all processes, and image."""


def _share(config: TrainingConfig, world_size: int) -> int:
    """Return how many images go through the network of one process at once."""
    total, parts = config.loader.batch_size, world_size * config.solver.accumulate
    require(
        total % parts == 0,
        f"loader.batch_size ({total}) must be a multiple of the number of processes "
        f"({world_size}) times solver.accumulate ({config.solver.accumulate})",
    )
    return total // parts


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _settle_worker(_number: int) -> None:
    """Leave threads and signals to the process that trains.

    Ctrl-C, and schedulers that end a job, signal all processes of it. The one that trains may want
    to finish its step and to save; it ends the workers with itself.
    """
    atexit.register(os._exit, 0)  # Python's own end aborts when the queue's thread is at work
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _await_feeder(queue: Any) -> None:
    """Wait for the thread that writes to a closed queue.

    It may be the last to hold a lock of the queue, and then cleans up after it. If Python ended in
    the middle of that, multiprocessing's tracker would complain of a semaphore that is gone.
    """
    if queue._thread is not None:
        queue._thread.join(timeout=1)  # one that can't write, as nobody reads, does not clean up


def _as_it_is(batch: Any) -> Any:
    return batch


@dataclass(frozen=True, slots=True, eq=False)
class _Assembler(TorchDataset[PackedBatch | DataError]):
    """Makes batches; runs in the workers."""

    augment: AugmentConfig
    seed: int
    symmetry: UVSymmetry | None
    with_masks: bool

    def __getitem__(self, order: _Order) -> PackedBatch | DataError:
        """Return a batch, or what went wrong: raised here, it would come with a worker's trace."""
        images, targets = [], []
        for place, record in order:
            augmentation = draw_augmentation(
                self.augment, np.random.default_rng((self.seed, place))
            )
            try:
                image, target = prepare(
                    record,
                    read_image(record.path),
                    augmentation,
                    symmetry=self.symmetry,
                    with_masks=self.with_masks,
                )
            except (DataError, ImageError) as error:
                return DataError(f"image {record.id}: {error}")
            images.append(torch.tensor(image))
            targets.append(target)
        return PackedBatch.of(Batch(images, targets, [record.id for _, record in order]))
