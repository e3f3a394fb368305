//! What libtorch has and its Rust binding does not pass on: the safe side of `shim.cpp`.

use std::ffi::{CStr, c_char};
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn amlp_reuse_memory() -> *mut c_char;

    fn amlp_convolution_backward(
        gradients: *mut *mut C_tensor,
        grad: *const C_tensor,
        input: *const C_tensor,
        weight: *const C_tensor,
        rank: i64,
        stride: i64,
        padding: i64,
        transposed: bool,
        needed: *const bool,
    ) -> *mut c_char;

    fn amlp_batch_norm_backward(
        gradients: *mut *mut C_tensor,
        grad: *const C_tensor,
        input: *const C_tensor,
        scale: *const C_tensor,
        mean: *const C_tensor,
        inverse_deviation: *const C_tensor,
        epsilon: f64,
    ) -> *mut c_char;

    fn amlp_channels_last(laid_out: *mut *mut C_tensor, tensor: *const C_tensor) -> *mut c_char;

    fn amlp_adamw(
        parameter: *const C_tensor,
        gradient: *const C_tensor,
        first: *const C_tensor,
        second: *const C_tensor,
        steps: f64,
        lr: f64,
        beta_1: f64,
        beta_2: f64,
        decay: f64,
        epsilon: f64,
    ) -> *mut c_char;
}

/// What libtorch says instead of a result.
#[derive(Debug, thiserror::Error)]
pub(in crate::nn) enum TorchError {
    /// Its own words.
    #[error("libtorch: {0}")]
    Said(String),
    /// A tensor that was asked for is not there.
    #[error("libtorch returned no tensor")]
    Nothing,
}

/// The message of a function of `shim.cpp`, which is null where all went well.
fn done(message: *mut c_char) -> Result<(), TorchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a string that ends with a zero, made by strdup for us to free.
    let said = unsafe {
        let said = CStr::from_ptr(message).to_string_lossy().into_owned();
        libc::free(message.cast());
        said
    };
    Err(TorchError::Said(said))
}

/// The value of an operation that cannot fail for tensors that fit; as with burn's operations,
/// tensors that do not are a fault of the program.
///
/// # Panics
/// With libtorch's message.
#[expect(
    clippy::panic,
    reason = "operations on tensors have no other way to say that they do not fit"
)]
pub(in crate::nn) fn sound<T>(result: Result<T, TorchError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Calls a function that writes three tensors and may return a message.
fn three(
    call: impl FnOnce(*mut *mut C_tensor) -> *mut c_char,
) -> Result<[Option<Tensor>; 3], TorchError> {
    let mut pointers = [ptr::null_mut(); 3];
    done(call(pointers.as_mut_ptr()))?;
    // SAFETY: without a message each pointer is null or a tensor of its own, made with `new`.
    Ok(pointers.map(|p| (!p.is_null()).then(|| unsafe { Tensor::from_ptr(p) })))
}

/// Has tensors on the processor take freed memory again that is just as large as they need.
///
/// # Errors
/// libtorch refuses the allocator.
pub(in crate::nn) fn reuse_memory() -> Result<(), TorchError> {
    // SAFETY: it takes nothing; tensors made before keep what frees them.
    done(unsafe { amlp_reuse_memory() })
}

/// A convolution as libtorch's functions take it; the same number along all axes.
pub(in crate::nn) struct Convolution {
    pub stride: i64,
    pub padding: i64,
    pub transposed: bool,
}

impl Convolution {
    /// Gradients of input, weight and bias, each where `needed`, from the gradient of the output,
    /// the input, and the weight.
    ///
    /// # Errors
    /// Tensors that do not fit, memory that is not there.
    pub fn backward(
        &self,
        [grad, input, weight]: [&Tensor; 3],
        needed: [bool; 3],
    ) -> Result<[Option<Tensor>; 3], TorchError> {
        let rank = input.dim() as i64 - 2;
        three(|gradients| {
            // SAFETY: the tensors are alive during the call, `gradients` has room for three
            // pointers, and `needed` is three bools.
            unsafe {
                amlp_convolution_backward(
                    gradients,
                    grad.as_ptr(),
                    input.as_ptr(),
                    weight.as_ptr(),
                    rank,
                    self.stride,
                    self.padding,
                    self.transposed,
                    needed.as_ptr(),
                )
            }
        })
    }
}

/// Gradients of input, scale and shift of a batch normalisation by the statistics of the batch:
/// mean and `1 / sqrt(variance + epsilon)`.
///
/// # Errors
/// Tensors that do not fit, memory that is not there.
pub(in crate::nn) fn batch_norm_backward(
    grad: &Tensor,
    input: &Tensor,
    scale: &Tensor,
    [mean, inverse_deviation]: [&Tensor; 2],
    epsilon: f64,
) -> Result<[Tensor; 3], TorchError> {
    let [x, w, b] = three(|gradients| {
        // SAFETY: the tensors are alive during the call, and `gradients` has room for three
        // pointers.
        unsafe {
            amlp_batch_norm_backward(
                gradients,
                grad.as_ptr(),
                input.as_ptr(),
                scale.as_ptr(),
                mean.as_ptr(),
                inverse_deviation.as_ptr(),
                epsilon,
            )
        }
    })?;
    match (x, w, b) {
        (Some(x), Some(w), Some(b)) => Ok([x, w, b]),
        _ => Err(TorchError::Nothing),
    }
}

/// The numbers of `[n, c, h, w]` with the channels of a pixel side by side, which libtorch's forward
/// convolutions like best on the CPU; what they return lies likewise. (In training it does not pay:
/// the backward passes are slower by more.)
///
/// # Errors
/// Memory that is not there.
pub(in crate::nn) fn channels_last(tensor: &Tensor) -> Result<Tensor, TorchError> {
    let [laid_out, _, _] = three(|out| {
        // SAFETY: the tensor is alive during the call, and `out` has room for a pointer.
        unsafe { amlp_channels_last(out, tensor.as_ptr()) }
    })?;
    laid_out.ok_or(TorchError::Nothing)
}

/// The numbers of a tensor that lies in the memory of the processor, one after the other, in single
/// precision; `None` of others.
pub(in crate::nn) fn numbers(tensor: &Tensor) -> Option<&[f32]> {
    let lies = tensor.device() == Device::Cpu
        && tensor.kind() == Kind::Float
        && tensor.is_contiguous()
        && tensor.numel() > 0;
    // SAFETY: the storage holds so many floats from this address on, and lives as long as the tensor
    // that is borrowed. Nobody writes to it meanwhile: operations in place take tensors that nobody
    // else holds.
    lies.then(|| unsafe {
        std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel())
    })
}

