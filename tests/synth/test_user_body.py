"""Users' own meshes: read alike from OBJ and glTF, posed with a rig, refused with reasons."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from iuv.synth.body import body_template
from iuv.synth.dataset import Recipe
from iuv.synth.mesh import ChartedMesh, SurfaceError, open_edges
from iuv.synth.mesh_files import part_named, read_mesh
from iuv.synth.person import rest_body
from iuv.synth.shapes import Shape
from iuv.synth.skeleton import JOINT_NAMES, PARENTS, REST_JOINTS
from iuv.synth.symmetry import mesh_symmetry
from iuv.synth.user_body import UserBody
from mesh_writing import write_glb, write_obj

MIXAMO = {
    "pelvis": "Hips", "spine": "Spine", "chest": "Spine2", "shoulder": "Arm", "elbow": "ForeArm",
    "wrist": "Hand", "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "toes": "ToeBase",
    "clavicle": "Shoulder",
}  # fmt: skip


def mixamo(name):
    side, _, limb = name.partition("_")
    word = MIXAMO.get(limb or name, (limb or name).title())
    return f"mixamorig:{side.title() if limb else ''}{word}"


def glb(text, binary=b""):
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


@pytest.fixture(scope="module")
def body():
    return rest_body(Shape(height=1.8))


@pytest.fixture(scope="module")
def box():
    """A block with a part on each side."""
    corners = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (0, 1.8) for z in (-0.1, 0.1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    square = [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]
    return ChartedMesh(
        vertices=corners,
        faces=np.array(faces, np.int32),
        face_part=np.repeat(np.array([11, 12, 5, 24, 1, 2], np.uint8), 2),
        corner_uv=np.tile(np.array(square, np.float32), (6, 1, 1)),
        rest=corners.astype(np.float32),
        face_material=np.zeros(12, np.uint8),
    )


@pytest.fixture(scope="module")
def rig():
    names = [mixamo(name) for name in JOINT_NAMES]
    return names, list(PARENTS), REST_JOINTS * 1.8, body_template().weights.toarray()


def test_obj_and_glb_hold_the_same(tmp_path, box):
    write_obj(tmp_path / "a.obj", box)
    write_glb(tmp_path / "b.glb", box)
    for name in ("a.obj", "b.glb"):
        mesh = read_mesh(tmp_path / name).mesh
        assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)
        assert len(open_edges(mesh.faces)) == 0
        for part in (1, 2, 5, 11, 12, 24):
            own, expected = mesh.face_part == part, box.face_part == part
            assert mesh.vertices[mesh.faces[own]].mean(axis=(0, 1)) == pytest.approx(
                box.vertices[box.faces[expected]].mean(axis=(0, 1)), abs=1e-6
            )
            found = mesh.corner_uv[own].mean(axis=(0, 1))
            assert found == pytest.approx(box.corner_uv[expected].mean(axis=(0, 1)), abs=1e-5)


def test_a_mesh_without_a_rig_stands_as_it_is(tmp_path, body):
    write_glb(tmp_path / "a.glb", body)
    source = UserBody(tmp_path / "a.glb")
    assert not source.has_rig
    assert len(source.mesh.vertices) == len(body.vertices)
    one, other = (source(np.random.Generator(np.random.PCG64(seed))) for seed in (1, 2))
    np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)
    assert one.palette != other.palette
    # told from the charts
    for index, joint in ((9, "left_wrist"), (14, "right_knee"), (16, "right_ankle")):
        expected = REST_JOINTS[JOINT_NAMES.index(joint)] * 1.8
        assert one.keypoints[index] == pytest.approx(expected, abs=0.06)
    assert one.keypoints[0, 1] == pytest.approx(0.914 * 1.8, abs=0.03)


def test_a_mesh_with_a_rig_is_posed(tmp_path, body, rig):
    write_glb(tmp_path / "a.glb", body, rig)
    source = UserBody(tmp_path / "a.glb")
    assert source.has_rig
    people = [source(np.random.Generator(np.random.PCG64(seed))) for seed in range(6)]
    assert len({p.mesh.vertices.tobytes() for p in people}) == 6
    for person in people:
        assert person.mesh.vertices[:, 1].min() == 0
        upper = np.linalg.norm(person.keypoints[5] - person.keypoints[7])
        assert upper == pytest.approx(0.144 * 1.8, rel=0.03)  # bones keep their length


def test_a_rig_must_have_the_joints_that_poses_need(tmp_path, body, rig):
    names = [name.replace("LeftLeg", "Bone7") for name in rig[0]]
    write_glb(tmp_path / "a.glb", body, (names, *rig[1:]))
    with pytest.raises(SurfaceError, match="the rig has no joint for left_knee"):
        UserBody(tmp_path / "a.glb")


@pytest.mark.parametrize(
    ("name", "part"),
    [("part_7", 7), ("Part 24", 24), ("11", 11), ("left_foot", 5), ("Right-Hand", 3), ("part_0", 0),
     ("part_25", 0), ("skin", 0), ("", 0), ("model12", 0)],
)  # fmt: skip
def test_parts_are_told_by_name(name, part):
    assert part_named(name) == part


def test_names_that_mean_parts_which_do_not_exist(tmp_path, box):
    write_obj(tmp_path / "a.obj", box, named="part_{}")
    text = (tmp_path / "a.obj").read_text()
    (tmp_path / "a.obj").write_text(text.replace("part_24", "part_25"))
    with pytest.raises(SurfaceError, match=r"'part_25' is no part: they are numbered 1\.\.24"):
        read_mesh(tmp_path / "a.obj")


def changed(path, change):
    """A GLB, after a change of its JSON."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    change(document)
    path.write_bytes(glb(json.dumps(document).encode(), data[28 + length :]))
    return path


