# %% [markdown]
# # The knob between fidelity and texture
#
# No estimate is best in both ways. Let $\hat x$ be made from $y$, with
#
# - distortion $D = \mathrm E \lVert \hat x - x_0 \rVert^2$ per pixel (PSNR is its logarithm), and
# - perception $P = W_2(p_{\hat x}, p_{x_0})$, the Wasserstein distance between the law of results and that of pictures.
#
# The posterior mean has the least distortion $D^*$, and a law that is too smooth, at distance $P^*$. What is possible
# is exactly (Freirich, Michaeli and Meir 2021)
#
# $$ D(P) = D^* + \max(P^* - P, 0)^2 . $$
#
# A draw from the posterior has $P = 0$ and $D = 2 D^*$: 3 dB below the mean (Blau and Michaeli 2018). That is more
# than $P = 0$ has to cost. Two samplers have a knob: `rdmd:tau` and `cm4ir:eta`. Where do they move on this plane?

# %%
import itertools
from importlib.resources import files

import matplotlib.pyplot as plt
import torch

import zsir
from zsir import Problem, operators, priors, samplers, solve
from zsir.metrics import psnr
from zsir.rng import PictureNoise
from zsir.workflow.pose import observe

# %% [markdown]
# ## A case in which everything is known
#
# Pictures are a stationary Gaussian field with power spectrum $S(k)$, the blur is periodic with transfer function
# $a(k)$. Then frequencies are independent, and
#
# $$ S_{mean} = \frac{a^2 S^2}{a^2 S + \sigma_y^2}, \quad D^* = \overline{S - S_{mean}}, \quad
#    P^2 = \overline{\bigl(\sqrt{S_{\hat x}} - \sqrt S\bigr)^2}, $$
#
# the bar being the mean over frequencies. 512 pictures are drawn, and $S_{\hat x}$ is measured on the results,
# averaged over frequencies of equal $|k|$.

# %%
SIDE, COUNT, NOISE = 16, 512, 0.1
blur = operators.make("blur:sigma=1,boundary=circular", in_shape=(1, SIDE, SIDE))
field = priors.load("gaussian:slope=2")

normals = PictureNoise(0, range(COUNT), "pictures")
blank = torch.zeros(COUNT, 1, SIDE, SIDE, dtype=torch.float64)
truth = 0.5 + field.covariance.filter(normals.randn_like(blank), torch.sqrt)
problem = Problem(observe(blur, truth, NOISE, normals).y, blur, NOISE)

impulse = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
impulse[..., 0, 0] = 1
S = torch.fft.fft2(field.covariance.filter(impulse, lambda values: values)).real[0, 0]
a = torch.fft.fft2(blur.forward(impulse)).real[0, 0]
S_mean = a**2 * S**2 / (a**2 * S + NOISE**2)
best, far = float((S - S_mean).mean()), float((S.sqrt() - S_mean.sqrt()).square().mean().sqrt())

k = torch.fft.fftfreq(SIDE, 1 / SIDE)
_, ring = (k[:, None] ** 2 + k**2).round().long().unique(return_inverse=True)


def plane(x):
    """Perception P and distortion D of results x."""
    power = torch.fft.fft2(x - 0.5).abs().square().mean((0, 1)) / SIDE**2
    total = torch.zeros(ring.max() + 1, dtype=x.dtype).scatter_add(0, ring.flatten(), power.flatten())
    measured = (total / ring.flatten().bincount())[ring]
    return float((measured.sqrt() - S.sqrt()).square().mean().sqrt()), float((x - truth).square().mean())


gain = a * S / (a**2 * S + NOISE**2)
mean = 0.5 + torch.fft.ifft2(gain * torch.fft.fft2(problem.y - 0.5)).real
spread = torch.fft.ifft2((S - S_mean).sqrt() * torch.fft.fft2(normals.randn_like(blank))).real
points = {"posterior mean": plane(mean), "posterior draw": plane(mean + spread)}
print(f"in theory: D* = {best:.5f}, P* = {far:.4f}, D(0) = {best + far**2:.5f}, 2 D* = {2 * best:.5f}")
for name, (p, d) in points.items():
    print(f"measured, {name}: P = {p:.4f}, D = {d:.5f}")
assert abs(points["posterior mean"][1] / best - 1) < 0.02
assert abs(points["posterior draw"][1] / (2 * best) - 1) < 0.02
assert abs(points["posterior mean"][0] / far - 1) < 0.05
assert points["posterior draw"][0] < 0.1 * far

# %% [markdown]
# ## The knobs on the plane
#
# `gaussian` is the exact denoiser, which a diffusion model approximates; `gaussian:kind=consistency` is the exact
# consistency function, which takes noise to one plausible picture instead of the mean of all.

# %%
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
exact_jump = priors.load("gaussian:slope=2,kind=consistency")
curves = {
    "RDMD, tau": [samplers.make(f"rdmd:tau={t}", nfe=40) for t in SHARES],
    "CM4IR, eta": [samplers.make(f"cm4ir:eta={e}", nfe=4) for e in SHARES],
    "CM4IR, eta, consistency": [samplers.make(f"cm4ir:eta={e}", nfe=4) for e in SHARES],
}
measured = {
    name: [plane(solve(problem, exact_jump if "consistency" in name else field, s).x) for s in row]
    for name, row in curves.items()
}
print("share", *(f"{name:>26s}" for name in measured))
for number, share in enumerate(SHARES):
    print(f"{share:5.2f}", *(f"    P {row[number][0]:.4f}  D {row[number][1]:.5f}" for row in measured.values()))