/// [`numbers`], to be changed. The tensor is the only one with this storage.
pub(in crate::nn) fn numbers_mut(tensor: &mut Tensor) -> Option<&mut [f32]> {
    let count = numbers(tensor)?.len();
    // SAFETY: the storage holds so many floats from this address on, and lives as long as the tensor
    // that is borrowed. The caller gives a tensor that shares it with no other.
    Some(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), count) })
}

/// A tensor of `size` on the processor. `write` gives each of its numbers a value; before, they are
/// whatever libtorch's allocator left there.
pub(in crate::nn) fn written(size: &[i64], write: impl FnOnce(&mut [f32])) -> Tensor {
    let mut tensor = Tensor::empty(size, (Kind::Float, Device::Cpu));
    if let Some(numbers) = numbers_mut(&mut tensor) {
        write(numbers);
    }
    tensor
}

/// One update of a parameter and its moments in place by libtorch's fused AdamW, the `steps`-th one.
///
/// # Errors
/// Tensors that do not fit.
pub(in crate::nn) fn adamw(
    [parameter, gradient, first, second]: [&Tensor; 4],
    steps: usize,
    lr: f64,
    betas: [f64; 2],
    decay: f64,
    epsilon: f64,
) -> Result<(), TorchError> {
    // SAFETY: the tensors are alive during the call, and nobody else holds the storage of those that
    // it changes: the caller gives tensors that it owns.
    done(unsafe {
        amlp_adamw(
            parameter.as_ptr(),
            gradient.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            steps as f64,
            lr,
            betas[0],
            betas[1],
            decay,
            epsilon,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_lie_on_cache_lines_and_take_freed_memory_again() {
        reuse_memory().unwrap();
        for length in [0, 1, 15, 16, 1000, 1 << 20] {
            let ones = || Tensor::ones([length], (Kind::Float, Device::Cpu));
            let first = ones();
            assert_eq!(first.data_ptr() as usize % 64, 0);
            assert_eq!(first.sum(Kind::Float).double_value(&[]), length as f64);
            let copy = first.copy();
            drop(first);
            assert!(copy.equal(&ones()));
        }
        // What cannot be had is an error, and no end of the program; its words are those that a run
        // knows (`engine::memory`).
        let too_much = Tensor::f_empty([i64::MAX / 8], (Kind::Float, Device::Cpu));
        let said = too_much.unwrap_err().to_string();
        assert!(said.contains("out of memory: "), "{said}");
        // Convolutions ask for memory by another way.
        let [image, weight] = [[1, 3, 40, 40], [16, 3, 3, 3]]
            .map(|size| Tensor::ones(size, (Kind::Float, Device::Cpu)));
        let image = sound(channels_last(&image));
        let bias = None::<Tensor>;
        let sums = image.conv2d(&weight, bias, [1, 1], [0, 0], [1, 1], 1);
        assert_eq!(sums.max().double_value(&[]), 27.0);
    }
}
