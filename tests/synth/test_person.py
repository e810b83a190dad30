"""People: whole, in their clothes, on the ground, and the same for the same seed."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iuv.bodyparts import PART_MIRROR
from iuv.evaluation.meshes import mesh_surface
from iuv.synth.actions import ACTIONS, sample_pose
from iuv.synth.mesh import ChartedMesh, Material, SurfaceError, open_edges
from iuv.synth.person import rest_body, sample_person
from iuv.synth.poses import Arm, Leg, Pose, Trunk, rotations
from iuv.synth.shapes import Shape, sample_shape
from iuv.synth.skeleton import JOINT_NAMES, MIRROR_JOINTS, PARENTS
from older_machine import older_machine


def rng_of(seed):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def people():
    return [sample_person(rng_of(seed)) for seed in range(24)]


def digest(person):
    sha = hashlib.sha256()
    for array in (person.mesh.vertices, person.mesh.faces, person.mesh.corner_uv, person.joints):
        sha.update(np.ascontiguousarray(array).tobytes())
    sha.update(repr(sorted(person.palette.items())).encode())
    return sha.hexdigest()


def test_the_same_seed_makes_the_same_person(people):
    assert digest(sample_person(rng_of(3))) == digest(people[3])
    assert len({digest(person) for person in people}) == len(people)


def test_people_stand_on_the_ground_and_are_finite(people):
    for person in people:
        vertices = person.mesh.vertices
        assert np.isfinite(vertices).all()
        assert vertices[:, 1].min() == 0
        assert 0.2 < np.ptp(vertices, axis=0).max() < 2.7
        assert person.joints[0, [0, 2]] == pytest.approx(0)


def test_people_are_watertight_whatever_they_wear(people):
    for person in people:
        assert len(open_edges(person.mesh.faces)) == 0, person.pose.name


def test_vertices_lie_on_a_grid_so_that_rounding_does_not_show(people):
    scaled = people[0].mesh.vertices * 2**16
    np.testing.assert_array_equal(scaled, np.round(scaled))


def test_every_material_has_a_look(people):
    for person in people:
        assert set(np.unique(person.mesh.face_material).tolist()) <= set(person.palette)


def test_all_parts_are_there(people):
    for person in people:
        assert set(np.unique(person.mesh.face_part)) == set(range(1, 25))


def test_people_differ_in_clothes_and_poses(people):
    worn = {Material(m) for p in people for m in np.unique(p.mesh.face_material).tolist()}
    assert worn >= {Material.SKIN, Material.HAIR, Material.TOP, Material.BOTTOM, Material.SHOE}
    assert len({person.pose.name for person in people}) >= 5


def test_keypoints_lie_at_the_parts_they_name(people):
    near = {
        0: (23, 24), 1: (24,), 2: (23,), 3: (24,), 4: (23,),
        5: (15, 17, 2, 1), 6: (16, 18, 2, 1), 7: (15, 17, 19, 21), 8: (16, 18, 20, 22),
        9: (4, 19, 21), 10: (3, 20, 22), 13: (10, 8, 12, 14), 14: (9, 7, 11, 13),
        15: (5, 12, 14), 16: (6, 11, 13),
    }  # fmt: skip
    for person in people:
        mesh, height = person.mesh, person.shape.height
        assert person.keypoints.shape == (17, 3)
        for index, parts in near.items():
            own = np.unique(mesh.faces[np.isin(mesh.face_part, parts)])
            far = np.linalg.norm(mesh.vertices[own] - person.keypoints[index], axis=1).min()
            assert far < 0.07 * height, (index, person.pose.name)


def test_a_head_looks_forward():
    body = rest_body()
    assert len(body.chart_vertices().parts) > len(body.vertices)
    nose = body.vertices[np.unique(body.faces[np.isin(body.face_part, (23, 24))])]
    front = nose[nose[:, 2].argmax()]
    assert abs(front[0]) < 0.01
    assert 0.90 < front[1] / 1.70 < 0.93


def test_bodies_have_the_height_they_are_asked_for():
    for shape in (
        Shape(height=1.9, legs=1.1),
        Shape(height=1.0, child=1.0),
        Shape(female=1, heavy=1),
    ):
        assert np.ptp(rest_body(shape).vertices[:, 1]) == pytest.approx(shape.height, rel=0.012)


def test_builds_differ_where_they_should():
    def girth(shape, low, high, axis):
        body = rest_body(shape)
        torso = np.unique(body.faces[np.isin(body.face_part, (1, 2))])
        points = body.vertices[torso] / shape.height
        return np.ptp(points[(points[:, 1] > low) & (points[:, 1] < high), axis])

    waist = {h: girth(Shape(heavy=h), 0.58, 0.64, 2) for h in (-1, 0, 1)}
    assert waist[-1] < waist[0] < waist[1]
    woman, man = Shape(female=1), Shape(female=-1)
    assert girth(woman, 0.58, 0.64, 0) < girth(man, 0.58, 0.64, 0)
    assert girth(woman, 0.72, 0.77, 2) > girth(man, 0.72, 0.77, 2)


def test_children_have_larger_heads_and_shorter_legs():
    def share(shape, parts):
        body = rest_body(shape)
        return (
            np.ptp(body.vertices[np.unique(body.faces[np.isin(body.face_part, parts)]), 1])
            / shape.height
        )

    adult, child = Shape(height=1.7), Shape(height=1.0, child=1.0)
    assert share(child, (23, 24)) > 1.2 * share(adult, (23, 24))
    assert share(child, (8, 10, 12, 14)) < 0.95 * share(adult, (8, 10, 12, 14))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 3.0}, "height must lie in 0.5..2.5, got 3"),
        ({"child": -1}, "child must lie in 0..1"),
    ],
)
def test_impossible_shapes_are_refused(values, message):
    with pytest.raises(SurfaceError, match=message):
        Shape(**values)


def test_shapes_are_sampled_within_their_ranges():
    shapes = [sample_shape(rng_of(seed)) for seed in range(300)]
    assert 0.05 < np.mean([shape.child > 0 for shape in shapes]) < 0.25
    assert np.mean([s.height for s in shapes if s.child == 0]) == pytest.approx(1.69, abs=0.03)


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_stays_within_the_joints_limits(name):
    for seed in range(40):
        ACTIONS[name][0](rng_of(seed))  # a pose outside raises


def test_poses_are_sampled_by_their_shares():
    names = [sample_pose(rng_of(seed)).name for seed in range(400)]
    assert set(names) == set(ACTIONS)
    assert names.count("stand") > names.count("run")


def test_impossible_poses_are_refused():
    with pytest.raises(SurfaceError, match=r"knee of a leg must lie in 0..145 degrees, got -5"):
        Pose(left_leg=Leg(knee=-5))


def test_the_skeleton_has_enough_joints_and_a_mirror_image():
    assert len(JOINT_NAMES) >= 20
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert [MIRROR_JOINTS[j] for j in MIRROR_JOINTS] == list(range(len(JOINT_NAMES)))


def test_mirrored_poses_are_mirror_images():
    left, right = Arm(lower=30, elbow=70, roll=20), Arm(lower=80, swing=40)
    pose = Pose(left_arm=left, right_arm=right, left_leg=Leg(flex=50, knee=20))
    mirrored = replace(
        pose, left_arm=right, right_arm=left, left_leg=Leg(), right_leg=pose.left_leg
    )
    flip = np.array([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    expected = rotations(pose)[list(MIRROR_JOINTS)] * flip
    assert rotations(mirrored) == pytest.approx(expected, abs=1e-5)


def test_limbs_move_as_named():
    from iuv.synth.clothes import sample_outfit
    from iuv.synth.person import make_person, sample_palette

    def keypoints(pose):
        outfit = sample_outfit(rng_of(0), female=0.0, child=0.0)
        return make_person(Shape(), outfit, sample_palette(rng_of(0)), pose).keypoints

    hanging = keypoints(Pose())
    assert hanging[9, 1] < hanging[7, 1] < hanging[5, 1]  # wrist below elbow below shoulder
    assert hanging[9, 0] > 0 > hanging[10, 0]  # the left hand at the subject's left
    raised = keypoints(Pose(right_arm=Arm(lower=-60)))
    assert raised[10, 1] > raised[0, 1]  # the right wrist above the nose
    forward = keypoints(Pose(left_arm=Arm(swing=80)))
    assert forward[9, 2] > hanging[9, 2] + 0.3
    sitting = keypoints(Pose(left_leg=Leg(flex=90, knee=90), right_leg=Leg(flex=90, knee=90)))
    assert sitting[13, 2] > sitting[11, 2] + 0.3  # knees before hips
    bent = keypoints(Pose(trunk=Trunk(bend=60)))
    assert bent[0, 2] > hanging[0, 2] + 0.2
    lying = keypoints(Pose(pitch=-90))
    assert np.ptp(lying[:, 1]) < 0.6


def test_clothes_cover_what_they_should(people):
    for person in people:
        mesh = person.mesh
        torso = mesh.face_material[np.isin(mesh.face_part, (1, 2))]
        if Material.TOP in torso:
            assert np.isin(torso, (Material.TOP, Material.JACKET)).mean() > 0.3
        face = np.isin(mesh.face_part, (23, 24)) & (mesh.rest[mesh.faces[:, 0], 2] > 0.06)
        assert (mesh.face_material[face] == Material.SKIN).any()


def test_distances_on_the_body_can_be_asked_for():
    body = rest_body()
    charts = body.chart_vertices()
    surface = mesh_surface(body.vertices, body.faces, parts=charts.parts, u=charts.u, v=charts.v,
                           vertices=charts.vertices)  # fmt: skip
    hands = surface.nearest(np.array([4, 3]), np.array([0.4, 0.6]), np.array([0.9, 0.9]))
    nose = surface.nearest(np.array([24]), np.array([0.0]), np.array([0.49]))
    between = surface.geodesics.distances(hands[:1], hands[1:])[0]
    assert 1.5 < between < 2.1  # fingertips of a T: about the height
    left, right = (surface.geodesics.distances(nose, hands[k : k + 1])[0] for k in range(2))
    assert left == pytest.approx(right, rel=0.01)


def test_meshes_are_checked():
    body = rest_body()
    with pytest.raises(SurfaceError, match=r"faces must name vertices 0..\d+, but they name"):
        replace(body, faces=body.faces + 1)
    with pytest.raises(SurfaceError, match=r"parts must lie in 0..24, got 25"):
        replace(body, face_part=np.full(len(body.faces), 25, np.uint8))
    with pytest.raises(SurfaceError, match="vertices must be float64"):
        replace(body, vertices=body.vertices.astype(np.float32))
    assert isinstance(body, ChartedMesh)
    assert PART_MIRROR[5] == 6


@pytest.mark.slow
def test_another_process_on_an_older_machine_makes_the_same_people(people):
    code = (
        "from test_person import digest, rng_of, sample_person\n"
        "print(*(digest(sample_person(rng_of(seed))) for seed in range(6)))"
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7", **older_machine()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [digest(person) for person in people[:6]]
