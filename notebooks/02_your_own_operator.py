# %% [markdown]
# # Write your own operator
#
# A colour camera measures one colour per pixel. Behind the Bayer pattern of filters
#
# $$ y_{ij} = x_{c(i,j),\,i,\,j} + \sigma_y n_{ij}, \qquad
# c = \begin{pmatrix} R & G \\ G & B \end{pmatrix} \text{ repeated,} $$
#
# so $A$ picks one of three values in every pixel, and *demosaicing* is to invert it. `zsir` does not contain this
# operator; here it gets it.

# %%
from dataclasses import dataclass
from importlib.resources import files

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import conv2d

import zsir
from zsir import Problem, operators, priors, samplers, solve
from zsir.metrics import psnr
from zsir.operators import Operator
from zsir.testing import check_operator


def show(**pictures):
    """Pictures (1, 1 or 3, height, width) in a row under their names."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(2.5 * len(pictures), 2.8), dpi=72)
    for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture[0].clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3))
        axis.set_title(name.replace("_", "-"), fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


# %% [markdown]
# ## Forward and adjoint
#
# The adjoint is defined by $\langle A x, y\rangle = \langle x, A^\top y\rangle$ for all $x, y$. Here it puts every
# value back into its channel and zeros elsewhere. These two methods and the shapes are all that is required: `pinv`
# and `prox` then work by conjugate gradients.


# %%
@dataclass(frozen=True, eq=False)
class Bayer(Operator):
    """One colour per pixel, in the pattern RGGB: (3, h, w) -> (1, h, w)."""

    in_shape: tuple[int, int, int]

    @property
    def out_shape(self):
        return (1, *self.in_shape[1:])

    def pattern(self, like):
        """1 where a channel is measured, else 0: (3, h, w)."""
        _, h, w = self.in_shape
        row, column = torch.arange(h)[:, None] % 2, torch.arange(w) % 2
        channel = row + column  # 0 red, 1 green, 2 blue
        return (channel == torch.arange(3)[:, None, None]).to(like)

    def forward(self, x):
        return (x * self.pattern(x)).sum(1, keepdim=True)

    def adjoint(self, y):
        return y * self.pattern(y)


# %% [markdown]
# ## Check it
#
# The dot test by hand: draw $x$ and $y$ at random and compare both sides. In float64 they must agree to about
# $10^{-14}$, not to three digits; a wrong sign or an index shifted by one fails at once.

# %%
bayer = Bayer((3, 31, 46))  # an odd side: shapes that are no multiple of the pattern find most errors
draw = torch.Generator().manual_seed(0)
x = torch.randn(2, *bayer.in_shape, generator=draw, dtype=torch.float64)
y = torch.randn(2, *bayer.out_shape, generator=draw, dtype=torch.float64)
left, right = (bayer.forward(x) * y).sum(), (x * bayer.adjoint(y)).sum()
print(f"<Ax, y> = {left:.12f}   <x, A'y> = {right:.12f}   difference {abs(left - right):.1e}")
assert abs(left - right) < 1e-12 * x.norm() * y.norm()

# %% [markdown]
# `check_operator` does this and more: linearity, batches, dtypes, the four Penrose conditions of `pinv`, and
# optimality of `prox`. It raises at the first contradiction.

# %%
check_operator(bayer)


@dataclass(frozen=True, eq=False)
class Mirrored(Bayer):
    """The same with a wrong adjoint: the pattern BGGR."""

    def adjoint(self, y):
        return super().adjoint(y).flip(1)


try:
    check_operator(Mirrored(bayer.in_shape))
except AssertionError as error:
    print(f"refused: {error}")
else:
    raise RuntimeError("the wrong adjoint went through")

# %% [markdown]
# ## A closed form
#
# Each pixel is measured once, so $A A^\top = I$ and
#
# $$ A_r^+ y = A^\top (A A^\top + r I)^{-1} y = \frac{A^\top y}{1 + r}. $$
#
# `prox` follows from it by the Woodbury identity. Conjugate gradients agree, as they must.


# %%
@dataclass(frozen=True, eq=False)
class FastBayer(Bayer):
    """Bayer with its inverse in closed form."""

    def pinv(self, y, ridge=0.0):
        ridge = torch.as_tensor(ridge, dtype=y.dtype).view(-1, 1, 1, 1)
        return self.adjoint(y) / (1 + ridge)


fast = FastBayer(bayer.in_shape)
check_operator(fast)
assert torch.allclose(fast.pinv(y, 0.3), bayer.pinv(y, 0.3), atol=1e-12)
assert torch.allclose(fast.prox(x, y, 0.3), bayer.prox(x, y, 0.3), atol=1e-12)

# %% [markdown]
# ## Use it
#
# The pseudo-inverse shows only what was measured, bilinear interpolation averages the neighbours of each channel. The
# prior knows that edges in the three channels lie at the same places, which interpolation of each channel ignores:
# the coloured fringes on the feathers go, and lines get as sharp as they were. The second row shows a part enlarged.

# %%
truth = zsir.read(files("zsir") / "assets" / "demo.png").pixels[..., 32:160, 96:224]
op = FastBayer(tuple(truth.shape[1:]))
problem = Problem(op.forward(truth), op)


def bilinear(y):
    """Mean of the measured neighbours, channel by channel, weights 1 2 1 in both directions."""
    kernel = torch.tensor([1.0, 2, 1])
    kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    measured = op.pattern(y)[None]
    total = conv2d(measured * y, kernel, padding=1, groups=3)
    return total / conv2d(measured, kernel, padding=1, groups=3)


start = bilinear(problem.y)
better = Problem(problem.y, op, x_init=start)  # this start is better than the general one of `zsir.restore`
restored = solve(better, priors.load("photo"), samplers.make("hqs", nfe=8)).x
least = op.pinv(problem.y)
show(observation=problem.y, bilinear=start, restored=restored, truth=truth)
part = (..., slice(40, 88), slice(44, 92))
show(pseudo_inverse=least[part], bilinear=start[part], restored=restored[part], truth=truth[part])
for name, x in {"pseudo-inverse": least, "bilinear": start, "restored": restored}.items():
    print(f"{name:15s} {psnr(x.clamp(0, 1), truth):6.2f} dB")
assert psnr(restored.clamp(0, 1), truth) > psnr(start, truth) + 1

# %% [markdown]
# ## Algebra
#
# A lens blurs before the filters see the light: the product `bayer @ blur` is an operator too. No closed form is
# known for it, so its inverse runs by conjugate gradients, and the run says with how many iterations. `zsir.restore`
# takes an operator as it takes a spec.

# %%
blur = operators.make("blur:sigma=1", in_shape=op.in_shape)
both = op @ blur
check_operator(FastBayer((3, 15, 22)) @ operators.make("blur:sigma=0.6", in_shape=(3, 15, 22)))
result = zsir.restore(truth, both, noise=0.01, sampler="hqs", nfe=8, simulate=True)
interpolated = bilinear(result.observation).clamp(0, 1)
show(bilinear=interpolated, restored=result.x, truth=truth)
print(f"bilinear {psnr(interpolated, truth):.2f} dB, restored {psnr(result.x, truth):.2f} dB")
print(f"{result.stats.cg_iterations} iterations, residual {result.residual:.2f}")
assert psnr(result.x, truth) > psnr(interpolated, truth) + 1

# %% [markdown]
# To give it a name that `--op` understands, a package declares it as an entry point of the group `zsir.operators`;
# see `operators/README.md`.
