# %% [markdown]
# # Quick start
#
# An observation is $y = A x + \sigma_y n$ with $n \sim \mathcal N(0, I)$. $A$ is known and linear. A *prior* is a
# denoiser $D(x, \sigma) \approx \mathrm E[x_0 \mid x_0 + \sigma n = x]$. A *sampler* combines both in a few calls of
# $D$.
#
# Pictures are float tensors (batch, channels, height, width) in [0, 1]; noise levels are standard deviations on that
# scale.

# %%
from importlib.resources import files
from pprint import pprint

import matplotlib.pyplot as plt
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.metrics import energies, psnr
from zsir.pictures import enlarge, read
from zsir.rng import PictureNoise
from zsir.samplers.initial import initial_estimate


def show(**pictures):
    """Pictures (1, 3, height, width) in a row under their names."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(2.5 * len(pictures), 2.8), dpi=72)
    for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture[0].clamp(0, 1).permute(1, 2, 0))
        axis.set_title(name.replace("_", "-"), fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


truth = read(files("zsir") / "assets" / "demo.png").pixels[..., :176, 80:]
prior = priors.load("photo")  # 2.5 million parameters, inside the package
print(prior)

# %% [markdown]
# ## Four times larger
#
# `sr4x` is a bicubic reduction by four, with Pillow's antialiasing. The pseudo-inverse $A^+ y$ is the picture of
# least norm that explains the data: its residual is 0, and it rings, most at the borders. Four calls of the prior
# give smooth edges without ringing. The feathers are not in the data, and this small prior does not invent them.

# %%
op = operators.make("sr4x", in_shape=truth.shape[1:])
problem = Problem(op.forward(truth), op, noise_std=0.0)
solution = solve(problem, prior, samplers.make("cm4ir", nfe=4), seed=0)

bicubic = enlarge(problem.y, truth.shape[-2:])
show(observation=problem.y, pseudo_inverse=op.pinv(problem.y), restored=solution.x, truth=truth)
for name, x in {"bicubic": bicubic, "pseudo-inverse": op.pinv(problem.y), "restored": solution.x}.items():
    print(f"{name:15s} {psnr(x.clamp(0, 1), truth):6.2f} dB")

# %% [markdown]
# What the run cost, and how well it fits. Without noise the residual is $\lVert A x - y\rVert / \lVert y\rVert$: the
# result explains the data exactly.

# %%
print(solution.stats)
assert solution.stats.nfe == 4
assert solution.stats.residual[0] < 1e-3
assert psnr(solution.x.clamp(0, 1), truth) > psnr(bicubic, truth)

# %% [markdown]
# The same seed gives the same picture, to the last bit, and `provenance` says what is needed to repeat it. A callback
# sees every step: here the estimates of the four calls, from the largest noise level to the smallest.

# %%
seen = []
again = solve(problem, prior, samplers.make("cm4ir", nfe=4), seed=0, callbacks=[seen.append])
assert torch.equal(again.x, solution.x)
assert [event.step for event in seen] == [1, 2, 3, 4]
show(**{f"call {event.step}, sigma {event.sigma:.3f}": event.x0 for event in seen})
pprint(solution.provenance)

# %% [markdown]
# ## What was measured, what was imagined
#
# $P = A^+ A$ projects onto what the operator sees. The rest, $(I - P) x$, leaves no trace in $y$: whatever is there
# comes from the prior. `energies` gives the mean square of both parts.

# %%
picture, original = energies(op, solution.x), energies(op, truth)
error = energies(op, solution.x - truth)
print(f"energy outside the data: restored {picture.free[0]:.1e}, truth {original.free[0]:.1e}")
print(f"error: {error.determined[0]:.1e} inside the data, {error.free[0]:.1e} outside")
assert error.determined[0] < 1e-3 * error.free[0]  # all of the error is in what the data do not tell
assert 0 < picture.free[0] < original.free[0]  # the prior is careful: it adds less detail than there was

# %% [markdown]
# ## Blur with noise, and missing pixels
#
# The same three parts. With noise the residual is measured in units of the noise, $\lVert A x - y\rVert / (\sigma_y
# \sqrt m)$: near 1 for a picture that fits as well as the noise allows, far below 1 for one that fits the noise.

# %%
noise = 5 / 255
blur = operators.make("blur:sigma=3", in_shape=truth.shape[1:])
blurred = blur.forward(truth)
blurred = blurred + noise * PictureNoise(0, [0], "observation").randn_like(blurred)
blurry = Problem(blurred, blur, noise)
deblurred = solve(blurry, prior, samplers.make("cm4ir", nfe=4))

mask = operators.make("mask:keep=0.3", in_shape=truth.shape[1:])
holes = Problem(mask.forward(truth), mask)
filled = solve(holes, prior, samplers.make("hqs", nfe=8))

show(blurred=blurred, deblurred=deblurred.x, holes=holes.y, filled=filled.x)
print(f"deblurred {psnr(deblurred.x.clamp(0, 1), truth):.2f} dB, residual {deblurred.stats.residual[0]:.2f}")
by_median = initial_estimate(holes)  # every hole takes the median of its neighbours
print(f"filled    {psnr(filled.x.clamp(0, 1), truth):.2f} dB, by medians {psnr(by_median, truth):.2f} dB")
assert 0.8 < deblurred.stats.residual[0] < 1.2
assert psnr(deblurred.x.clamp(0, 1), truth) > psnr(blurred.clamp(0, 1), truth) + 1
assert psnr(filled.x.clamp(0, 1), truth) > psnr(by_median, truth) + 0.5

# %% [markdown]
# Other operators, samplers and priors: `zsir list ops`, `zsir list samplers`, `zsir list priors`, and
# `zsir describe NAME`.
