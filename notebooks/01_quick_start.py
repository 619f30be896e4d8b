# %% [markdown]
# # Quick start
#
# An observation is $y = A x + \sigma_y n$ with $n \sim \mathcal N(0, I)$. $A$ is known and linear. A *prior* is a
# denoiser $D(x, \sigma) \approx \mathrm E[x_0 \mid x_0 + \sigma n = x]$. A *sampler* combines both in a few calls of
# $D$. `zsir.restore` takes a picture and a spec of $A$, and does the rest, as the command `zsir solve` does.
#
# Pictures are float tensors (batch, channels, height, width) in [0, 1]; noise levels are standard deviations on that
# scale.

# %%
from importlib.resources import files
from pprint import pprint

import matplotlib.pyplot as plt
import torch

import zsir
from zsir.metrics import energies, psnr
from zsir.pictures import enlarge
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


truth = zsir.read(files("zsir") / "assets" / "demo.png").pixels[..., :176, 80:]

# %% [markdown]
# ## Four times larger
#
# `sr4x` is a bicubic reduction by four, with Pillow's antialiasing. The pseudo-inverse $A^+ y$ is the picture of
# least norm that explains the data: its residual is 0, and it rings, most at the borders. Four calls of the prior
# give smooth edges without ringing. The feathers are not in the data, and this small prior does not invent them.
#
# With `simulate` the picture is degraded first, and kept as the truth. Two defaults: the prior is `photo`, which has
# 2.5 million parameters and is inside the package, and the sampler is `cm4ir`.

# %%
result = zsir.restore(truth, "sr4x", nfe=4, simulate=True)

op = zsir.operators.make("sr4x", in_shape=truth.shape[1:])
least, bicubic = op.pinv(result.observation), enlarge(result.observation, truth.shape[-2:])
show(observation=result.observation, pseudo_inverse=least, restored=result.x, truth=truth)
for name, x in {"bicubic": bicubic, "pseudo-inverse": least, "restored": result.x}.items():
    print(f"{name:15s} {psnr(x.clamp(0, 1), truth):6.2f} dB")

# %% [markdown]
# What the run cost, and how well it fits. Without noise the residual is $\lVert A x - y\rVert / \lVert y\rVert$: the
# result explains the data exactly.

# %%
print(result.stats)
assert result.stats.nfe == 4
assert result.residual < 1e-3
assert psnr(result.x, truth) > psnr(bicubic, truth)

# %% [markdown]
# The same seed gives the same picture, to the last bit, and `provenance` says what is needed to repeat it. A callback
# sees every step: here the estimates of the four calls, from the largest noise level to the smallest.

# %%
seen = []
again = zsir.restore(truth, "sr4x", nfe=4, simulate=True, callbacks=[seen.append])
assert torch.equal(again.x, result.x)
assert [event.step for event in seen] == [1, 2, 3, 4]
show(**{f"call {event.step}, sigma {event.sigma:.3f}": event.x0 for event in seen})
pprint(result.provenance)

# %% [markdown]
# ## What was measured, what was imagined
#
# $P = A^+ A$ projects onto what the operator sees. The rest, $(I - P) x$, leaves no trace in $y$: whatever is there
# comes from the prior. `energies` gives the mean square of both parts. `result.solution.x` is the result before it is
# clipped to [0, 1].

# %%
restored = result.solution.x
picture, original, error = (energies(op, x) for x in (restored, truth, restored - truth))
print(f"energy outside the data: restored {picture.free[0]:.1e}, truth {original.free[0]:.1e}")
print(f"error: {error.determined[0]:.1e} inside the data, {error.free[0]:.1e} outside")
assert error.determined[0] < 1e-3 * error.free[0]  # all of the error is in what the data do not tell
assert 0 < picture.free[0] < original.free[0]  # the prior is careful: it adds less detail than there was

# %% [markdown]
# ## Blur with noise, and missing pixels
#
# With noise the residual is measured in units of the noise, $\lVert A x - y\rVert / (\sigma_y
# \sqrt m)$: near 1 for a picture that fits as well as the noise allows, far below 1 for one that fits the noise. Where
# result and data contradict each other, `verdict` holds a sentence about it.

# %%
deblurred = zsir.restore(truth, "blur:sigma=3", noise="5/255", nfe=4, simulate=True)
filled = zsir.restore(truth, "mask:keep=0.3", sampler="hqs", nfe=8, simulate=True)

blurred, holes = deblurred.observation, filled.observation
show(blurred=blurred, deblurred=deblurred.x, holes=holes, filled=filled.x)
print(f"deblurred {psnr(deblurred.x, truth):.2f} dB, residual {deblurred.residual:.2f}")
mask = zsir.operators.make("mask:keep=0.3", in_shape=truth.shape[1:])
by_median = initial_estimate(zsir.Problem(holes, mask))  # every hole takes the median of its neighbours
print(f"filled    {psnr(filled.x, truth):.2f} dB, by medians {psnr(by_median, truth):.2f} dB")
assert 0.8 < deblurred.residual < 1.2
assert not deblurred.verdict and not filled.verdict
assert psnr(deblurred.x, truth) > psnr(blurred.clamp(0, 1), truth) + 1
assert psnr(filled.x, truth) > psnr(by_median, truth) + 0.5

# %% [markdown]
# `result.save("big.png")` writes a result. Other operators, samplers and priors: `zsir list ops`,
# `zsir list samplers`, `zsir list priors`, and `zsir describe NAME`. What `zsir.restore` is made of is `zsir.Problem`
# and `zsir.solve`; the notebooks on an own operator and an own sampler use them.
