"""The names of all priors. Imports no torch.

One line per name: what it names (imported when first used) and what it is.
"""

from __future__ import annotations

from zsir.names.registry import Entry, Registry
from zsir.priors.checkpoints.cards import cards

PRIORS = Registry(
    kind="prior",
    group="zsir.priors",
    builtin={
        "photo": Entry("zsir.priors.embedded:photo", "embedded denoiser for photographs, any size, colour or grey"),
        "cm-photo": Entry("zsir.priors.embedded:cm_photo", "embedded consistency model for photographs, made of photo"),
        "trained": Entry("zsir.priors.embedded:trained", "a network of zsir train or zsir distill, from its file"),
        "adm": Entry(
            "zsir.priors.checkpoints.adm.load:adm",
            "guided-diffusion (ADM) network or consistency model from its .pt file",
        ),
        **{name: Entry(f"zsir.priors.checkpoints.hub:{name}", card.summary) for name, card in cards().items()},
        "hub": Entry("zsir.priors.checkpoints.hub:hub", "any diffusers U-Net on the Hugging Face hub, by its id"),
        "folder": Entry("zsir.priors.checkpoints.hub:folder", "any diffusers U-Net in a folder of the hub's layout"),
        "latent": Entry(
            "zsir.priors.checkpoints.latent:latent", "Stable Diffusion or LCM: noise and denoise in latent space"
        ),
        "irsde-net": Entry(
            "zsir.priors.checkpoints.irsde.mean_reverting:irsde",
            "IR-SDE or Refusion network for one degradation, from its file",
        ),
        "ffdnet": Entry("zsir.priors.denoisers.ffdnet:ffdnet", "FFDNet, a fast denoiser up to 75/255; extra 'ffdnet'"),
        "drunet": Entry(
            "zsir.priors.denoisers.drunet:drunet", "DRUNet, the strong denoiser of DPIR, from its .pth file"
        ),
        "spandrel": Entry("zsir.priors.denoisers.spandrel:spandrel", "a denoiser that the package spandrel can load"),
        "wavelet": Entry("zsir.priors.denoisers.wavelet:wavelet", "Haar wavelet shrinkage, no training"),
        "tv": Entry("zsir.priors.denoisers.classical:tv", "total variation, no training; extra 'classical'"),
        "nlm": Entry("zsir.priors.denoisers.classical:nlm", "non-local means, no training; extra 'classical'"),
        "gaussian": Entry("zsir.priors.exact:power_law", "exact Gaussian prior with a 1/f spectrum (Wiener)"),
        "mixture": Entry("zsir.priors.exact:flat_mixture", "exact mixture of flat pictures, an oracle for tests"),
    },
)
