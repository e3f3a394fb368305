//! Numbers that one instruction works on.

/// A vector of `N` numbers.
pub(super) trait Vector<T, const N: usize>: Copy {
    /// 0 in every lane.
    fn zero() -> Self;
    /// From memory.
    fn load(values: &[T; N]) -> Self;
    /// `self + (x - y) * (x - y)`, each step rounded.
    fn add_square(self, x: Self, y: Self) -> Self;
    /// To memory.
    fn store(self) -> [T; N];
}

/// On any machine.
macro_rules! portable {
    ($number:ty) => {
        impl Vector<$number, 8> for [$number; 8] {
            #[inline(always)]
            fn zero() -> Self {
                [0.0; 8]
            }

            #[inline(always)]
            fn load(values: &[$number; 8]) -> Self {
                *values
            }

            #[inline(always)]
            fn add_square(mut self, x: Self, y: Self) -> Self {
                for lane in 0..8 {
                    let d = x[lane] - y[lane];
                    self[lane] += d * d;
                }
                self
            }

            #[inline(always)]
            fn store(self) -> [$number; 8] {
                self
            }
        }
    };
}

portable!(f32);
portable!(f64);

/// In a register.
#[cfg(target_arch = "x86_64")]
macro_rules! register {
    ($(#[$attribute:meta])* $name:ident($register:ident) of $number:ty, $lanes:literal:
        $zero:ident $load:ident $sub:ident $mul:ident $add:ident $store:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        pub(super) struct $name(std::arch::x86_64::$register);

        impl Vector<$number, $lanes> for $name {
            #[inline(always)]
            fn zero() -> Self {
                // SAFETY: the caller runs on a machine with these instructions.
                Self(unsafe { std::arch::x86_64::$zero() })
            }

            #[inline(always)]
            fn load(values: &[$number; $lanes]) -> Self {
                // SAFETY: as above; the pointer is to as many numbers.
                Self(unsafe { std::arch::x86_64::$load(values.as_ptr()) })
            }

            #[inline(always)]
            fn add_square(self, x: Self, y: Self) -> Self {
                use std::arch::x86_64::{$add, $mul, $sub};
                // SAFETY: as above.
                unsafe {
                    let d = $sub(x.0, y.0);
                    Self($add(self.0, $mul(d, d)))
                }
            }

            #[inline(always)]
            fn store(self) -> [$number; $lanes] {
                let mut values = [0.0; $lanes];
                // SAFETY: as above; the pointer is to as many numbers.
                unsafe { std::arch::x86_64::$store(values.as_mut_ptr(), self.0) };
                values
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
register! {
    /// To be used in functions compiled for AVX2 only.
    F32x8(__m256) of f32, 8:
        _mm256_setzero_ps _mm256_loadu_ps _mm256_sub_ps _mm256_mul_ps _mm256_add_ps _mm256_storeu_ps
}
#[cfg(target_arch = "x86_64")]
register! {
    /// To be used in functions compiled for AVX2 only.
    F64x4(__m256d) of f64, 4:
        _mm256_setzero_pd _mm256_loadu_pd _mm256_sub_pd _mm256_mul_pd _mm256_add_pd _mm256_storeu_pd
}
#[cfg(target_arch = "x86_64")]
register! {
    /// To be used in functions compiled for AVX-512 only.
    F32x16(__m512) of f32, 16:
        _mm512_setzero_ps _mm512_loadu_ps _mm512_sub_ps _mm512_mul_ps _mm512_add_ps _mm512_storeu_ps
}
#[cfg(target_arch = "x86_64")]
register! {
    /// To be used in functions compiled for AVX-512 only.
    F64x8(__m512d) of f64, 8:
        _mm512_setzero_pd _mm512_loadu_pd _mm512_sub_pd _mm512_mul_pd _mm512_add_pd _mm512_storeu_pd
}