# %%
figure, axis = plt.subplots(figsize=(6.5, 4.4), dpi=80)
line = torch.linspace(0, 1.1 * far, 50)
axis.plot(line, best + (far - line).clamp_min(0) ** 2, color="black", label="possible: D* + (P* - P)²")
axis.fill_between(line, best + (far - line).clamp_min(0) ** 2, 0.02, color="0.9", label="impossible")
for (name, (p, d)), marker in zip(points.items(), "s^", strict=True):
    axis.plot(p, d, marker, color="black", markersize=8, label=name)
for name, row in measured.items():
    (curve,) = axis.plot(*zip(*row, strict=True), "o-", markersize=4, label=name)
    for share, place in list(zip(SHARES, row, strict=True))[:: len(SHARES) - 1]:
        below = (5, -12) if name == "CM4IR, eta" and share == 0 else (5, 4)  # two curves begin at one place
        axis.annotate(
            f"{share:g}", place, xytext=below, textcoords="offset points", fontsize=9, color=curve.get_color()
        )
axis.set(xlabel="perception P: distance of the laws", ylabel="distortion D: mean squared error", ylim=(0.024, 0.06))
axis.legend(fontsize=8)
figure.tight_layout()
plt.show()
for row in measured.values():
    assert all(d > best + max(far - p, 0) ** 2 for p, d in row)  # nothing is below the bound
    assert all(low[1] < high[1] for low, high in itertools.pairwise(row))  # each knob costs distortion
    assert all(low[0] > high[0] for low, high in itertools.pairwise(row))  # and buys perception
rdmd, denoising, jumping = measured.values()
assert rdmd[0][0] - rdmd[1][0] > (rdmd[1][0] - rdmd[-1][0]) and rdmd[-1][1] > 2 * best
assert denoising[3][1] < 1.1 * denoising[0][1]  # eta 0.5 against 0
assert jumping[0][1] < 1.03 * best and jumping[-1][0] < 0.16 * far and jumping[-1][1] < 2 * best

# %% [markdown]
# Both knobs lead from the mean's corner to that of the draw, above the bound:
#
# - RDMD covers most of the way, and the larger part of it between tau 0 and 0.1. At tau 1 it is at more distortion than
#   a draw from the posterior and not quite at its perception: 40 steps of DiffPIR do not sample exactly.
# - CM4IR with a denoiser stays nearer to the mean: four calls leave less variance than a draw has. Up to eta 0.5 the
#   knob costs little.
# - With a consistency function, for which the sampler has levels and ridges of its own, the knob leads from one corner
#   nearly to the other. Eta 0 is within 3 % of the least distortion. At eta 1 the function turns fresh noise into
#   structure, and P is a seventh of P* at less distortion than that of a draw. The default there is 0.95. (The first
#   level is chosen for `cm-photo`, a learned model with errors; for this exact one a lower level would do better: with
#   1.5 in place of 2.5 times the expected error, P is a twentieth of P*.)

# %% [markdown]
# ## On a photograph
#
# With the network `photo`, x2 reduction with noise 0.05. In place of $W_2$, which a single picture does not have: the
# energy of the finest detail ($x$ minus its blurred self) as a share of the truth's. 1 would be natural.

# %%
photograph = zsir.read(files("zsir") / "assets" / "demo.png").pixels[..., 32:128, 112:208]
soft = operators.make("blur:sigma=1", in_shape=photograph.shape[1:])


def detail(x):
    """Energy of fine detail."""
    return float((x - soft.forward(x)).square().mean())


knobs = [f"rdmd:tau={t},nfe=20" for t in (0, 0.1, 0.5)] + [f"cm4ir:eta={e},nfe=4" for e in (0, 0.5, 1)]
figure, axes = plt.subplots(2, 4, figsize=(10.5, 6.5), dpi=72)
found = {}
for axis, knob in zip(axes[:, :3].flat, knobs, strict=True):
    result = zsir.restore(photograph, "sr2x", noise=0.05, sampler=knob, simulate=True)
    found[knob] = psnr(result.x, photograph), detail(result.solution.x) / detail(photograph)
    axis.imshow(result.numpy())
    axis.set_title(f"{knob}\n{found[knob][0]:.2f} dB, detail {found[knob][1]:.2f}", fontsize=10)
for axis, (name, x) in zip(axes[:, 3], {"observation": result.observation, "truth": photograph}.items(), strict=True):
    axis.imshow(x[0].clamp(0, 1).permute(1, 2, 0))
    axis.set_title(name, fontsize=10)
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout()
plt.show()

tau, eta = ([found[knob] for knob in row] for row in (knobs[:3], knobs[3:]))
assert tau[0][0] > tau[1][0] > tau[2][0]
assert tau[0][1] < tau[1][1] < tau[2][1]
assert abs(eta[1][0] - eta[0][0]) < 0.2  # up to one half it costs nothing to speak of
assert eta[2][0] < eta[0][0] - 0.5
assert eta[0][1] < eta[1][1] < eta[2][1]
assert tau[2][1] < eta[2][1] < 1

# %% [markdown]
# All keep less fine detail than the truth has. With rising tau feathers get sharper first, at 0.1, then grainy. Eta 0.5
# is hardly different from 0; eta 1 has more fine detail than tau 0.5, but it is coloured grain, for `photo` is a
# denoiser and four calls do not remove the noise that was added. The energy of detail is no measure of beauty: it
# cannot tell grain from feathers. That is for $W_2$ above, and for the eye here.
