# %% [markdown]
# # Write your own sampler
#
# A sampler has two methods: `init` makes the first state, `step` the next one. `zsir.solve` is the loop around them.
# Here is *annealed Langevin dynamics*, which `zsir` does not contain, in about thirty lines.
#
# Let $x = x_0 + \sigma n$. Tweedie's formula turns the denoiser into a score, and with a flat prior
# $x_0 \mid x \sim \mathcal N(x, \sigma^2 I)$ the likelihood of $y = A x_0 + \sigma_y n$ has one in closed form:
#
# $$ \nabla \log p_\sigma(x) = \frac{D(x, \sigma) - x}{\sigma^2}, \qquad
#    \nabla_x \log p(y \mid x) \approx A^\top (\sigma^2 A A^\top + \sigma_y^2 I)^{-1} (y - A x)
#    = \frac{1}{\sigma^2} A_r^+ (y - A x), \quad r = \frac{\sigma_y^2}{\sigma^2} $$
#
# with the ridged inverse $A_r^+ = A^\top (A A^\top + r I)^{-1}$ that every operator has as `pinv(y, ridge)`. A
# Langevin step of size $\alpha \sigma^2$ is then, with all powers of $\sigma$ cancelled,
#
# $$ x \leftarrow x + \alpha \bigl[ D(x, \sigma) - x + A_r^+ (y - A x) \bigr] + \sqrt{2 \alpha T}\, \sigma n , $$
#
# with the temperature $T = 1$ for sampling. It is repeated `inner` times at each of some falling levels $\sigma$; the
# result is the last $D(x, \sigma)$.

# %%
from dataclasses import dataclass
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import torch

import zsir
from zsir import Problem, operators, priors, solve
from zsir.metrics import psnr
from zsir.pictures import enlarge
from zsir.testing import check_sampler


@dataclass(frozen=True)
class LangevinState:
    x: torch.Tensor
    x0: torch.Tensor
    sigma: float
    step: int


