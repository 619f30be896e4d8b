# %% [markdown]
# # IR-SDE in three coordinates
#
# IR-SDE (Luo et al. 2023) restores by a diffusion that pulls the clean picture $x_0$ not to noise but to $\mu$, its
# degraded version. With the integrated time $\bar\theta_t = \int \theta$ and $m_t = e^{-\bar\theta_t}$
#
# $$ dx = \theta_t (\mu - x)\, dt + \sqrt{2 \lambda^2 \theta_t}\, dw, \qquad
#    x_t = \mu + m_t (x_0 - \mu) + \lambda \sqrt{1 - m_t^2}\; n . $$
#
# It looks like a process of its own kind. It is not: two changes of variable make it a DDPM and a plain "add noise".
#
# | | state | in terms of $x_0$ | time |
# |---|---|---|---|
# | as published | $x_t$ | $\mu + m_t (x_0 - \mu) + \lambda \sqrt{1 - m_t^2}\, n$ | $\bar\theta_t = -\ln m_t$ |
# | VP, as DDPM | $r_t = (x_t - \mu)/\lambda$ | $m_t r_0 + \sqrt{1 - m_t^2}\, n$ | $\bar\alpha_t = m_t^2$ |
# | VE, the toolkit's | $u_t = \mu + (x_t - \mu)/m_t$ | $x_0 + \sigma_t n$ | $\sigma_t = \lambda \sqrt{1/m_t^2 - 1}$ |
#
# Below the same chain runs in all three, each in the formulas of its own literature, and the states agree to rounding.

# %%
import itertools
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.pictures import read
from zsir.priors.exact import Mixture
from zsir.timetables import IRSDESchedule, TimeTable, ddpm_alphas_bar

torch.set_default_dtype(torch.float64)
plan = IRSDESchedule(steps=100, max_sigma=50 / 255)  # the released schedule: cosine, 0.5 % of x0 - mu left at t = 100
T, lam = plan.steps, plan.max_sigma
theta_bar, abar, sigma = np.cumsum(plan.h), plan.m**2, plan.sigma

assert np.allclose(theta_bar, -np.log(plan.m), atol=1e-12)
assert np.allclose(sigma[1:], lam * np.sqrt(1 / abar[1:] - 1), rtol=1e-10)

# %% [markdown]
# ## The clocks
#
# One index $t$, four clocks. The last panel is the time at which a DDPM for pictures in $[-1, 1]$ (where $\sigma$ is
# twice as large) sees the same noise.

# %%
ddpm = TimeTable.vp(ddpm_alphas_bar())
ddpm_time = ddpm.time(torch.from_numpy(2 * sigma[1:]))
t = np.arange(T + 1)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.1), dpi=80)
axes[0].plot(t, theta_bar, color="C0")
axes[0].set_title(r"as published: $\bar\theta_t$")
axes[1].plot(t, plan.m, color="C1", label=r"$m_t = \sqrt{\bar\alpha_t}$")
axes[1].plot(t, np.sqrt(1 - abar), color="C1", linestyle="--", label=r"$\sqrt{1 - \bar\alpha_t}$")
axes[1].set_title("VP: signal and noise")
axes[1].legend(fontsize=9)
for k, style in ((50, "-"), (30, "--"), (10, ":")):
    levels = IRSDESchedule(max_sigma=k / 255).sigma[1:]
    axes[2].semilogy(t[1:], levels, style, color="C2", label=rf"$\lambda$ = {k}/255")
axes[2].set_title(r"VE: $\sigma_t$")
axes[2].legend(fontsize=9)
axes[3].plot(t[1:], ddpm_time, color="C3")
axes[3].set_title("DDPM's time of the same noise")
for axis in axes:
    axis.set_xlabel("index t")
    axis.grid(alpha=0.3)
figure.tight_layout()
plt.show()
print(f"sigma_1 = {sigma[1]:.4f}, sigma_T = {sigma[T]:.1f}, theta_bar_T = {theta_bar[T]:.3f}")
print(f"DDPM's times from {ddpm_time[0]:.1f} to {ddpm_time[-1]:.0f} of 999")
assert abs(2 * sigma[1] - 0.0074) < 1e-4 and abs(2 * sigma[T] - 78.43) < 0.01

# %% [markdown]
# From $2\sigma_1 = 0.007$ to $2\sigma_T = 78$, on pictures in $[-1, 1]$: IR-SDE sees nearly the range of levels that
# EDM uses, 0.002 to 80. $\lambda$ only shifts the curve. (Its smallest level is below the smallest of DDPM, whose time
# 0 stands for it.)

