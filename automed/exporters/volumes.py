"""Networks of volumes for runtimes that have no 3D kernels: an exact rewrite onto slices."""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

from automed.errors import ExportError
from automed.exporters import slices

ATEN = torch.ops.aten
AXES = {1: 1, 2: 0, 3: 2, 4: 3}
"""Where an axis of a volume (1, C, D, H, W) is in its slices (D, C, H, W)."""
ALIKE = (ATEN.dropout.default, ATEN.to.dtype, ATEN.clone.default, ATEN.batch_norm.default)
"""Operations besides the pointwise ones that do with slices what they do with volumes."""
READ = {"mode": "bilinear", "padding_mode": "border", "align_corners": True}
"""How `slices.Reading` samples, in the words of `grid_sample`."""
READING = (0, 1, True)
"""That in the numbers of `grid_sampler`."""


class ReadByIndex(TorchFunctionMode):
    """Where it holds, volumes are read off by index: for runtimes that sample images alone."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What torch would compute."""
        given = kwargs or {}
        if function is functional.grid_sample and args[0].ndim == 5 and given == READ:
            return slices.Reading()(*args)
        return function(*args, **given)


def sliced(model: nn.Module, given: Sequence[Tensor]) -> nn.Module:
    """A network that computes what another does, for one sample with inputs of these shapes.

    Between 3D layers a volume is held as its slices (D, C, H, W): depth is a batch to 2D kernels,
    and no axis is moved from one layer to the next.

    Args:
        model: Any network in evaluation mode; it is left as it is.
        given: An example of every input, (1, ...).

    Raises:
        ExportError: A 3D layer of it is not known here.
    """
    with torch.no_grad():
        program: Any = torch.export.export(model, tuple(given), strict=False).module()
    rewrite = _Rewrite(program)
    for node in program.graph.nodes:
        rewrite.take(node)
    return rewrite.done()


