"""Make the weights in the package of those of a run: in half precision, and easy to compress.

    python docs/zoo/round_weights.py run/model_final_average.safetensors OUT.safetensors

Filters and matrices keep five significant bits, so that the wheel and git store the file in
60 % of its size; biases and norms are not rounded, as in all files in half precision.
"""

import argparse
from pathlib import Path

import torch

from iuv.checkpoint import read_config, read_state, save_weights

BITS = 5


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight of any shape, each number rounded to `BITS` significant bits."""
    mantissa, exponent = torch.frexp(weight)  # 0.5 <= |mantissa| < 1
    return torch.ldexp(torch.round(mantissa * 2**BITS) / 2**BITS, exponent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path, help="of `iuv train`")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    config = read_config(args.weights)
    if config is None:
        parser.error(f"{args.weights}: does not say of which model; give a file of iuv train")
    state = {name: rounded(w) if w.ndim > 1 else w for name, w in read_state(args.weights).items()}
    save_weights(state, config, args.out, half=True)


if __name__ == "__main__":
    main()
