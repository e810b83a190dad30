"""From frames to people who keep their numbers, and whose surfaces are steady."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from iuv.decode import decode_people
from iuv.modeling.box_head import Boxes
from iuv.predictor import Look
from iuv.results import ByteArray, ChartOutputs, FloatArray, People, Person, Selection
from iuv.video.frames import Frame
from iuv.video.motion import grey, measure_motion, moved_box
from iuv.video.smoothing import History, blend, carry, source_places
from iuv.video.tracking import Found, Track, Tracker

__all__ = ["DEFAULT_SMOOTH", "Chosen", "PeopleTracker", "StagedPredictor", "track"]

DEFAULT_SMOOTH = 0.7
"""Half the flicker, and no greater errors in parts, U and V: see docs/benchmarks.md."""

_USUAL_SECONDS = 0.04  # between frames, where nobody says
_PATIENCE = 25  # frames: somebody who is away for longer is no longer waited for


class StagedPredictor(Protocol):
    """A predictor in three parts; `iuv.Predictor` is one."""

    def look(self, image: ByteArray) -> Look:
        """Run what all else begins with."""
        ...

    def find(self, look: Look) -> Boxes:
        """Find people."""
        ...

    def charts_at(self, look: Look, boxes_xyxy: Tensor) -> ChartOutputs:
        """Read the maps of people in given boxes."""
        ...


class PeopleTracker:
    """Finds people in frame after frame; call it with each, in order.

    Args:
        predict: of `iuv.load`. With a `min_score` below `new_score`, people who are known stay
            when their score drops for a while.
        smooth: 0..1 (exclusive): how steady boxes, parts, U and V are held; the greatest share of
            the past in each. 0: every frame as the network sees it on its own.
        every: find people in every n-th frame only; in between, those who are known are followed
            by the motion of the picture. Parts, U and V are read in every frame.
        new_score: somebody must score above this to be taken for a person for the first time.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        predict: StagedPredictor,
        *,
        smooth: float = DEFAULT_SMOOTH,
        every: int = 1,
        new_score: float = 0.0,
    ) -> None:
        if not 0 <= smooth < 1 or every < 1:
            raise ValueError(
                "smooth must be at least 0 and below 1, and every at least 1, "
                f"got {smooth} and {every}"
            )
        self._predict = predict
        self._smooth = smooth
        self._every = every
        self._tracker = Tracker(smooth=smooth, new_score=new_score)
        self._frames = 0
        self._since_found = 0.0
        self._before: ByteArray | None = None
        self._persons: dict[int, Person] = {}
        self._histories: dict[int, History] = {}

    def __call__(self, image: ByteArray, seconds: float = _USUAL_SECONDS) -> People:
        """Return the people of the next frame, each with a `track`, best score first.

        Args:
            image: RGB uint8 [H, W, 3]; all of one size.
            seconds: since the frame before.

        Raises:
            ValueError: the frame has another size than the one before.
        """
        return self.follow(self._predict.look(image), image, seconds)

    def follow(self, look: Look, image: ByteArray, seconds: float = _USUAL_SECONDS) -> People:
        """Return the people of the next frame, which was looked at already; as a call."""
        picture = grey(image) if self._smooth or self._every > 1 else None
        if self._before is not None and picture is not None:
            if picture.shape != self._before.shape:
                raise ValueError(
                    f"all frames must have one size: got {picture.shape} after "
                    f"{self._before.shape} (height, width)"
                )
            self._tracker.move(self._moved(picture, self._before))
        self._since_found += seconds
        if self._frames % self._every == 0:
            self._tracker.update(_as_found(self._predict.find(look)), self._since_found)
            self._since_found = 0.0
        people = self._read(look, picture)
        self._persons = {p.track: p for p in people if p.track is not None}
        self._before = picture
        self._frames += 1
        return people

    def _moved(self, now: ByteArray, before: ByteArray) -> dict[int, FloatArray]:
        """Where those of the last frame are in this one."""
        return {
            track.number: moved_box(
                track.box,
                measure_motion(before, now, track.box),
                self._persons.get(track.number),
            )
            for track in self._tracker.present
        }

    def _read(self, look: Look, picture: ByteArray | None) -> People:
        tracks, boxes = self._inside(look.image_size)
        if not tracks:
            self._histories = {}
            return People(look.image_size)
        chosen = torch.from_numpy(np.stack(boxes))
        with torch.inference_mode():
            charts = self._predict.charts_at(look, chosen)
            if self._smooth and picture is not None:
                charts = self._steadied(tracks, boxes, charts, picture)
            people = decode_people(
                charts,
                chosen,
                torch.tensor([track.score for track in tracks]),
                torch.tensor([track.class_index for track in tracks]),
                look.image_size,
            )
        named = zip(people, tracks, strict=True)
        persons = [replace(person, track=track.number) for person, track in named]
        return People(look.image_size, tuple(persons))

    def _inside(self, size: tuple[int, int]) -> tuple[list[Track], list[FloatArray]]:
        """Who is in the picture, with their boxes cut to it; others have left."""
        limits = np.array([size[1], size[0]] * 2, dtype=np.float32)
        tracks, boxes, gone = [], [], set()
        for track in self._tracker.present:
            # The read-out truncates boxes to whole pixels, as Detectron2 does. That moves surfaces
            # by up to one against the picture; boxes that are whole lose nothing by it.
            box = np.clip(np.round(track.box) if self._smooth else track.box, 0, limits)
            if (box[2:] > box[:2]).all():
                tracks.append(track)
                boxes.append(box)
            else:
                gone.add(track.number)
        self._tracker.drop(gone)
        return tracks, boxes

    def _steadied(
        self, tracks: list[Track], boxes: list[FloatArray], charts: ChartOutputs, now: ByteArray
    ) -> ChartOutputs:
        histories = {}
        for index, (track, box) in enumerate(zip(tracks, boxes, strict=True)):
            past = self._histories.get(track.number)
            if past is not None and self._before is not None:
                past = _carried(past, box, now, self._before)
            mixed = blend(past, charts.at(index), box, self._smooth)
            histories[track.number] = mixed
        self._histories = histories
        kept = [history.charts for history in histories.values()]
        maps = {
            name: torch.stack([getattr(one, name) for one in kept])
            for name, value in charts._asdict().items()
            if value is not None
        }
        return ChartOutputs(**maps)


