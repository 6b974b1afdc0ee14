"""Depthwise convolution by matrices is the convolution it replaces."""

import pytest
import torch

from indexer.encoders.embedded_shape import ConvShape
from indexer.encoders.embedded_trunk import Conv
from training.depthwise import MatrixDepthwise


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, 8), (3, 2, 7), (5, 1, 6), (5, 2, 9), (5, 2, 10)])
def test_values_and_gradients_agree(kernel, stride, size):
    torch.manual_seed(0)
    conv = Conv(ConvShape(6, 6, kernel, stride, 6, relu=True))
    same = MatrixDepthwise(conv)
    x = torch.randn(2, 6, size, size)
    for module in (conv, same):
        conv.zero_grad()
        y = module(x)
        y.square().sum().backward()
        if module is conv:
            expected, gradient = y.detach(), conv.weight.grad.clone()
    assert torch.allclose(y, expected, atol=1e-5)
    assert torch.allclose(conv.weight.grad, gradient, atol=1e-3)
