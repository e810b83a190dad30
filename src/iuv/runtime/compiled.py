"""``torch.compile``: the heavy parts as kernels that are generated for the machine."""

from __future__ import annotations

from iuv.modeling.rcnn import RCNN

__all__ = ["compile_parts"]


def compile_parts(model: RCNN) -> RCNN:
    """Have the heavy parts compiled at their first run, in place.

    Sizes of images and numbers of boxes are free, so that nothing is compiled twice; torch keeps
    what it has generated in its own cache on disk.

    Args:
        model: prepared by `iuv.runtime.eager.prepare_eager`.
    """
    for part in (model.trunk, model.box_head, model.decoder, model.dense):
        if part is not None:
            part.compile(dynamic=True)
    return model
