"""The names of all operators, priors and samplers. Imports no torch.

One line per name: what it names (imported when first used) and what it is.
"""

from __future__ import annotations

from zsir.cards import cards
from zsir.registry import Entry, Registry

OPERATORS = Registry(
    kind="operator",
    group="zsir.operators",
    context=("in_shape",),
    builtin={
        "identity": Entry("zsir.operators.mask:identity", "y = x + noise: denoising"),
        "mask": Entry("zsir.operators.mask:random_mask", "a random share of the pixels is observed"),
        "box": Entry("zsir.operators.mask:box_mask", "a rectangle of pixels is missing"),
        "mask-file": Entry("zsir.operators.mask:file_mask", "pixels that are white in a picture are observed"),
        "blur": Entry("zsir.operators.blur:gaussian_blur", "Gaussian blur"),
        "uniform": Entry("zsir.operators.blur:uniform_blur", "box blur"),
        "motion": Entry("zsir.operators.blur:motion_blur", "straight motion blur"),
        "shake": Entry("zsir.operators.blur:shake_blur", "blur of a random hand-shake path"),
        "kernel": Entry("zsir.operators.blur:kernel_blur", "blur with a kernel from a file"),
        "downsample": Entry(
            "zsir.operators.resampling:downsample",
            "reduction by a whole factor, antialiased",
            in_shape="zsir.operators.resampling:picture_shape",
        ),
    },
    aliases={
        "denoise": "identity",
        **{f"sr{f}x": f"downsample:factor={f}" for f in (2, 3, 4, 8, 16)},
        **{f"sr{f}x-matlab": f"downsample:factor={f},rule=matlab" for f in (2, 3, 4, 8)},
    },
)

PRIORS = Registry(
    kind="prior",
    group="zsir.priors",
    builtin={
        "photo": Entry("zsir.priors.embedded:photo", "embedded denoiser for photographs, any size, colour or grey"),
        "cm-photo": Entry("zsir.priors.embedded:cm_photo", "embedded consistency model for photographs, made of photo"),
        "trained": Entry("zsir.priors.embedded:trained", "a network of zsir train or zsir distill, from its file"),
        "adm": Entry("zsir.priors.adm:adm", "guided-diffusion (ADM) network or consistency model from its .pt file"),
        **{name: Entry(f"zsir.priors.hub:{name}", card.summary) for name, card in cards().items()},
        "hub": Entry("zsir.priors.hub:hub", "any diffusers U-Net on the Hugging Face hub, by its id"),
        "folder": Entry("zsir.priors.hub:folder", "any diffusers U-Net in a folder of the hub's layout"),
        "latent": Entry("zsir.priors.latent:latent", "Stable Diffusion or LCM: noise and denoise in latent space"),
        "irsde-net": Entry("zsir.priors.irsde:irsde", "IR-SDE or Refusion network for one degradation, from its file"),
        "ffdnet": Entry("zsir.priors.ffdnet:ffdnet", "FFDNet, a fast denoiser up to 75/255; extra 'ffdnet'"),
        "drunet": Entry("zsir.priors.drunet:drunet", "DRUNet, the strong denoiser of DPIR, from its .pth file"),
        "spandrel": Entry("zsir.priors.spandrel:spandrel", "a denoiser that the package spandrel can load"),
        "wavelet": Entry("zsir.priors.wavelet:wavelet", "Haar wavelet shrinkage, no training"),
        "tv": Entry("zsir.priors.classical:tv", "total variation, no training; extra 'classical'"),
        "nlm": Entry("zsir.priors.classical:nlm", "non-local means, no training; extra 'classical'"),
        "gaussian": Entry("zsir.priors.exact:power_law", "exact Gaussian prior with a 1/f spectrum (Wiener)"),
        "mixture": Entry("zsir.priors.exact:flat_mixture", "exact mixture of flat pictures, an oracle for tests"),
    },
)

SAMPLERS = Registry(
    kind="sampler",
    group="zsir.samplers",
    builtin={
        "cm4ir": Entry("zsir.samplers.cm4ir:CM4IR", "few calls: initialise, back-project, inject noise"),
        "cm4ir-published": Entry("zsir.samplers.cm4ir:published", "CM4IR with its authors' settings for a task"),
        "injected": Entry("zsir.samplers.injected:Injected", "CM4IR's injection with DDNM's, DiffPIR's or DDRM's step"),
        "hqs": Entry("zsir.samplers.hqs:HQS", "plug-and-play half-quadratic splitting (DPIR)"),
        "pgd": Entry("zsir.samplers.pnp:PGD", "plug-and-play proximal gradient, no inverse needed"),
        "admm": Entry("zsir.samplers.pnp:ADMM", "plug-and-play ADMM"),
        "red": Entry("zsir.samplers.pnp:RED", "regularisation by denoising, gradient form, no inverse needed"),
        "rdmd": Entry("zsir.samplers.rdmd:RDMD", "two regularisers, one knob from fidelity to texture"),
        "latino": Entry("zsir.samplers.latino:LATINO", "for the prior latent: auto-encode with noise, then data"),
        "irsde": Entry("zsir.samplers.irsde:IRSDE", "IR-SDE posterior sampling, SDE and ODE"),
        "ddrm": Entry("zsir.samplers.ddrm:DDRM", "diffusion restoration mode by mode"),
        "ddnm": Entry("zsir.samplers.ddnm:DDNM", "range-null space decomposition, noise-free data"),
        "ddnm+": Entry("zsir.samplers.ddnm:DDNMPlus", "DDNM for noisy data"),
        "ddpg": Entry("zsir.samplers.ddpg:DDPG", "guidance from back-projection to least squares"),
        "diffpir": Entry("zsir.samplers.diffpir:DiffPIR", "denoise, exact data step, noise back"),
        "dps": Entry("zsir.samplers.dps:DPS", "gradient of the misfit through the network"),
        "pigdm": Entry("zsir.samplers.pigdm:PiGDM", "pseudo-inverse guidance through the network"),
        "mmps": Entry("zsir.samplers.mmps:MMPS", "moments of the posterior through the network; exact for Gaussians"),
        "red-diff": Entry("zsir.samplers.reddiff:REDDiff", "variational inference by Adam"),
        "daps": Entry("zsir.samplers.daps:DAPS", "decoupled annealing: ODE, data, noise"),
        "gibbs": Entry("zsir.samplers.gibbs:Gibbs", "split Gibbs sampling (PnP-DM)"),
        "pnp-cm": Entry("zsir.samplers.pnpcm:PnPCM", "few-step ADMM for consistency models"),
        "tds": Entry("zsir.samplers.tds:TDS", "particles: sequential Monte Carlo, asymptotically exact"),
    },
    aliases={
        "dpir": "hqs",
        "pnp": "hqs",
        "idpg": "ddpg:inject=false",
        "mcg": "dps:project=true",
        "pnp-dm": "gibbs",
    },
)
