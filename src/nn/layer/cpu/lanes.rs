//! Numbers that one instruction works on.

/// Numbers in a vector of any machine; wider ones hold several of these.
pub(super) const LANES: usize = 8;

/// A vector of `N` numbers.
pub(super) trait Lanes<const N: usize>: Copy {
    /// The same number in every lane.
    fn splat(value: f32) -> Self;
    /// From memory.
    fn load(values: &[f32; N]) -> Self;
    /// From memory, the same numbers in every part of [`LANES`] lanes.
    fn repeat(values: &[f32; LANES]) -> Self;
    /// To memory.
    fn store(self) -> [f32; N];
    /// `self * factor + term`.
    fn mul_add(self, factor: Self, term: Self) -> Self;
}

/// A vector on any machine.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Lanes<LANES> for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn repeat(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        self.0
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // Not fused: without the instruction that would be a call per number.
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + term.0[i]))
    }
}

/// A vector in a register of AVX2. To be used in functions compiled for AVX2 and FMA only.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(std::arch::x86_64::__m256);

#[cfg(target_arch = "x86_64")]
impl Lanes<8> for Avx2 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the caller runs on a machine with AVX2.
        Self(unsafe { std::arch::x86_64::_mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32; 8]) -> Self {
        // SAFETY: as above; the pointer is to eight numbers.
        Self(unsafe { std::arch::x86_64::_mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn repeat(values: &[f32; LANES]) -> Self {
        Self::load(values)
    }

    #[inline(always)]
    fn store(self) -> [f32; 8] {
        let mut values = [0.0; 8];
        // SAFETY: as above; the pointer is to eight numbers.
        unsafe { std::arch::x86_64::_mm256_storeu_ps(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller runs on a machine with FMA.
        Self(unsafe { std::arch::x86_64::_mm256_fmadd_ps(self.0, factor.0, term.0) })
    }
}

/// A vector in a register of AVX-512. To be used in functions compiled for AVX-512 only.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512(std::arch::x86_64::__m512);

#[cfg(target_arch = "x86_64")]
impl Lanes<16> for Avx512 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the caller runs on a machine with AVX-512.
        Self(unsafe { std::arch::x86_64::_mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32; 16]) -> Self {
        // SAFETY: as above; the pointer is to sixteen numbers.
        Self(unsafe { std::arch::x86_64::_mm512_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn repeat(values: &[f32; LANES]) -> Self {
        use std::arch::x86_64::{_mm256_loadu_ps, _mm512_broadcast_f32x8};
        // SAFETY: as above; the pointer is to eight numbers.
        Self(unsafe { _mm512_broadcast_f32x8(_mm256_loadu_ps(values.as_ptr())) })
    }

    #[inline(always)]
    fn store(self) -> [f32; 16] {
        let mut values = [0.0; 16];
        // SAFETY: as above; the pointer is to sixteen numbers.
        unsafe { std::arch::x86_64::_mm512_storeu_ps(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller runs on a machine with AVX-512.
        Self(unsafe { std::arch::x86_64::_mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
}
