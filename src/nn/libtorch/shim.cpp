// What libtorch has and its Rust binding does not pass on: gradients of convolution and batch
// normalisation, the fused AdamW, and where memory comes from. Each function returns nothing, or a message that the caller frees with free().

#include <cstdint>
#include <cstdlib>
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
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

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

// Blocks of malloc, longer than asked for and used from a cache line on; what lies before it is where the
// block begins. libtorch's own come of posix_memalign, which finds no room in a freed block of just the
// size that it needs: the same step over and over then takes half as much memory again as it holds at any
// time.
struct Allocator final : c10::Allocator {
  static constexpr size_t LINE = 64;

  static void release(void *start) {
    if (start)
      std::free(static_cast<void **>(start)[-1]);
  }

  at::DataPtr allocate(size_t bytes) override {
    const at::Device cpu(at::DeviceType::CPU);
    if (bytes == 0)
      return {nullptr, nullptr, &release, cpu};
    auto *block = static_cast<char *>(bytes > SIZE_MAX - 2 * LINE ? nullptr : std::malloc(bytes + 2 * LINE));
    TORCH_CHECK(block, "out of memory: ", bytes, " bytes were asked for");
    void *start = block + 2 * LINE - reinterpret_cast<uintptr_t>(block) % LINE;
    static_cast<void **>(start)[-1] = block;
    return {start, start, &release, cpu};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

Pointer owned(at::Tensor tensor) { return tensor.defined() ? new at::Tensor(std::move(tensor)) : nullptr; }

} // namespace

extern "C" {

// Has the memory of tensors on the processor come from Allocator.
char *amlp_reuse_memory() {
  return guarded([] {
    static Allocator allocator;
    c10::SetCPUAllocator(&allocator);
  });
}

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
