from . import kernels as kernels
from . import nn as nn
from .catalog.index import get as get
from .diagnosis.check import check as check
from .errors import ActlabError as ActlabError
from .formula.activation import Activation as Activation
from .formula.activation import activation as activation
from .formula.param import Param as Param
from .nn.functions import functional as functional
from .nn.modules import module as module
from .sites.find import sites as sites
from .sites.swap.swap import swap as swap
from .sites.swap.swap import trainable_activation_parameters as trainable_activation_parameters
from .theory.gains import gain as gain
from .theory.gains import moments as moments
from .theory.infinite_width import kernel as kernel
from .theory.mean_field import edge_of_chaos as edge_of_chaos
from .theory.properties import properties as properties
from .train.task import Task as Task
from .verbs.advise import advise as advise
from .verbs.compare import compare as compare
from .verbs.identify import identify as identify
from .verbs.novel import novel as novel
from .web.live import watch as watch

__version__: str