def test_a_mirrored_node_is_turned_inside_out_by_that(tmp_path, box):
    """As glTF has it."""
    write_glb(tmp_path / "a.glb", box)
    plain = read_mesh(tmp_path / "a.glb").mesh

    def mirror(document):
        (node,) = (node for node in document["nodes"] if "mesh" in node)
        node["scale"] = [-1, 1, 1]

    mesh = read_mesh(changed(tmp_path / "a.glb", mirror)).mesh
    places = [m.vertices[m.faces].mean(axis=1).round(6).tolist() for m in (plain, mesh)]
    np.testing.assert_allclose(sorted([-x, y, z] for x, y, z in places[0]), sorted(places[1]))


@pytest.mark.parametrize("name", [None, 5])
def test_joints_without_a_name(tmp_path, body, rig, name):
    write_glb(tmp_path / "a.glb", body, rig)

    def rename(document):
        for node in document["nodes"]:
            if "LeftLeg" in node.get("name", ""):
                node["name"] = name

    with pytest.raises(SurfaceError, match="the rig has no joint for left_knee"):
        UserBody(changed(tmp_path / "a.glb", rename))


def test_a_rig_far_from_the_body(tmp_path, body, rig):
    joints = rig[2].copy()
    joints[JOINT_NAMES.index("left_knee")] += (0, 0, 1000)
    write_glb(tmp_path / "a.glb", body, (*rig[:2], joints, rig[3]))
    with pytest.raises(SurfaceError, match=r"the left_knee of the rig is at \[.*far from the body"):
        UserBody(tmp_path / "a.glb")


def test_data_sets_tell_rigs_apart(tmp_path, body, rig):
    other = rig[3][:, ::-1]
    settings = []
    for name, rigged in (("a", None), ("b", rig), ("c", (*rig[:3], other)), ("d", rig)):
        write_glb(tmp_path / f"{name}.glb", body, rigged)
        source = UserBody(tmp_path / f"{name}.glb")
        settings.append(Recipe(people=source, surface=source.mesh).settings()["body"])
    assert len(set(settings)) == 3
    assert settings[1] == settings[3]


def test_a_mesh_far_from_the_origin(tmp_path, box):
    write_obj(tmp_path / "a.obj", replace(box, vertices=box.vertices + np.array([1e6, 5, -300])))
    mesh = read_mesh(tmp_path / "a.obj").mesh
    assert mesh.vertices.min(axis=0) == pytest.approx([-0.2, 0, -0.1], abs=1e-6)


def test_a_byte_order_mark(tmp_path, box):
    write_obj(tmp_path / "a.obj", box)
    plain = read_mesh(tmp_path / "a.obj").mesh
    (tmp_path / "a.obj").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.obj").read_bytes())
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").mesh.vertices, plain.vertices)


def test_parts_that_were_never_unwrapped(tmp_path, box):
    write_obj(tmp_path / "a.obj", replace(box, corner_uv=np.zeros_like(box.corner_uv)))
    with pytest.raises(SurfaceError, match="U and V of part 1 are the same everywhere; unwrap it"):
        read_mesh(tmp_path / "a.obj")