# %% [markdown]
# ## The chain, three times
#
# *Posterior sampling* draws $x_s$ from the exact law of $x_s$ given $x_t$ and $x_0$, for $s < t$, with an estimate of
# $x_0$ in its place. `denoiser(u, sigma)` stands for the network. `z` are the random numbers, the same for all.


# %%
def published(mu, denoiser, z):
    """States x_T, ..., x_0, by the network's noise eps(x_t, mu, t) and the coefficients c1, c2 of the paper."""
    x = mu + lam * z[0]
    path = [x]
    for t in range(T, 0, -1):
        m, m_s = np.exp(-theta_bar[t]), np.exp(-theta_bar[t - 1])
        v, v_s = (-(lam**2) * np.expm1(-2 * theta_bar[k]) for k in (t, t - 1))
        eps = (x - mu - m * (denoiser(mu + (x - mu) / m, np.sqrt(v) / m) - mu)) / np.sqrt(v)
        x0 = mu + (x - mu - np.sqrt(v) * eps) / m
        a = m / m_s
        c1, c2 = a * v_s / v, m_s * (1 - a**2) * lam**2 / v
        x = mu + c1 * (x - mu) + c2 * (x0 - mu)
        if t > 1:
            x = x + lam * np.sqrt((1 - a**2) * v_s / v) * z[T + 1 - t]
        path.append(x)
    return torch.stack(path)


def variance_preserving(mu, denoiser, z):
    """States r_T, ..., r_0: algorithm 2 of DDPM (Ho et al. 2020), word for word, with abar_t = m_t^2."""
    r = z[0]
    path = [r]
    for t in range(T, 0, -1):
        alpha = abar[t] / abar[t - 1]
        r0 = (denoiser(mu + lam * r / np.sqrt(abar[t]), lam * np.sqrt(1 / abar[t] - 1)) - mu) / lam
        eps = (r - np.sqrt(abar[t]) * r0) / np.sqrt(1 - abar[t])
        r = (r - (1 - alpha) / np.sqrt(1 - abar[t]) * eps) / np.sqrt(alpha)
        if t > 1:
            r = r + np.sqrt((1 - alpha) * (1 - abar[t - 1]) / (1 - abar[t])) * z[T + 1 - t]
        path.append(r)
    return torch.stack(path)


class Replay:
    """Gives the numbers z in order, in place of a generator."""

    def __init__(self, z):
        self.z = iter(z)

    def randn_like(self, x):
        return next(self.z)


class Watched:
    """A prior that keeps what it is asked about."""

    channels, kind, fingerprint, sigma_range = 0, "denoiser", "", (0.0, float("inf"))

    def __init__(self, prior):
        self.prior, self.seen = prior, []

    def denoise(self, x, sigma):
        self.seen.append(x)
        return self.prior.denoise(x, sigma)


def toolkit(problem, prior, z, spec="irsde"):
    """States u_T, ..., u_0 of the toolkit's sampler: u <- k u + (1 - k) d + sigma_s sqrt(1 - k) z, k = (s/t)^2."""
    watched = Watched(prior)
    solution = solve(problem, watched, samplers.make(spec), noise=Replay(z))
    return torch.stack([*watched.seen, solution.x])


# %% [markdown]
# ## One pixel, seen through noise
#
# The first example has a network without error. A pixel is near 0.2, 0.5 or 0.85, and $\mu = x_0 + 0.15\, n$ is
# observed to be 0.6. Then $p(x_0 \mid \mu)$ is a mixture of three Gaussians, and its denoiser has a closed form. 400
# runs in one batch:

# %%
places, width, noise, COUNT = torch.tensor([0.2, 0.5, 0.85]), 0.03, 0.15, 400
total = width**2 + noise**2
likelihood = torch.exp(-((0.6 - places) ** 2) / (2 * total))
posterior = Mixture(
    weights=likelihood / likelihood.sum(),
    means=(places + width**2 / total * (0.6 - places)).view(-1, 1, 1, 1),
    stds=torch.full((3,), (width**2 * noise**2 / total) ** 0.5),
)


def denoiser(u, level):
    return posterior.denoise(u, torch.full((len(u),), float(level)))


draw = torch.Generator().manual_seed(0)
mu = torch.full((COUNT, 1, 1, 1), 0.6)
z = torch.randn(T, *mu.shape, generator=draw)
pixel = Problem(mu, operators.make("identity", in_shape=(1, 1, 1)), noise, x_init=mu)
x = published(mu, denoiser, z)
r = variance_preserving(mu, denoiser, z)
u = toolkit(pixel, posterior, z, "irsde:guidance=none")

