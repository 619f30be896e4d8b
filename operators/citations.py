"""BibTeX of the publications behind the operators, by the keys that docstrings name as ``Source: ... [key]``."""

from __future__ import annotations

BIBTEX: dict[str, str] = {
    "keys": """@article{keys1981cubic,
  title   = {Cubic Convolution Interpolation for Digital Image Processing},
  author  = {Keys, Robert G.},
  journal = {IEEE Transactions on Acoustics, Speech, and Signal Processing},
  year    = {1981}
}""",
    "fsr": """@article{zhao2016fast,
  title   = {Fast Single Image Super-Resolution Using a New Analytical Solution for {$\\ell_2$}-{$\\ell_2$} Problems},
  author  = {Zhao, Ningning and Wei, Qi and Basarab, Adrian and Dobigeon, Nicolas and Kouam{\\'e}, Denis and
             Tourneret, Jean-Yves},
  journal = {IEEE Transactions on Image Processing},
  year    = {2016}
}""",
    "apex": """@article{carasso2001direct,
  title   = {Direct Blind Deconvolution},
  author  = {Carasso, Alfred S.},
  journal = {SIAM Journal on Applied Mathematics},
  year    = {2001}
}""",
    "reeves": """@article{reeves2005boundary,
  title   = {Fast Image Restoration Without Boundary Artifacts},
  author  = {Reeves, Stanley J.},
  journal = {IEEE Transactions on Image Processing},
  year    = {2005}
}""",
    "realesrgan": """@inproceedings{wang2021realesrgan,
  title     = {Real-{ESRGAN}: Training Real-World Blind Super-Resolution with Pure Synthetic Data},
  author    = {Wang, Xintao and Xie, Liangbin and Dong, Chao and Shan, Ying},
  booktitle = {ICCV Workshops},
  year      = {2021}
}""",
    "wildir": """@inproceedings{luo2024photo,
  title     = {Photo-Realistic Image Restoration in the Wild with Controlled Vision-Language Models},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and Zhao, Zheng and Sj{\"o}lund, Jens and Sch{\"o}n, Thomas B.},
  booktitle = {CVPR Workshops},
  year      = {2024}
}""",
}