def test_holes_are_refused(tmp_path, box):
    keep = np.arange(len(box.faces)) != 5
    holed = replace(
        box, faces=box.faces[keep], face_part=box.face_part[keep],
        corner_uv=box.corner_uv[keep], face_material=box.face_material[keep],
    )  # fmt: skip
    write_obj(tmp_path / "a.obj", holed)
    with pytest.raises(SurfaceError, match=r"must be watertight.*but 3 edges.*fill holes"):
        read_mesh(tmp_path / "a.obj")


def test_meshes_without_charts_are_refused(tmp_path, box):
    write_obj(tmp_path / "names.obj", box, named="skin{}x")
    with pytest.raises(SurfaceError, match="charts are missing: no material or group is named"):
        read_mesh(tmp_path / "names.obj")
    write_obj(tmp_path / "uv.obj", box, charts=False)
    with pytest.raises(SurfaceError, match=r"charts are missing: .* have no texture coordinates"):
        read_mesh(tmp_path / "uv.obj")


def test_wrong_units_and_coordinates_are_refused(tmp_path, box):
    write_obj(tmp_path / "cm.obj", replace(box, vertices=box.vertices * 100))
    with pytest.raises(SurfaceError, match=r"0.4..3 m tall along y, got 180"):
        read_mesh(tmp_path / "cm.obj")
    write_obj(tmp_path / "up.obj", replace(box, vertices=box.vertices[:, [1, 2, 0]]))
    with pytest.raises(SurfaceError, match=r"got 0.2 \(x, y, z: 1.8 x 0.2 x 0.4\); .* y up"):
        read_mesh(tmp_path / "up.obj")
    # in kilometres, neighbours are the same to six decimals: that must not be called a hole
    write_obj(tmp_path / "km.obj", replace(box, vertices=box.vertices * 4e-6))
    with pytest.raises(SurfaceError, match=r"3 m tall along y, got 7e-06"):
        read_mesh(tmp_path / "km.obj")
    write_obj(tmp_path / "uv.obj", replace(box, corner_uv=box.corner_uv * 2))
    with pytest.raises(SurfaceError, match=r"U and V must lie in 0..1"):
        read_mesh(tmp_path / "uv.obj")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", b"", "expected a mesh in a file .obj or .glb, got '.stl'"),
        ("a.glb", b"glTX" + bytes(40), "is no binary glTF file"),
        ("a.obj", b"# nothing\n", "there is no triangle in it"),
        ("b.obj", b"v 0 0 0\nf 1 2 3\n", "a face names '2', which is not there"),
        ("c.obj", b"v 0 zero 0\n", "the file is damaged or of another format"),
        ("d.obj", b"v 0 0\n", "expected 3 numbers in the line 'v 0 0'; save the file again"),
        ("list.glb", glb(b"[]"), r"damaged or of another format \(AttributeError: .*save it again"),
        ("deep.glb", glb(b"[" * 99999), r"damaged or of another format \(RecursionError"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SurfaceError, match=message):
        read_mesh(tmp_path / name)
    with pytest.raises(SurfaceError, match=r"no such file|expected a mesh"):
        read_mesh(tmp_path / "missing" / name)


def test_obj_as_others_write_it(tmp_path, box):
    """Tabs, polygons, indices from the end, lines that go on, vertices that nothing uses."""
    path = tmp_path / "a.obj"
    write_obj(path, box)
    lines = path.read_text().splitlines()
    texture = [line for line in lines if line[:3] == "vt "]
    square = ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    own = ["v 0 90 0"]  # far away
    for start in range(0, 12, 2):
        own.append(f"usemtl part_{box.face_part[start]}")
        (a, b, c), (_, _, d) = box.faces[start : start + 2].tolist()
        corners = [f"{v - 9}/{t - 4}" for t, v in enumerate((a, b, c, d))]
        own.append("f\t" + " ".join(corners[:2]) + " \\\n" + " ".join(corners[2:]))
    vertices = [line.replace(" ", "\t") for line in lines if line[:2] == "v "]
    (tmp_path / "b.obj").write_text("\n".join([*vertices, *square, *own]), newline="\r\n")
    found, expected = (read_mesh(tmp_path / name).mesh for name in ("b.obj", "a.obj"))
    assert len(texture) == 36
    np.testing.assert_array_equal(found.vertices, expected.vertices)
    for name in ("faces", "face_part", "corner_uv"):
        order = [np.lexsort((m.faces[:, 1], m.faces[:, 0])) for m in (found, expected)]
        np.testing.assert_array_equal(
            getattr(found, name)[order[0]], getattr(expected, name)[order[1]]
        )


