"""BibTeX of the publications behind the priors, by the keys that docstrings name as ``Source: ... [key]``."""

from __future__ import annotations

BIBTEX: dict[str, str] = {
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
    "lcm": """@misc{luo2023lcm,
  title  = {Latent Consistency Models: Synthesizing High-Resolution Images with Few-Step Inference},
  author = {Luo, Simian and Tan, Yiqin and Huang, Longbo and Li, Jian and Zhao, Hang},
  year   = {2023},
  note   = {arXiv:2310.04378}
}""",
    "zerosnr": """@inproceedings{lin2024zerosnr,
  title     = {Common Diffusion Noise Schedules and Sample Steps are Flawed},
  author    = {Lin, Shanchuan and Liu, Bingchen and Li, Jiashi and Yang, Xiao},
  booktitle = {IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)},
  year      = {2024}
}""",
    "scoresde": """@inproceedings{song2021scoresde,
  title     = {Score-Based Generative Modeling through Stochastic Differential Equations},
  author    = {Song, Yang and Sohl-Dickstein, Jascha and Kingma, Diederik P. and Kumar, Abhishek and Ermon, Stefano
               and Poole, Ben},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2021}
}""",
    "flow": """@inproceedings{lipman2023flow,
  title     = {Flow Matching for Generative Modeling},
  author    = {Lipman, Yaron and Chen, Ricky T. Q. and Ben-Hamu, Heli and Nickel, Maximilian and Le, Matt},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2023}
}""",
    "refusion": """@inproceedings{luo2023refusion,
  title     = {Refusion: Enabling Large-Size Realistic Image Restoration with Latent-Space Diffusion Models},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and Zhao, Zheng and Sj{\\"o}lund, Jens and Sch{\\"o}n, Thomas B.},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR) Workshops},
  year      = {2023}
}""",
    "selfensemble": """@inproceedings{timofte2016seven,
  title     = {Seven Ways to Improve Example-Based Single Image Super Resolution},
  author    = {Timofte, Radu and Rothe, Rasmus and Van Gool, Luc},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2016}
}""",
    "ffdnet": """@article{zhang2018ffdnet,
  title   = {{FFDNet}: Toward a Fast and Flexible Solution for {CNN}-Based Image Denoising},
  author  = {Zhang, Kai and Zuo, Wangmeng and Zhang, Lei},
  journal = {IEEE Transactions on Image Processing},
  volume  = {27},
  number  = {9},
  pages   = {4608--4622},
  year    = {2018}
}""",
    "tv": """@article{chambolle2004tv,
  title   = {An Algorithm for Total Variation Minimization and Applications},
  author  = {Chambolle, Antonin},
  journal = {Journal of Mathematical Imaging and Vision},
  volume  = {20},
  pages   = {89--97},
  year    = {2004}
}""",
    "nlm": """@inproceedings{buades2005nlm,
  title     = {A Non-Local Algorithm for Image Denoising},
  author    = {Buades, Antoni and Coll, Bartomeu and Morel, Jean-Michel},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2005}
}""",
    "wavelet": """@article{chang2000bayesshrink,
  title   = {Adaptive Wavelet Thresholding for Image Denoising and Compression},
  author  = {Chang, S. Grace and Yu, Bin and Vetterli, Martin},
  journal = {IEEE Transactions on Image Processing},
  volume  = {9},
  number  = {9},
  pages   = {1532--1546},
  year    = {2000}
}""",
}