@dataclass(frozen=True)
class Langevin:
    """x <- x + a (D(x, s) - x + A_r^+ (y - A x)) + sqrt(2 a T) s n, r = noise^2/s^2."""

    levels: int = 12
    inner: int = 4
    first: float = 0.5
    last: float = 0.02
    size: float = 0.5
    temperature: float = 1.0

    needs = ("pinv",)

    @property
    def steps(self):
        return self.levels * self.inner

    nfe = steps

    def init(self, problem, prior, rng):
        x = torch.full((problem.y.shape[0], *problem.operator.in_shape), 0.5).to(problem.y)
        return LangevinState(x + self.first * rng.randn_like(x), x, self.first, 0)

    def step(self, problem, prior, state, rng):
        x, op, y = state.x, problem.operator, problem.y
        s = float(np.geomspace(self.first, self.last, self.levels)[state.step // self.inner])
        d = prior.denoise(x, torch.full((x.shape[0],), s, dtype=x.dtype, device=x.device))
        pull = d - x + op.pinv(y - op.forward(x), (problem.noise_std / s) ** 2)
        x = x + self.size * pull + (2 * self.size * self.temperature) ** 0.5 * s * rng.randn_like(x)
        return LangevinState(x, d, s, state.step + 1)


# %% [markdown]
# ## The contract
#
# `check_sampler` proves on a small problem that a sampler makes the calls it declares, repeats itself bit for bit
# under the same seed, and that no picture of a batch depends on its neighbours. Random numbers come from `rng` only.

# %%
draw = torch.Generator().manual_seed(0)
blur = operators.make("blur:sigma=1", in_shape=(3, 31, 46))
y = blur.forward(torch.rand(2, 3, 31, 46, generator=draw))
check_sampler(Langevin(), Problem(y, blur, noise_std=0.05), priors.load("gaussian"))

# %% [markdown]
# ## Is it right?
#
# For a single pixel with prior $\mathcal N(m, c)$ and $y = x_0 + \sigma_y n$ everything can be computed. The
# posterior is $\mathcal N(m + k (y - m), \, k \sigma_y^2)$ with $k = c/(c + \sigma_y^2)$. A step is the affine map
#
# $$ x \leftarrow x + \alpha \Bigl[ \tfrac{\sigma^2}{c + \sigma^2} (m - x)
#    + \tfrac{\sigma^2}{\sigma^2 + \sigma_y^2} (y - x) \Bigr] + \sqrt{2 \alpha}\, \sigma n , $$
#
# so mean and variance after every step follow by hand, and the code must agree with them. The prior
# `gaussian:slope=0` has independent pixels of standard deviation 0.25 around 0.5, and so one picture is thousands of
# draws.

# %%
m, c, noise, observed = 0.5, 0.25**2, 0.1, 0.8
k = c / (c + noise**2)
exact = m + k * (observed - m), (k * noise**2) ** 0.5


def predicted(sampler):
    """Mean and standard deviation of the result, step by step on paper."""
    mean, variance = m, sampler.first**2
    for s in np.repeat(np.geomspace(sampler.first, sampler.last, sampler.levels), sampler.inner):
        shrink = c / (c + s**2)
        result = m + shrink * (mean - m), shrink * variance**0.5
        prior_pull, data_pull = s**2 / (c + s**2), s**2 / (s**2 + noise**2)
        mean = mean + sampler.size * (prior_pull * (m - mean) + data_pull * (observed - mean))
        variance = (1 - sampler.size * (prior_pull + data_pull)) ** 2 * variance + 2 * sampler.size * s**2
    return result


pixels = operators.make("identity", in_shape=(1, 128, 128))
flat = Problem(torch.full((1, 1, 128, 128), observed, dtype=torch.float64), pixels, noise)
print(f"{'':12s} computed: mean    std     measured: mean    std")
for inner in (1, 4, 16, 64):
    sampler = Langevin(inner=inner)
    mean, std = predicted(sampler)
    x = solve(flat, priors.load("gaussian:slope=0"), sampler).x
    print(f"{sampler.nfe:4d} calls {mean:18.4f} {std:7.4f} {x.mean():15.4f} {x.std():7.4f}")
    assert abs(x.mean() - mean) < 4 * std / 128  # standard errors of 128 x 128 draws
    assert abs(x.std() - std) < 4 * std / 128 / 2**0.5
print(f"posterior  {exact[0]:18.4f} {exact[1]:7.4f}")

# %% [markdown]
# With more steps the law tends to a limit that is close to the posterior, not equal to it: at the last level, 0.02,
# the likelihood's score still stands on the flat prior. A lower last level takes that away.

# %%
limits = {last: predicted(Langevin(inner=20_000, levels=2, last=last)) for last in (0.1, 0.05, 0.02, 0.01)}
for last, (mean, std) in limits.items():
    print(f"last level {last:4.2f}: mean {mean:.4f}, std {std:.4f}")
errors = [abs(mean - exact[0]) + abs(std - exact[1]) for mean, std in limits.values()]
assert errors == sorted(errors, reverse=True)
assert errors[-1] < 0.002

# %% [markdown]
# ## On a photograph
#
# Where the data are silent and the denoiser removes all noise, a step is $n_{new} = (1 - \alpha) n + \sqrt{2 \alpha
# T}\, \sigma n'$, and the noise in $x$ settles at variance
#
# $$ \frac{2 \alpha T \sigma^2}{1 - (1 - \alpha)^2} = \frac{T}{1 - \alpha/2} \sigma^2 . $$
#
# For $\alpha = 1/2$ and $T = 1$ that is a third more than the network is told. It takes the excess for texture and
# keeps it: the first result below is full of grain. $T = 1 - \alpha/2 = 3/4$ puts that right. Below, less and less is
# drawn, and the result comes near to an estimate. `zsir.restore` takes the new sampler as it takes a spec. All are half
# the size with noise 0.02, in 30 calls, beside HQS in 8.

# %%
truth = zsir.read(files("zsir") / "assets" / "demo.png").pixels[..., 32:128, 112:208]
runs = {f"T = {t}": Langevin(levels=10, inner=3, first=0.2, temperature=t) for t in (1, 0.75, 0.25)}
runs["HQS"] = "hqs:nfe=8"
results = {name: zsir.restore(truth, "sr2x", noise=0.02, sampler=s, simulate=True) for name, s in runs.items()}

bicubic = enlarge(results["HQS"].observation, truth.shape[-2:])
shown = {"bicubic": bicubic, **{name: result.x for name, result in results.items()}, "truth": truth}
figure, axes = plt.subplots(1, len(shown), figsize=(13.5, 2.6), dpi=72)
for axis, (name, x) in zip(axes, shown.items(), strict=True):
    axis.imshow(x[0].clamp(0, 1).permute(1, 2, 0))
    axis.set_title(name)
    axis.axis("off")
figure.tight_layout()
plt.show()
quality = {name: psnr(x.clamp(0, 1), truth) for name, x in shown.items() if name != "truth"}
costs = {n: f", {result.stats.nfe} calls, residual {result.residual:.2f}" for n, result in results.items()}
for name, value in quality.items():
    print(f"{name:9s} {value:.2f} dB{costs.get(name, '')}")
assert quality["T = 1"] < quality["bicubic"] < quality["T = 0.25"]
assert quality["T = 1"] < quality["T = 0.75"] - 1
