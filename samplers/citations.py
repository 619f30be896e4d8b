"""BibTeX of the publications behind the samplers, by the keys that docstrings name as ``Source: ... [key]``."""

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
    "latino": """@inproceedings{spagnoletti2025latino,
  title     = {{LATINO-PRO}: {LAtent} {consisTency} {INverse} {sOlver} with {PRompt} Optimization},
  author    = {Spagnoletti, Alessio and Prost, Jean and Almansa, Andr{\\'e}s and Papadakis, Nicolas
               and Pereyra, Marcelo},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2025}
}""",
    "irsde": """@inproceedings{luo2023irsde,
  title     = {Image Restoration with Mean-Reverting Stochastic Differential Equations},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and
               Zhao, Zheng and Sj{\\"o}lund, Jens and Sch{\\"o}n, Thomas B.},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2023}
}""",
    "irsde-posterior": """@inproceedings{luo2024photo,
  title     = {Photo-Realistic Image Restoration in the Wild with Controlled Vision-Language Models},
  author    = {Luo, Ziwei and Gustafsson, Fredrik K. and
               Zhao, Zheng and Sj{\\"o}lund, Jens and Sch{\\"o}n, Thomas B.},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops},
  year      = {2024},
  note      = {arXiv:2404.09732}
}""",
    "rdmd": """@inproceedings{wang2025rdmd,
  title     = {Reconciling Stochastic and Deterministic Strategies for Zero-shot Image Restoration
               using Diffusion Model in Dual},
  author    = {Wang, Chong and Guo, Lanqing and Fu, Zixuan and
               Yang, Siyuan and Cheng, Hao and Kot, Alex C. and Wen, Bihan},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025},
  note      = {arXiv:2503.01288}
}""",
    "ddrm": """@inproceedings{kawar2022ddrm,
  title     = {Denoising Diffusion Restoration Models},
  author    = {Kawar, Bahjat and Elad, Michael and Ermon, Stefano and Song, Jiaming},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2022}
}""",
    "ddnm": """@inproceedings{wang2023ddnm,
  title     = {Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model},
  author    = {Wang, Yinhuai and Yu, Jiwen and Zhang, Jian},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2023}
}""",
    "ddpg": """@inproceedings{garber2024ddpg,
  title     = {Image Restoration by Denoising Diffusion Models with Iteratively Preconditioned Guidance},
  author    = {Garber, Tomer and Tirer, Tom},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2024}
}""",
    "diffpir": """@inproceedings{zhu2023diffpir,
  title     = {Denoising Diffusion Models for Plug-and-Play Image Restoration},
  author    = {Zhu, Yuanzhi and Zhang, Kai and Liang, Jingyun and
               Cao, Jiezhang and Wen, Bihan and Timofte, Radu and Van Gool, Luc},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops},
  year      = {2023}
}""",
    "dps": """@inproceedings{chung2023dps,
  title     = {Diffusion Posterior Sampling for General Noisy Inverse Problems},
  author    = {Chung, Hyungjin and Kim, Jeongsol and McCann, Michael T. and Klasky, Marc L. and Ye, Jong Chul},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2023}
}""",
    "mcg": """@inproceedings{chung2022mcg,
  title     = {Improving Diffusion Models for Inverse Problems using Manifold Constraints},
  author    = {Chung, Hyungjin and Sim, Byeongsu and Ryu, Dohoon and Ye, Jong Chul},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2022}
}""",
    "pigdm": """@inproceedings{song2023pigdm,
  title     = {Pseudoinverse-Guided Diffusion Models for Inverse Problems},
  author    = {Song, Jiaming and Vahdat, Arash and Mardani, Morteza and Kautz, Jan},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2023}
}""",
    "mmps": """@inproceedings{rozet2024mmps,
  title     = {Learning Diffusion Priors from Observations by Expectation Maximization},
  author    = {Rozet, Fran{\\c{c}}ois and Andry, G{\\'e}r{\\^o}me and Lanusse, Fran{\\c{c}}ois and Louppe, Gilles},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2024}
}""",
    "reddiff": """@inproceedings{mardani2024reddiff,
  title     = {A Variational Perspective on Solving Inverse Problems with Diffusion Models},
  author    = {Mardani, Morteza and Song, Jiaming and Kautz, Jan and Vahdat, Arash},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2024}
}""",
    "daps": """@inproceedings{zhang2025daps,
  title     = {Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing},
  author    = {Zhang, Bingliang and Chu, Wenda and Berner, Julius and
               Meng, Chenlin and Anandkumar, Anima and Song, Yang},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025}
}""",
    "pnpdm": """@inproceedings{wu2024pnpdm,
  title     = {Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play Priors},
  author    = {Wu, Zihui and Sun, Yu and Chen, Yifan and Zhang, Bingliang and Yue, Yisong and Bouman, Katherine L.},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2024}
}""",
    "pnpcm": """@inproceedings{gulle2026pnpcm,
  title     = {{PnP-CM}: Consistency Models as Plug-and-Play Priors for Inverse Problems},
  author    = {G{\\"u}lle, Merve and others},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2026}
}""",
    "tds": """@inproceedings{wu2023tds,
  title     = {Practical and Asymptotically Exact Conditional Sampling in Diffusion Models},
  author    = {Wu, Luhuan and Trippe, Brian L. and
               Naesseth, Christian A. and Blei, David M. and Cunningham, John P.},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2023}
}""",
    "red": """@article{romano2017red,
  title   = {The Little Engine That Could: Regularization by Denoising ({RED})},
  author  = {Romano, Yaniv and Elad, Michael and Milanfar, Peyman},
  journal = {SIAM Journal on Imaging Sciences},
  year    = {2017}
}""",
    "pnp": """@inproceedings{venkatakrishnan2013pnp,
  title     = {Plug-and-Play Priors for Model Based Reconstruction},
  author    = {Venkatakrishnan, Singanallur V. and Bouman, Charles A. and Wohlberg, Brendt},
  booktitle = {IEEE Global Conference on Signal and Information Processing},
  year      = {2013}
}""",
    "pnp-pgd": """@article{kamilov2017pnp,
  title   = {A Plug-and-Play Priors Approach for Solving Nonlinear Imaging Inverse Problems},
  author  = {Kamilov, Ulugbek S. and Mansour, Hassan and Wohlberg, Brendt},
  journal = {IEEE Signal Processing Letters},
  year    = {2017}
}""",
}