def _carried(past: History, box: FloatArray, now: ByteArray, before: ByteArray) -> History | None:
    motion = measure_motion(now, before, box)
    if motion is None:
        return None
    side = past.weight.shape[-1]
    return carry(past, *source_places(box, past.box, motion, side), box)


def _as_found(boxes: Boxes) -> Found:
    found, scores, classes = (values.cpu().numpy() for values in boxes)
    return Found(found.astype(np.float32), scores.astype(np.float32), classes)


def track(
    predict: StagedPredictor,
    frames: Iterable[Frame],
    *,
    smooth: float = DEFAULT_SMOOTH,
    every: int = 1,
    new_score: float = 0.0,
) -> Iterator[tuple[Frame, People]]:
    """Yield each frame with its people, who keep their numbers (`Person.track`) over time.

    Nothing accumulates: frames may come without end.

    Args:
        predict: of `iuv.load`.
        frames: e.g. a `VideoReader` or a `CameraReader`.
        smooth: as for `PeopleTracker`.
        every: as for `PeopleTracker`.
        new_score: as for `PeopleTracker`.

    Raises:
        ValueError: a number is out of its range, or frames differ in size.
    """
    people_of = PeopleTracker(predict, smooth=smooth, every=every, new_score=new_score)
    last = None
    for frame in frames:
        seconds = _USUAL_SECONDS if last is None else float(frame.time - last)
        yield frame, people_of(frame.image, max(seconds, 1e-3))
        last = frame.time


class Chosen:
    """Chooses people in every frame, and stays with whom it has chosen.

    ``best``, ``largest`` and an index, see `People.select`, are looked up once; the same person is
    then taken as long as the track goes on, though others may score better in some frames. Who is
    away for long is replaced.
    """

    def __init__(self, which: Selection) -> None:
        self._which = which
        self._track: int | None = None
        self._away = 0

    def __call__(self, people: People) -> People:
        """Return the chosen ones of a frame.

        Raises:
            ValueError: as `People.select`.
        """
        if self._which == "all":
            return people
        same = [index for index, person in enumerate(people) if person.track == self._track]
        if self._track is not None and (same or self._away < _PATIENCE):
            self._away = 0 if same else self._away + 1
            return people[same]
        chosen = people.select(self._which)
        if chosen:
            self._track, self._away = chosen[0].track, 0
        return chosen
