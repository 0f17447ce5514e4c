import re

import chex
import jax
import jax.numpy as jnp
import pytest

from magan_jax.models import convolution
from magan_jax.models.convolution import (
    StridedConv,
    StridedConvTranspose,
    strided_conv,
    strided_conv_transpose,
)

pytestmark = pytest.mark.optimized

LAYOUT = ("NHWC", "HWIO", "NHWC")


def lax_conv(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT
    )


def lax_conv_transpose(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2, 2), ((2, 2), (2, 2)), dimension_numbers=LAYOUT)


LAYERS = [(strided_conv, lax_conv), (strided_conv_transpose, lax_conv_transpose)]


@pytest.mark.parametrize(("ours", "reference"), LAYERS)
@pytest.mark.parametrize(("height", "width", "channels"), [(6, 8, 3), (2, 2, 1), (14, 14, 5)])
def test_layer_equals_lax_in_value_and_gradients(ours, reference, height, width, channels):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (3, height, width, channels))
    kernel = jax.random.normal(keys[1], (4, 4, channels, 7))
    weights = jax.random.normal(keys[2], reference(x, kernel).shape)

    def gradients(layer):
        gradient = jax.grad(lambda *arguments: jnp.sum(weights * layer(*arguments) ** 2), (0, 1))
        return jax.jit(gradient)(x, kernel)

    chex.assert_trees_all_close(
        jax.jit(ours)(x, kernel), reference(x, kernel), rtol=1e-5, atol=1e-4
    )
    chex.assert_trees_all_close(gradients(ours), gradients(reference), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("ours", "reference"), LAYERS)
def test_gradients_of_gradients_equal_those_of_lax(ours, reference):
    """As a gradient penalty takes them: the norm of the image's gradient, by the kernel."""
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (2, 6, 8, 3))
    kernel = jax.random.normal(keys[1], (4, 4, 3, 5))

    def penalty(layer):
        def norm(image, k):
            return jnp.sum(jax.grad(lambda i: jnp.sum(jnp.tanh(layer(i, k))))(image) ** 2)

        return jax.jit(jax.grad(norm, (0, 1)))

    chex.assert_trees_all_close(
        penalty(ours)(x, kernel), penalty(reference)(x, kernel), rtol=1e-4, atol=1e-3
    )


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the order that a CPU is given")
def test_the_kernel_s_gradient_keeps_the_order_of_its_factors():
    """XLA would turn yᵀ·patches round again, to a product that takes up to half as long again."""
    x, kernel = jnp.ones((8, 6, 6, 3)), jnp.ones((4, 4, 3, 5))
    gradient = jax.grad(lambda k: jnp.sum(jnp.tanh(strided_conv(x, k))))
    lines = jax.jit(gradient).lower(kernel).compile().as_text().splitlines()
    products = [line for line in lines if re.search(r"= f32\[\d+,\d+\]\S* dot\(", line)]
    assert any("f32[5,48]" in line for line in products), products
    assert not any("= f32[48,5]" in line for line in products), products


def without_ynnpack(function, *arguments):
    """Compiled without XLA:CPU's YNNPACK fusions; skipped where XLA has no such option."""
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    try:
        compiled = jax.jit(function).lower(*arguments).compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        pytest.skip(f"this XLA lacks the option: {error}")
    assert "__ynn_fusion" not in compiled.as_text()
    return compiled(*arguments)


def with_defaults(function, *arguments):
    return jax.jit(function)(*arguments)


@pytest.mark.parametrize("compiled", [with_defaults, without_ynnpack])
@pytest.mark.parametrize(("ours", "reference"), LAYERS)
def test_compiled_gradients_equal_eager_ones(ours, reference, compiled):
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 3, 6))
    gradient = jax.grad(lambda k, x: jnp.mean(jax.nn.leaky_relu(ours(x, k)) ** 2), (0, 1))
    with jax.disable_jit():
        eager = gradient(kernel, x)
    chex.assert_trees_all_close(compiled(gradient, kernel, x), eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("ours", "reference"), LAYERS)
def test_vmap_over_kernels_equals_one_by_one(ours, reference):
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    kernels = jax.random.normal(jax.random.key(1), (3, 4, 4, 3, 2))
    together = jax.jit(jax.vmap(ours, (None, 0)))(x, kernels)
    one_by_one = jnp.stack([reference(x, kernel) for kernel in kernels])
    chex.assert_trees_all_close(together, one_by_one, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("images", "in_groups"), [(6, True), (7, False)])
