// What libtorch has and its Rust binding does not pass on: gradients of convolution and batch
// normalisation, and the fused AdamW. Each function returns nothing, or a message that the caller frees with free().

#include <cstdint>
#include <cstring>
#include <exception>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm_backward.h>

namespace {

using Pointer = at::Tensor *;

template <typename F> char *guarded(F f) {
  try {
    at::NoGradGuard no_grad;
    f();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown error");
  }
}

Pointer owned(at::Tensor tensor) { return tensor.defined() ? new at::Tensor(std::move(tensor)) : nullptr; }

} // namespace

extern "C" {

// Gradients of input, weight and bias of a convolution, each where `needed`; `rank` spatial axes.
char *amlp_convolution_backward(Pointer *gradients, const at::Tensor *grad, const at::Tensor *input,
                                const at::Tensor *weight, int64_t rank, int64_t stride, int64_t padding,
                                bool transposed, const bool *needed) {
  return guarded([&] {
    std::vector<int64_t> strides(rank, stride), paddings(rank, padding), ones(rank, 1), zeros(rank, 0);
    int64_t channels = transposed ? weight->size(1) : weight->size(0);
    auto [x, w, b] =
        at::convolution_backward(*grad, *input, *weight, at::OptionalIntArrayRef(channels), strides, paddings,
                                 ones, transposed, zeros, 1, {needed[0], needed[1], needed[2]});
    gradients[0] = owned(std::move(x));
    gradients[1] = owned(std::move(w));
    gradients[2] = owned(std::move(b));
  });
}

// Gradients of input, scale and shift of a batch normalisation by the statistics of the batch.
char *amlp_batch_norm_backward(Pointer *gradients, const at::Tensor *grad, const at::Tensor *input,
                               const at::Tensor *scale, const at::Tensor *mean, const at::Tensor *inverse_deviation,
                               double epsilon) {
  return guarded([&] {
    auto [x, w, b] = at::native_batch_norm_backward(*grad, *input, *scale, {}, {}, *mean, *inverse_deviation, true,
                                                    epsilon, {true, true, true});
    gradients[0] = owned(std::move(x));
    gradients[1] = owned(std::move(w));
    gradients[2] = owned(std::move(b));
  });
}

// The same numbers with the channels of a pixel side by side; the tensor itself where they are.
char *amlp_channels_last(Pointer *laid_out, const at::Tensor *tensor) {
  return guarded([&] { laid_out[0] = owned(tensor->contiguous(at::MemoryFormat::ChannelsLast)); });
}

// One AdamW update in place, the `steps`-th one.
char *amlp_adamw(const at::Tensor *parameter, const at::Tensor *gradient, const at::Tensor *first,
                 const at::Tensor *second, double steps, double lr, double beta_1, double beta_2, double decay,
                 double epsilon) {
  return guarded([&] {
    at::Tensor count = at::full({}, steps, parameter->options().dtype(at::kFloat));
    // The kernel takes for granted that all lie alike.
    at::_fused_adamw_({*parameter}, {gradient->contiguous()}, {*first}, {*second}, {}, {count}, lr, beta_1, beta_2, decay, epsilon,
                      false, false);
  });
}
}
