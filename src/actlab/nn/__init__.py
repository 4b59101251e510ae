"""Activations as PyTorch modules and functions: element-wise, gated, along an axis, in recurrent layers."""

from actlab.nn.functions import functional as functional
from actlab.nn.modules import ActivationModule as ActivationModule
from actlab.nn.modules import FewBit as FewBit
from actlab.nn.modules import inputs_of as inputs_of
from actlab.nn.modules import module as module
from actlab.nn.recurrent.cells import GRUCell as GRUCell
from actlab.nn.recurrent.cells import LSTMCell as LSTMCell
from actlab.nn.recurrent.cells import RNNCell as RNNCell
from actlab.nn.recurrent.layers import GRU as GRU
from actlab.nn.recurrent.layers import LSTM as LSTM
from actlab.nn.recurrent.layers import RNN as RNN