@pytest.mark.parametrize(("ours", "reference"), LAYERS)
def test_images_in_groups_are_the_same_layer(ours, reference, images, in_groups, monkeypatch):
    """Groups of three of six images; seven have no divisor near to three."""
    x = jax.random.normal(jax.random.key(0), (images, 4, 6, 3))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 3, 5))
    weights = jax.random.normal(jax.random.key(2), reference(x, kernel).shape)

    def gradients(layer):
        return jax.grad(lambda *a: jnp.sum(weights * jnp.tanh(layer(*a))), (0, 1))

    each = 4 * weights[0].size // 5 * 48 if ours is strided_conv else 4 * 24 * 80
    monkeypatch.setattr(convolution, "_BYTES_IN_CACHE", images * each - 1)
    monkeypatch.setattr(convolution, "_BYTES_AT_ONCE", 3 * each)
    wanted = jax.jit(gradients(reference))(x, kernel)
    program = jax.jit(gradients(ours)).lower(x, kernel)
    assert ("stablehlo.while" in program.as_text()) == in_groups
    chex.assert_trees_all_close(program.compile()(x, kernel), wanted, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(convolution, "_BYTES_IN_CACHE", images * each)
    assert "stablehlo.while" not in jax.jit(gradients(ours)).lower(x, kernel).as_text()


def test_modules_hold_an_ordinary_kernel():
    x = jnp.ones((1, 4, 4, 3))
    for module, size in ((StridedConv(5), 2), (StridedConvTranspose(5), 8)):
        variables = jax.eval_shape(module.init, jax.random.key(0), x)
        chex.assert_shape(variables["params"]["kernel"], (4, 4, 3, 5))
        chex.assert_shape(jax.eval_shape(module.apply, variables, x), (1, size, size, 5))


@pytest.mark.parametrize("ours", [strided_conv, strided_conv_transpose])
def test_the_form_of_other_platforms_is_the_same_layer(ours, monkeypatch):
    """A CPU chooses plain convolutions; what an accelerator would run is run here too."""
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (3, 6, 8, 3))
    kernel = jax.random.normal(keys[1], (4, 4, 3, 7))

    def value_and_gradients(x, kernel):
        return ours(x, kernel), jax.grad(lambda *a: jnp.sum(ours(*a) ** 2), (0, 1))(x, kernel)

    here = jax.jit(value_and_gradients)(x, kernel)
    chosen = []

    def default_form(*arguments, cpu, default):
        chosen.append(default.__name__)
        return default(*arguments)

    monkeypatch.setattr(jax.lax, "platform_dependent", default_form)
    elsewhere = jax.jit(lambda *a: value_and_gradients(*a))(x, kernel)  # traced anew
    # With gradients there is nothing to choose but the order of their product.
    assert chosen[0] in ("_convolve", "_convolve_adjoint")
    assert chosen[1:] == ["_as_it_is"]
    chex.assert_trees_all_close(here, elsewhere, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("module", [StridedConv, StridedConvTranspose])
def test_bfloat16_rounds_factors_and_results_alone(module):
    """Whole numbers that bfloat16 holds: what is left to round is the result."""
    x = jax.random.randint(jax.random.key(0), (2, 4, 6, 3), -8, 9).astype(jnp.float32)
    kernel = jax.random.randint(jax.random.key(1), (4, 4, 3, 5), -8, 9).astype(jnp.float32)
    variables = {"params": {"kernel": kernel}}
    exact = jax.jit(module(5).apply)(variables, x)
    found = jax.jit(module(5, dtype=jnp.bfloat16).apply)(variables, x)
    assert found.dtype == jnp.bfloat16
    # Four overlapping pieces of a transposed convolution are rounded each, and so are their sums.
    largest = jnp.max(jnp.abs(exact))
    chex.assert_trees_all_close(found.astype(jnp.float32), exact, rtol=0, atol=largest * 2.0**-7)


@pytest.mark.parametrize("module", [StridedConv, StridedConvTranspose])
def test_the_gradient_of_a_bfloat16_kernel_sums_in_float32(module):
    """In bfloat16, 256 + 1 is 256; here thousands of ones are summed."""
    x, layer = jnp.ones((512, 4, 4, 1)), module(1, dtype=jnp.bfloat16)

    def gradient(layer):
        return jax.jit(jax.grad(lambda v: jnp.sum(layer.apply(v, x).astype(jnp.float32))))

    variables = jax.jit(layer.init)(jax.random.key(0), x)
    # A backend may sum in float32 without being told; the program tells it.
    (*_, product) = re.findall(r"dot_general.*", gradient(layer).lower(variables).as_text())
    assert re.search(r"xbf16>, tensor<\w+xbf16>\) -> tensor<\w+xf32>$", product)
    found, exact = gradient(layer)(variables), gradient(module(1))(variables)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, exact)
    assert float(jnp.min(exact["params"]["kernel"])) > 256
    chex.assert_trees_all_close(found, exact, rtol=2.0**-8)