m = torch.from_numpy(plan.m[::-1].copy()).view(-1, 1, 1, 1, 1)  # in the order of the path, T to 0


def disagreement(x, r, u, mu):
    """Largest differences after mapping all states to x."""
    return float((mu + lam * r - x).abs().max()), float((mu + m * (u - mu) - x).abs().max())


print("largest difference from the published form: VP {:.1e}, VE {:.1e}".format(*disagreement(x, r, u, mu)))
assert max(disagreement(x, r, u, mu)) < 1e-10
assert float((u[-1] - x[-1]).abs().max()) < 1e-10  # at t = 0 both are x0

# %%
index = np.arange(T, -1, -1)
figure, axes = plt.subplots(1, 3, figsize=(13, 4), dpi=80)
for axis, path, name, far in (
    (axes[0], x, r"as published: $x_t$", 0.6),
    (axes[1], r, r"VP: $r_t = (x_t - \mu)/\lambda$", 0.0),
    (axes[2], u, r"VE: $u_t = x_0 + \sigma_t n$", 0.6),
):
    axis.plot(index, path[:, :40].flatten(1), color="0.6", linewidth=0.5)
    for k, colour in zip((0, 1, 2), ("C0", "C1", "C2"), strict=True):
        runs = (u[-1].flatten() - places[k]).abs() < 0.1
        axis.plot(index, path[:, runs.nonzero()[0, 0]].flatten(), color=colour, linewidth=1.8)
    axis.axhline(far, color="black", linestyle=":", linewidth=1)
    axis.set(title=name, xlabel="index t, from noise to picture", xlim=(T, 0))
axes[2].set_yscale("symlog", linthresh=1)
figure.tight_layout()
plt.show()

# %% [markdown]
# Grey are 40 of the runs; coloured is one for each of the three places; dotted is the value that they come from. In $x$
# they leave $\mu$ with noise $\lambda$ and end at the picture. $r$ is the same curve with another scale: it begins
# standard normal. In $u$ (linear between -1 and 1, logarithmic beyond) they fall in from $\pm 100$, $\mu$ is not to be
# seen, and the places separate in the last third.
#
# Does $\mu$ matter at all? The law of $u_t$ given $x_0$ does not contain it. It enters by the start, where it is small
# beside the noise, and by the network, which has seen it. The same numbers with $\mu = 0$ in the formulas and the same
# denoiser:

# %%
other = published(torch.zeros_like(mu), denoiser, z)
change = (other[-1] - x[-1]).abs()
print(f"mu = 0.6 or 0: results differ by {change.mean():.1e} in the mean, {change.max():.1e} at most")
assert change.max() < 0.01
assert 80 < u[0].abs().max() < 150

# %% [markdown]
# So with a prior that does not know $\mu$, IR-SDE is a sampler of that prior and restores nothing. What restores is a
# network trained with $\mu$, or a pull to the data.

# %% [markdown]
# ## A picture
#
# The three again, with a data step. A blurred, noisy picture is $\mu$, the prior is a Gaussian field with the spectrum
# of photographs, and estimates are pulled to the data as the toolkit does by default.

# %%
truth = read(files("zsir") / "assets" / "demo.png").pixels[..., 32:96, 112:200].double()
blur = operators.make("blur:sigma=1.5", in_shape=truth.shape[1:])
y = blur.forward(truth)
noise = 0.02
y = y + noise * torch.randn(y.shape, generator=draw)
field = priors.load("gaussian")


def guided(u, level):
    d = field.denoise(u, torch.full((len(u),), float(level)))
    return blur.prox(d, y, noise**2 * (1 / float(level) ** 2 + 1 / 0.25**2))


z = torch.randn(T, *truth.shape, generator=draw)
states = {
    "x": published(y, guided, z),
    "r": variance_preserving(y, guided, z),
    "u": toolkit(Problem(y, blur, noise, x_init=y), field, z),
}
print("largest difference from the published form: VP {:.1e}, VE {:.1e}".format(*disagreement(*states.values(), y)))
assert max(disagreement(*states.values(), y)) < 1e-10

