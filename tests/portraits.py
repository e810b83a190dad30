"""Scenes that are quick to learn from: somebody alone, whole, standing or walking, from the front.

The scenes of `iuv synth` have what makes photos hard: crowds, things in front of people, close-ups,
backs, blur. Here chance has the clothes, colours, poses, places and light only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from iuv.synth.actions import ACTIONS
from iuv.synth.camera import rotate, rotation
from iuv.synth.clothes import sample_outfit
from iuv.synth.effects import Effects
from iuv.synth.lighting import sample_lighting
from iuv.synth.person import Person3D, make_person, sample_palette
from iuv.synth.placement import Shot, aimed
from iuv.synth.places import sample_indoors, sample_outdoors, sample_studio
from iuv.synth.scene import Actor, Scene
from iuv.synth.shapes import AVERAGE

__all__ = ["sample_portrait"]

PLACES = (sample_indoors, sample_outdoors, sample_studio)


def sample_portrait(
    rng: np.random.Generator, _people_source: object, size: tuple[int, int], _backgrounds: object
) -> Scene:
    """A scene of one, in place of `iuv.synth.scene.sample_scene`."""
    actor = turned(sample_somebody(rng), rng.uniform(-30, 30))
    vertices = actor.mesh.vertices
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    shot = Shot(
        people=1,
        tall=rng.uniform(0.6, 0.9),
        anchor=0.5,
        target=(rng.uniform(0.3, 0.7), rng.uniform(0.47, 0.53)),
        view=rng.uniform(30, 50),
        pitch=rng.uniform(0, 8),
        roll=0.0,
    )
    camera = aimed(shot, size, (low + high) / 2, float((high - low).max()), vertices.T)
    sample_place = PLACES[int(rng.integers(len(PLACES)))]
    return Scene(
        camera=camera,
        people=(actor,),
        props=(),
        backdrop=sample_place(rng, camera, 3.0, 1.0),
        lighting=sample_lighting(rng, outdoors=False),
        effects=Effects(),
    )


def sample_somebody(rng: np.random.Generator) -> Person3D:
    """An adult of average shape, in any clothes."""
    sample_pose, _ = ACTIONS["stand" if rng.random() < 0.5 else "walk"]
    outfit = sample_outfit(rng, female=0.0, child=0.0)
    return make_person(AVERAGE, outfit, sample_palette(rng, outfit.materials()), sample_pose(rng))


def turned(person: Person3D, yaw: float) -> Actor:
    """The person as somebody in a scene, turned about the upright axis by degrees."""

    def turn(points: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(rotate(rotation(yaw), points.T).T)

    return Actor(
        mesh=replace(person.mesh, vertices=turn(person.mesh.vertices)),
        palette=person.palette,
        joints=turn(person.joints),
        keypoints=turn(person.keypoints),
    )