def test_what_is_in_no_chart_needs_no_coordinates(tmp_path, box):
    write_obj(tmp_path / "a.obj", box)
    text = (tmp_path / "a.obj").read_text()
    head, _, tail = text.partition("usemtl part_24")
    hat, _, rest = tail.partition("usemtl")
    hat = "\n".join(" ".join(w.split("/")[0] for w in line.split()) for line in hat.splitlines())
    tail = f"usemtl\n{hat}" + (f"\nusemtl{rest}" if rest else "")
    (tmp_path / "a.obj").write_text(head + tail)
    mesh = read_mesh(tmp_path / "a.obj").mesh
    assert sorted(set(mesh.face_part.tolist())) == [0, 1, 2, 5, 11, 12]
    assert (mesh.corner_uv[mesh.face_part == 0] == 0).all()


def ball_beside(mesh: ChartedMesh, x: float) -> ChartedMesh:
    """A mesh, and a small one without charts, at another place."""
    far = mesh.vertices * 0.1 + (x, 1, 0)
    return ChartedMesh(
        vertices=np.concatenate([mesh.vertices, far]),
        faces=np.concatenate([mesh.faces, mesh.faces + len(far)]),
        face_part=np.concatenate([mesh.face_part, 0 * mesh.face_part]),
        corner_uv=np.concatenate([mesh.corner_uv] * 2),
        rest=np.concatenate([mesh.rest] * 2),
        face_material=np.concatenate([mesh.face_material] * 2),
    )


def test_what_lies_around_is_refused(tmp_path, box):
    """People would be made of both, and neither would be in the picture."""
    write_obj(tmp_path / "held.obj", ball_beside(box, 1.0))
    assert len(read_mesh(tmp_path / "held.obj").mesh.vertices) == 16
    write_obj(tmp_path / "far.obj", ball_beside(box, 30.0))
    with pytest.raises(SurfaceError, match=r"one person, .*: 30.2 x 1.8 x 0.2\); remove what"):
        read_mesh(tmp_path / "far.obj")


def test_what_is_held_in_one_hand_moves_no_mirror(body):
    alone, holding = mesh_symmetry(body), mesh_symmetry(ball_beside(body, 2.0))
    np.testing.assert_array_equal(holding.u, alone.u)
    np.testing.assert_array_equal(holding.v, alone.v)


def test_inside_out_is_refused(tmp_path, box):
    write_obj(tmp_path / "a.obj", replace(box, faces=np.ascontiguousarray(box.faces[:, ::-1])))
    with pytest.raises(SurfaceError, match="is inside out; flip its normals"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("unbound", r"507 of \d+ vertices are not bound to any joint .* give them weights"),
        ("weights", "a weight that is negative or not finite; bind it again"),
        ("joints", r"must say where each of its \d+ joints is, but does not"),
        ("one place", "left shoulder and elbow of the rig are 0 m apart, of a person of 1.8 m"),
        ("centimetres", r"elbow of the rig are 26 m apart.* rig of its own size"),
    ],
)
def test_rigs_that_nobody_can_pose(tmp_path, body, rig, damage, message):
    names, parents, places, weights = rig
    if damage == "weights":
        weights = np.where(weights > 0.9, np.inf, weights)
    places = places * {"joints": np.nan, "one place": 0, "centimetres": 100}.get(damage, 1)
    write_glb(tmp_path / "a.glb", body, (names, parents, places, weights))
    if damage == "unbound":
        data = (tmp_path / "a.glb").read_bytes()
        (length,) = struct.unpack_from("<I", data, 12)
        document = json.loads(data[20 : 20 + length])
        for name in ("JOINTS_0", "WEIGHTS_0"):
            del document["meshes"][0]["primitives"][0]["attributes"][name]
        (tmp_path / "a.glb").write_bytes(glb(json.dumps(document).encode(), data[28 + length :]))
    with pytest.raises(SurfaceError, match=message):
        UserBody(tmp_path / "a.glb")
