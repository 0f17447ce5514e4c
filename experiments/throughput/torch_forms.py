"""The forms in which PyTorch may be fastest; a row is compared with the best of them.

PyTorch is imported only where it is used: without it the benchmark still runs, and leaves its rows
out.
"""

from collections.abc import Callable
from typing import Any

from throughput.turns import Work

FORMS = (
    "eager",
    "channels_last",
    "compiled",
    "compiled, contiguous",
    "CUDA graph",
    "compiled, in a CUDA graph",
    "compiled, contiguous, in a CUDA graph",
)
"""In which PyTorch may be fastest; the last three need its GPU. All but the eager one and those
that say so are channels_last."""


def torch_forms(*, with_graphs: bool = True) -> list[str]:
    """The forms of PyTorch to try on this machine; empty where it is not installed.

    Args:
        with_graphs: CUDA graphs too, which hold functions without arguments only.
    """
    try:
        import torch
    except ImportError:
        return []
    graphs = with_graphs and torch.cuda.is_available()
    return [form for form in FORMS if graphs or not form.endswith("CUDA graph")]


def in_every_form(
    name: str,
    build: Callable[[str], Work],
    wanted: tuple[str, ...] = FORMS,
    *,
    with_graphs: bool = True,
) -> dict[str, Work]:
    """The work in every form that works here, by the name that the table gives it.

    Args:
        name: of what is done, before the form's.
        build: a form to its work, done once here: what a form cannot do shows at the first call.
        wanted: forms to try.
        with_graphs: see `torch_forms`.
    """
    works = {}
    for form in torch_forms(with_graphs=with_graphs):
        if form not in wanted:
            continue
        try:
            work = build(form)
            work()
            torch_wait()
        except Exception as error:  # whatever a compiler may raise: the other forms remain
            print(f"{name}, {form}: left out ({type(error).__name__}: {str(error)[:200]})")
        else:
            works[f"{name}, {form}"] = work
    return works


def torch_version() -> str:
    """PyTorch's version and threads, for the table."""
    import torch

    return f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


def torch_wait() -> None:
    """Wait until the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def repeated(work: Work, times: int) -> Work:
    """PyTorch's work so many times, as one turn that ends when its device has done it."""

    def run() -> None:
        for _ in range(times):
            work()
        torch_wait()

    return run


def torch_place(form: str, *, tf32: bool = True) -> tuple[str, Any]:
    """Device and layout of a form; TF32 for training, and not for labels, as ours."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    contiguous = form == "eager" or "contiguous" in form
    return device, torch.contiguous_format if contiguous else torch.channels_last


def in_form(function: Any, form: str, networks: list[Any]) -> Any:
    """The function as it is, with its networks compiled, or captured in a CUDA graph."""
    import torch

    if form.startswith("compiled"):
        # All networks of a process share one limit, beyond which they would silently run eagerly;
        # and shapes that are taken for varying would be compiled for any.
        torch._dynamo.config.recompile_limit = 256
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        for network in networks:
            network.compile(dynamic=False)
    if not form.endswith("CUDA graph"):
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()

    def replay(kept: Any = function) -> None:  # the graph alone would let go of its arrays
        graph.replay()

    return replay
