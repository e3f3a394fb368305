"""Pre-training methods in PyTorch, each the step of our side written down again."""

from .amlp import Amlp
from .masked import Beit2, BootMae, ConvMae, Mae, MaskFeat, SelfMedMae, SimMim
from .regions import Gl, Pcrl, Vox2Vec
from .views import Byol, DenseCl, Moco, SimClr, Swav

METHODS = {
    "amlp": Amlp,
    "simclr": SimClr,
    "byol": Byol,
    "swav": Swav,
    "moco": Moco,
    "densecl": DenseCl,
    "gl": Gl,
    "pcrl": Pcrl,
    "vox2vec": Vox2Vec,
    "mae": Mae,
    "simmim": SimMim,
    "maskfeat": MaskFeat,
    "convmae": ConvMae,
    "beit2": Beit2,
    "bootmae": BootMae,
    "selfmedmae": SelfMedMae,
}
