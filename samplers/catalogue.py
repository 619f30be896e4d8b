"""The names of all samplers. Imports no torch.

One line per name: what it names (imported when first used) and what it is.
"""

from __future__ import annotations

from zsir.names.registry import Entry, Registry

SAMPLERS = Registry(
    kind="sampler",
    group="zsir.samplers",
    builtin={
        "cm4ir": Entry("zsir.samplers.few_step.cm4ir:CM4IR", "few calls: initialise, back-project, inject noise"),
        "cm4ir-published": Entry(
            "zsir.samplers.few_step.cm4ir:published", "CM4IR with its authors' settings for a task"
        ),
        "injected": Entry(
            "zsir.samplers.few_step.injected:Injected", "CM4IR's injection with DDNM's, DiffPIR's or DDRM's step"
        ),
        "hqs": Entry("zsir.samplers.plug_and_play.hqs:HQS", "plug-and-play half-quadratic splitting (DPIR)"),
        "pgd": Entry("zsir.samplers.plug_and_play.pnp:PGD", "plug-and-play proximal gradient, no inverse needed"),
        "admm": Entry("zsir.samplers.plug_and_play.pnp:ADMM", "plug-and-play ADMM"),
        "red": Entry(
            "zsir.samplers.plug_and_play.pnp:RED", "regularisation by denoising, gradient form, no inverse needed"
        ),
        "rdmd": Entry("zsir.samplers.plug_and_play.rdmd:RDMD", "two regularisers, one knob from fidelity to texture"),
        "latino": Entry(
            "zsir.samplers.few_step.latino:LATINO", "for the prior latent: auto-encode with noise, then data"
        ),
        "irsde": Entry("zsir.samplers.diffusion.irsde:IRSDE", "IR-SDE posterior sampling, SDE and ODE"),
        "ddrm": Entry("zsir.samplers.diffusion.ddrm:DDRM", "diffusion restoration mode by mode"),
        "ddnm": Entry("zsir.samplers.diffusion.ddnm:DDNM", "range-null space decomposition, noise-free data"),
        "ddnm+": Entry("zsir.samplers.diffusion.ddnm:DDNMPlus", "DDNM for noisy data"),
        "ddpg": Entry("zsir.samplers.diffusion.ddpg:DDPG", "guidance from back-projection to least squares"),
        "diffpir": Entry("zsir.samplers.diffusion.diffpir:DiffPIR", "denoise, exact data step, noise back"),
        "dps": Entry("zsir.samplers.gradient.dps:DPS", "gradient of the misfit through the network"),
        "pigdm": Entry("zsir.samplers.gradient.pigdm:PiGDM", "pseudo-inverse guidance through the network"),
        "mmps": Entry(
            "zsir.samplers.gradient.mmps:MMPS", "moments of the posterior through the network; exact for Gaussians"
        ),
        "red-diff": Entry("zsir.samplers.diffusion.reddiff:REDDiff", "variational inference by Adam"),
        "daps": Entry("zsir.samplers.diffusion.daps:DAPS", "decoupled annealing: ODE, data, noise"),
        "gibbs": Entry("zsir.samplers.diffusion.gibbs:Gibbs", "split Gibbs sampling (PnP-DM)"),
        "pnp-cm": Entry("zsir.samplers.few_step.pnpcm:PnPCM", "few-step ADMM for consistency models"),
        "tds": Entry("zsir.samplers.gradient.tds:TDS", "particles: sequential Monte Carlo, asymptotically exact"),
    },
    aliases={
        "dpir": "hqs",
        "pnp": "hqs",
        "idpg": "ddpg:inject=false",
        "mcg": "dps:project=true",
        "pnp-dm": "gibbs",
    },
)