class _Rewrite:
    """A new graph beside the old one; a value is there as a whole, as slices, or as both."""

    def __init__(self, program: fx.GraphModule) -> None:
        self.program, self.graph = program, fx.Graph()
        self.whole: dict[fx.Node, fx.Node] = {}
        self.slices: dict[fx.Node, fx.Node] = {}
        self.folded: set[fx.Node] = set()

    def take(self, node: fx.Node) -> None:
        """Rewrite the next node of the old graph."""
        if node.op == "call_module" or node.target == ATEN._assert_tensor_metadata.default:
            return  # torch.export's checks of its inputs
        if node in self.folded:
            self.slices[node] = self.slices[node.all_input_nodes[0]]
        elif node.target == ATEN.grid_sampler.default and node.args[2:] == READING:
            places = tuple(self.as_whole(source) for source in node.all_input_nodes)
            self.whole[node] = self._module(node, slices.Reading(), places)
        elif (made := self._in_slices(node)) is None:
            self.whole[node] = self.graph.node_copy(node, self.as_whole)
        elif node.target in REDUCED and not _is_volume(node):
            self.whole[node] = self._united(made, node)
        else:
            self.slices[node] = made

    def done(self) -> nn.Module:
        """The rewritten network."""
        self.graph.set_codegen(self.program.graph._codegen)
        every = fx.GraphModule(self.program, self.graph)
        every.graph.eliminate_dead_code()
        for node in every.graph.nodes:
            if node.op == "call_function" and "3d" in str(node.target):
                raise ExportError(f"there is no rewrite of {node.target} onto slices")
        return fx.GraphModule(every, every.graph)  # holds what the graph names, nothing else

    def as_whole(self, node: fx.Node) -> fx.Node:
        """A value as the old graph has it."""
        if node not in self.whole:
            self.whole[node] = self._united(self.slices[node], node)
        return self.whole[node]

    def as_slices(self, node: fx.Node) -> fx.Node:
        """A volume (1, C, D, H, W) as (D, C, H, W)."""
        if node not in self.slices:
            shape = list(node.meta["val"].shape[1:])
            alone = self._call(ATEN.reshape.default, self.whole[node], shape)
            self.slices[node] = self._call(ATEN.transpose.int, alone, 0, 1)
        return self.slices[node]

    def weights(
        self, node: fx.Node, weight: Any, bias: Any, transposed: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a convolution, with the batch norm behind it, if there is one.

        It becomes several convolutions, into which no runtime would fold the norm.
        """
        known, shift = self.value(weight), self.value(bias)
        norm = next(iter(node.users))
        in_groups = transposed and node.args[6:] and node.args[6] != 1  # torch does not fold these
        if len(node.users) > 1 or norm.target != ATEN.batch_norm.default or in_groups:
            return known, shift
        scale, offset, mean, variance = (self.value(n) for n in norm.args[1:5])
        eps: Any = norm.args[7]
        self.folded.add(norm)
        return fuse_conv_bn_weights(
            known, shift, mean, variance, eps, scale, offset, transposed
        )  # fmt: skip

    def value(self, node: Any) -> Any:
        """A weight of the old graph, or None."""
        return None if node is None else operator.attrgetter(node.target)(self.program)

    def _in_slices(self, node: fx.Node) -> fx.Node | None:
        """The node on slices, if its operation is one of volumes and known."""
        rest: Any = node.args[1:]
        first, target = next(iter(node.args), None), node.target
        if target in LAYERS and _is_volume(first):
            layer = LAYERS[target](self, node, *rest, **node.kwargs)
            return self._module(node, layer, (self.as_slices(node.all_input_nodes[0]),))
        if not any(source in self.slices for source in node.all_input_nodes):
            return None
        if target == operator.getitem:
            return self.graph.node_copy(node, self.slices.__getitem__)
        if torch.Tag.pointwise in getattr(target, "tags", ()) or target in ALIKE:
            return self._pointwise(node)
        if target in REDUCED and not node.kwargs:
            return self._reduced(node, *rest)
        if target in MOVED:
            args = MOVED[target](*rest, **node.kwargs)
            return self._call(target, fx.map_arg(first, self.as_slices), *args)
        return None

    def _pointwise(self, node: fx.Node) -> fx.Node | None:
        volumes = {n for n in node.all_input_nodes if _is_volume(n)}
        if any(n.meta["val"].ndim > 2 for n in node.all_input_nodes if _has_shape(n, volumes)):
            return None
        return self.graph.node_copy(
            node, lambda n: self.as_slices(n) if n in volumes else self.as_whole(n)
        )

    def _reduced(self, node: fx.Node, axes: Sequence[int], keepdim: bool = False) -> fx.Node | None:
        """Within slices first, then over them: for that runtimes have kernels."""
        moved = {AXES[axis % 5] for axis in axes if axis % 5 in AXES}
        if len(moved) < len(axes):
            return None
        made = self.as_slices(node.all_input_nodes[0])
        for some in ([2, 3], [0], [1]) if moved >= {2, 3} else [[axis] for axis in sorted(moved)]:
            if moved.issuperset(some):
                made = self._call(node.target, made, some, True)
        return made

    def _united(self, made: fx.Node, node: fx.Node) -> fx.Node:
        """Slices in the shape that a node of the old graph has."""
        turned = self._call(ATEN.transpose.int, made, 0, 1)
        return self._call(ATEN.reshape.default, turned, list(node.meta["val"].shape))

    def _module(self, node: fx.Node, layer: nn.Module, args: tuple[fx.Node, ...]) -> fx.Node:
        name = f"sliced_{node.name}"
        self.program.add_submodule(name, layer)
        return self.graph.call_module(name, args)

    def _call(self, target: Any, *args: Any) -> fx.Node:
        return self.graph.call_function(target, args)


def _is_volume(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, Tensor) and value.ndim == 5 and value.shape[0] == 1


def _has_shape(node: fx.Node, volumes: set[fx.Node]) -> bool:
    return node not in volumes and isinstance(node.meta.get("val"), Tensor)


def _three(value: Any) -> list[int]:
    """One number an axis."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * 3 if len(numbers) == 1 else numbers


def _convolution(
    rewrite: _Rewrite, node: fx.Node, weight: Any, bias: Any = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> nn.Module:  # fmt: skip
    return slices.Convolution(
        *rewrite.weights(node, weight, bias),
        _three(stride), _three(padding), _three(dilation), groups,
    )  # fmt: skip


def _transposed(
    rewrite: _Rewrite, node: fx.Node, weight: Any, bias: Any = None,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> nn.Module:  # fmt: skip
    return slices.TransposedConvolution(
        *rewrite.weights(node, weight, bias, transposed=True),
        _three(stride), _three(padding), _three(output_padding), groups, _three(dilation),
    )  # fmt: skip


def _max_pool(
    rewrite: _Rewrite, node: fx.Node, extent: Any,
    stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False,
) -> nn.Module:  # fmt: skip
    extent = _three(extent)
    stride = _three(stride or extent)
    return slices.Maximum(extent, stride, _three(padding), _three(dilation), ceil)


def _average(
    rewrite: _Rewrite, node: fx.Node, extent: Any, stride: Any = (), padding: Any = 0,
    ceil: bool = False, counts_padding: bool = True, divisor: int | None = None,
) -> nn.Module:  # fmt: skip
    extent = _three(extent)
    stride, padding = _three(stride or extent), _three(padding)
    along = _along(
        node, functional.avg_pool1d, extent[:1], stride[:1], padding[:1], ceil, counts_padding
    )
    within = partial(
        functional.avg_pool2d,
        kernel_size=extent[1:],
        stride=stride[1:],
        padding=padding[1:],
        ceil_mode=ceil,
        count_include_pad=counts_padding,
        divisor_override=divisor,
    )
    return slices.Linear(along if divisor is None else along.sign(), within)


def _adaptive_average(rewrite: _Rewrite, node: fx.Node, size: Sequence[int]) -> nn.Module:
    return slices.Linear(
        _along(node, functional.adaptive_avg_pool1d, size[0]),
        partial(functional.adaptive_avg_pool2d, output_size=(size[1], size[2])),
    )


def _nearest(
    rewrite: _Rewrite, node: fx.Node, size: Any, scale_factors: Any = None
) -> nn.Module:  # fmt: skip
    mode = "nearest-exact" if "exact" in str(node.target) else "nearest"
    return _resized(node, size, scale_factors, mode, mode)


def _linear(
    rewrite: _Rewrite, node: fx.Node, size: Any, align_corners: bool, scale_factors: Any = None
) -> nn.Module:  # fmt: skip
    return _resized(node, size, scale_factors, "linear", "bilinear", align_corners=align_corners)


def _resized(
    node: fx.Node, size: Any, factors: Any, line: str, plane: str, **options: Any
) -> nn.Module:
    """Interpolation, by torch's names of its kind along one axis and two."""

    def resize(axes: slice, mode: str) -> Callable[[Tensor], Tensor]:
        return partial(
            functional.interpolate,
            size=None if size is None else list(size[axes]),
            scale_factor=None if factors is None else list(factors[axes]),
            mode=mode,
            **options,
        )

    along = _along(node, resize(slice(1), line))
    return slices.Linear(along, resize(slice(1, None), plane))


def _instance_norm(
    rewrite: _Rewrite, node: fx.Node, weight: Any, bias: Any, mean: None, variance: None,
    uses_input: bool, momentum: float, eps: float, cudnn: bool,
) -> nn.Module:  # fmt: skip
    return slices.InstanceNorm(rewrite.value(weight), rewrite.value(bias), eps)


def _along(node: fx.Node, operation: Callable[..., Tensor], *args: Any) -> Tensor:
    """The matrix (D', D) of an operation that is linear along depth."""
    depth = node.all_input_nodes[0].meta["val"].shape[2]
    return operation(torch.eye(depth).unsqueeze(1), *args).squeeze(1).T


def _padding(numbers: Sequence[int], *others: Any) -> tuple[Any, ...]:
    """Of W, H, D, C, the last axis first, as of W, H, C, D."""
    w0, w1, h0, h1, d0, d1, c0, c1, *_ = [*numbers, *[0] * 8]
    return [w0, w1, h0, h1, c0, c1, d0, d1], *others


LAYERS: dict[Any, Callable[..., nn.Module]] = {
    ATEN.conv3d.default: _convolution,
    ATEN.conv_transpose3d.input: _transposed,
    ATEN.max_pool3d.default: _max_pool,
    ATEN.avg_pool3d.default: _average,
    ATEN.adaptive_avg_pool3d.default: _adaptive_average,
    ATEN.upsample_nearest3d.vec: _nearest,
    ATEN._upsample_nearest_exact3d.vec: _nearest,
    ATEN.upsample_trilinear3d.vec: _linear,
    ATEN.instance_norm.default: _instance_norm,
}
MOVED: dict[Any, Callable[..., tuple[Any, ...]]] = {
    ATEN.cat.default: lambda axis=0: (AXES[axis % 5],),
    ATEN.narrow.default: lambda axis, *args: (AXES[axis % 5], *args),
    ATEN.slice.Tensor: lambda axis=0, *args: (AXES[axis % 5], *args),
    ATEN.split_with_sizes.default: lambda sizes, axis=0: (sizes, AXES[axis % 5]),
    ATEN.pad.default: _padding,
}
"""Operations that name axes, with their arguments behind the first as those of slices."""
REDUCED = (ATEN.mean.dim, ATEN.amax.default)
"""Operations over axes, which are given behind the volume."""