times = (100, 60, 40, 20, 10, 0)
labels = {"x": "$x_t$", "r": r"$r_t/5 + 0.5$", "u": "$u_t$"}
figure, axes = plt.subplots(3, len(times), figsize=(10, 4.2), dpi=72)
for line, (name, path) in zip(axes, states.items(), strict=True):
    for axis, t in zip(line, times, strict=True):
        state = path[T - t][0] / 5 + 0.5 if name == "r" else path[T - t][0]
        axis.imshow(state.clamp(0, 1).permute(1, 2, 0))
        axis.set(xticks=(), yticks=())
    line[0].set_ylabel(labels[name], fontsize=12)
for axis, t in zip(axes[0], times, strict=True):
    axis.set_title(rf"t = {t}, $\sigma$ = {sigma[t]:.3g}", fontsize=10)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Where coordinates matter
#
# Posterior sampling draws from exact laws, and these do not depend on coordinates. Euler's method does. The noise-free
# ODE of IR-SDE, which pulls each state to its end, is in the three coordinates
#
# $$ \frac{dx}{d\bar\theta} = \mu - x + \frac{\lambda}{\sqrt{1 - m^2}}\, \epsilon, \qquad
#    \frac{dr}{d\bar\theta} = -r + \frac{1}{\sqrt{1 - m^2}}\, \epsilon, \qquad
#    \frac{du}{d\sigma} = \frac{u - D(u, \sigma)}{\sigma} = \epsilon . $$
#
# Between $x$ and $r$ lies a map that does not depend on time, so Euler's steps agree. Between these and $u$ lies the
# factor $m_t$, and they do not. Euler in $u$ is DDIM. Here is how far the 400 pixels end from the solution of the ODE:


# %%
def euler_x(nfe):
    """The published ODE steps, which the toolkit has as a mode."""
    spec = f"irsde:guidance=none,mode=ode,nfe={nfe}"
    return solve(pixel, posterior, samplers.make(spec), noise=Replay([start])).x


def euler_r(nfe):
    """Euler's method on the VP form."""
    r, chosen = start, np.round(np.linspace(T, 0, nfe + 1)).astype(int)
    for t, s in itertools.pairwise(chosen):
        level = mu + lam * r / plan.m[t]
        eps = (level - denoiser(level, sigma[t])) / sigma[t]
        r = r + (theta_bar[t] - theta_bar[s]) * (r - eps / np.sqrt(1 - abar[t]))
    return mu + lam * r


def euler_u(levels):
    """Euler's method on u along falling levels that end in 0."""
    u = mu + lam / plan.m[T] * start
    for level, after in itertools.pairwise(levels):
        u = u + (after - level) * (u - denoiser(u, level)) / level
    return u


start = torch.randn(mu.shape, generator=draw)
exact = euler_u([*np.geomspace(sigma[T], 1e-5, 8000), 0.0])
error = {}
print("calls   mean distance from the end of the ODE: x and r       u")
for nfe in (10, 20, 50, 100):
    chosen = np.round(np.linspace(T, 0, nfe + 1)).astype(int)
    ends = euler_x(nfe), euler_u(sigma[chosen])
    assert float((ends[0] - euler_r(nfe)).abs().max()) < 1e-10
    error[nfe] = [float((end - exact).abs().mean()) for end in ends]
    print(f"{nfe:5d}{error[nfe][0]:48.4f}{error[nfe][1]:12.4f}")
for in_x, in_u in error.values():
    assert 0.7 < in_u / in_x < 0.86
assert 0.3 < error[100][1] / error[50][1] < 0.6  # both are of first order
assert 0.3 < error[100][0] / error[50][0] < 0.6

# %% [markdown]
# Euler in $u$ is nearer at every number of calls, by 15 to 30 %, with the simpler formula. Both halve their error with
# twice the calls.
#
# ## What is convenient where
#
# - **$x$, as published.** States are pictures that can be looked at, and the trained networks want them:
#   `eps(x, mu, t)`. Formulas carry $\mu$, $\theta$ and $\lambda$ along, and $c_1$, $c_2$ must be worked out for every
#   pair of times.
# - **$r$, VP.** States have variance about 1, and every DDPM sampler works as it is, with $\bar\alpha_t = m_t^2$. But
#   the picture is a residual in units of $\lambda$: a denoiser of pictures cannot be asked directly.
# - **$u$, VE.** $\mu$, $\lambda$ and the schedule are gone from the step; left are $u$, $\sigma$ and $D(u, \sigma)$.
#   Any denoiser and any operator can be used, any levels can be left out, and DDIM, EDM and IR-SDE differ only in how
#   they step. The price is large numbers at the far end. This is why the toolkit has one noise coordinate, and why the
#   prior `irsde-net` makes $x_t$ from $u$ at its own door.
