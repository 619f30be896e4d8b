"""The names of all operators. Imports no torch.

One line per name: what it names (imported when first used) and what it is.
"""

from __future__ import annotations

from zsir.names.registry import Entry, Registry

_BLURS = "zsir.operators.blurs.blur:{}"

OPERATORS = Registry(
    kind="operator",
    group="zsir.operators",
    context=("in_shape",),
    chain="zsir.operators.chains:chain",
    builtin={
        "identity": Entry("zsir.operators.mask:identity", "y = x + noise: denoising"),
        "mask": Entry("zsir.operators.mask:random_mask", "a random share of the pixels is observed"),
        "box": Entry("zsir.operators.mask:box_mask", "a rectangle of pixels is missing"),
        "mask-file": Entry("zsir.operators.painted:file_mask", "pixels that are white in a picture are observed"),
        "scratches": Entry("zsir.operators.painted:scratches", "pure white or black damage, found in the picture"),
        "crop": Entry(
            "zsir.operators.sizes.window:crop",
            "a window of the picture is observed",
            in_shape="zsir.operators.sizes.window:surroundings",
        ),
        "blur": Entry(
            _BLURS.format("gaussian_blur"),
            "Gaussian blur, or another power of its fall",
            _BLURS.format("gaussian_shape"),
        ),
        "uniform": Entry(_BLURS.format("uniform_blur"), "box blur", _BLURS.format("uniform_shape")),
        "disc": Entry(_BLURS.format("disc_blur"), "blur of a lens out of focus", _BLURS.format("disc_shape")),
        "sinc": Entry(_BLURS.format("sinc_blur"), "low pass with a sharp end", _BLURS.format("sinc_shape")),
        "motion": Entry(_BLURS.format("motion_blur"), "straight motion blur", _BLURS.format("motion_shape")),
        "shake": Entry(_BLURS.format("shake_blur"), "blur of a random hand-shake path", _BLURS.format("shake_shape")),
        "kernel": Entry(_BLURS.format("kernel_blur"), "blur with a kernel from a file", _BLURS.format("kernel_shape")),
        "downsample": Entry(
            "zsir.operators.resampling:downsample",
            "reduction by a whole factor, antialiased",
            in_shape="zsir.operators.resampling:picture_shape",
        ),
        "jpeg": Entry("zsir.operators.jpeg.measurement:jpeg", "coding as a JPEG file, by quality or as in a file"),
        "noise": Entry("zsir.operators.chains:noise_stage", "white noise between two stages of a chain"),
        "resize": Entry(
            "zsir.operators.sizes.resizing:resize",
            "to any size, by the rule of Pillow, OpenCV, MATLAB or torch",
            in_shape="zsir.operators.sizes.resizing:picture_shape",
        ),
        "stride": Entry(
            "zsir.operators.sizes.striding:stride",
            "every k-th pixel; after a blur, a reduction",
            in_shape="zsir.operators.resampling:picture_shape",
        ),
        "grey": Entry(
            "zsir.operators.colours:grey",
            "a grey picture of a colour picture",
            in_shape="zsir.operators.colours:colour_shape",
        ),
        "channels": Entry(
            "zsir.operators.colours:channels",
            "channels mixed by a matrix",
            in_shape="zsir.operators.colours:unmixed_shape",
        ),
        "mosaic": Entry(
            "zsir.operators.colours:mosaic",
            "one colour of each pixel, as under a Bayer filter",
            in_shape="zsir.operators.colours:colour_shape",
        ),
        "wild": Entry(
            "zsir.operators.wild.traced:wild",
            "random chain of blurs, resizing, noise and JPEG, as published; for zsir degrade",
            in_shape="zsir.operators.wild.traced:wild_picture_shape",
        ),
        "trace": Entry(
            "zsir.operators.wild.traced:traced",
            "what zsir degrade --trace wrote down",
            in_shape="zsir.operators.wild.traced:traced_picture_shape",
        ),
    },
    aliases={
        "denoise": "identity",
        **{f"sr{f}x": f"downsample:factor={f}" for f in (2, 3, 4, 8, 16)},
        **{f"sr{f}x-matlab": f"downsample:factor={f},rule=matlab" for f in (2, 3, 4, 8)},
    },
)
