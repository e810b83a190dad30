"""Synthetic people with exact I, U and V: bodies, clothes, scenes, pictures.

What other code begins with (docs/synthetic-data.md has examples):

- `dataset.Recipe`, `dataset.Sample`: one picture with its ground truth, from a seed and a number;
- `dataset.SampleWriter`, `production.produce`: a folder of them, by several processes;
- `user_body.UserBody`, `backgrounds.Backgrounds`: the user's own mesh and photos in a recipe;
- `person.sample_person`, `scene.sample_scene`, `render.render`: the same in three steps.
"""
