"""The names of all operators. Imports no torch.

One line per name: what it names (imported when first used) and what it is.
"""

from __future__ import annotations

from zsir.names.registry import Entry, Registry

OPERATORS = Registry(
    kind="operator",
    group="zsir.operators",
    context=("in_shape",),
    chain="zsir.operators.chains:chain",
    builtin={
        "identity": Entry("zsir.operators.mask:identity", "y = x + noise: denoising"),
        "mask": Entry("zsir.operators.mask:random_mask", "a random share of the pixels is observed"),
        "box": Entry("zsir.operators.mask:box_mask", "a rectangle of pixels is missing"),
        "mask-file": Entry("zsir.operators.mask:file_mask", "pixels that are white in a picture are observed"),
        "blur": Entry("zsir.operators.blurs.blur:gaussian_blur", "Gaussian blur"),
        "uniform": Entry("zsir.operators.blurs.blur:uniform_blur", "box blur"),
        "motion": Entry("zsir.operators.blurs.blur:motion_blur", "straight motion blur"),
        "shake": Entry("zsir.operators.blurs.blur:shake_blur", "blur of a random hand-shake path"),
        "kernel": Entry("zsir.operators.blurs.blur:kernel_blur", "blur with a kernel from a file"),
        "downsample": Entry(
            "zsir.operators.resampling:downsample",
            "reduction by a whole factor, antialiased",
            in_shape="zsir.operators.resampling:picture_shape",
        ),
        "jpeg": Entry("zsir.operators.jpeg.measurement:jpeg", "coding as a JPEG file, by quality or as in a file"),
        "noise": Entry("zsir.operators.chains:noise_stage", "white noise between two stages of a chain"),
    },
    aliases={
        "denoise": "identity",
        **{f"sr{f}x": f"downsample:factor={f}" for f in (2, 3, 4, 8, 16)},
        **{f"sr{f}x-matlab": f"downsample:factor={f},rule=matlab" for f in (2, 3, 4, 8)},
    },
)
