"""BibTeX of the publications behind the methods, by the keys that docstrings name as ``Source: ... [key]``."""

from __future__ import annotations

BIBTEX: dict[str, str] = {
    "cm4ir": """@inproceedings{garber2025cm4ir,
  title     = {Zero-Shot Image Restoration Using Few-Step Guidance of Consistency Models (and Beyond)},
  author    = {Garber, Tomer and Tirer, Tom},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025},
  note      = {arXiv:2412.20596}
}""",
    "dpir": """@article{zhang2022dpir,
  title   = {Plug-and-Play Image Restoration with Deep Denoiser Prior},
  author  = {Zhang, Kai and Li, Yawei and Zuo, Wangmeng and Zhang, Lei and Van Gool, Luc and Timofte, Radu},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2022}
}""",
    "edm": """@inproceedings{karras2022edm,
  title     = {Elucidating the Design Space of Diffusion-Based Generative Models},
  author    = {Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2022}
}""",
    "consistency": """@inproceedings{song2023consistency,
  title     = {Consistency Models},
  author    = {Song, Yang and Dhariwal, Prafulla and Chen, Mark and Sutskever, Ilya},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2023}
}""",
    "adm": """@inproceedings{dhariwal2021adm,
  title     = {Diffusion Models Beat {GANs} on Image Synthesis},
  author    = {Dhariwal, Prafulla and Nichol, Alex},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2021}
}""",
    "ddpm": """@inproceedings{ho2020ddpm,
  title     = {Denoising Diffusion Probabilistic Models},
  author    = {Ho, Jonathan and Jain, Ajay and Abbeel, Pieter},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2020}
}""",
    "vprediction": """@inproceedings{salimans2022distillation,
  title     = {Progressive Distillation for Fast Sampling of Diffusion Models},
  author    = {Salimans, Tim and Ho, Jonathan},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2022}
}""",
    "irsde": """@inproceedings{luo2023irsde,
  title     = {Image Restoration with Mean-Reverting Stochastic Differential Equations},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and Zhao, Zheng and Sj{\\"o}lund, Jens and Sch{\\"o}n, Thomas B.},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2023}
}""",
    "refusion": """@inproceedings{luo2023refusion,
  title     = {Refusion: Enabling Large-Size Realistic Image Restoration with Latent-Space Diffusion Models},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and Zhao, Zheng and Sj{\\"o}lund, Jens and Sch{\\"o}n, Thomas B.},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR) Workshops},
  year      = {2023}
}""",
    "keys": """@article{keys1981cubic,
  title   = {Cubic Convolution Interpolation for Digital Image Processing},
  author  = {Keys, Robert G.},
  journal = {IEEE Transactions on Acoustics, Speech, and Signal Processing},
  year    = {1981}
}""",
    "zsir": """@software{zsir,
  title  = {zsir: zero-shot image restoration with pretrained generative priors},
  author = {{The zsir authors}},
  year   = {2026}
}""",
}
