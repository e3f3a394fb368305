//! Loops compiled for the vector instructions of the machine that they run on.
//!
//! A build for any x86-64 may use 128-bit vectors only. Which copy of a loop runs makes no
//! difference to its result: sums keep their order, and products are never fused into sums.

/// Vector instructions that a copy of a loop is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What the target guarantees.
    Baseline,
    /// Vectors of 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Vectors of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this machine has.
    #[inline]
    pub(crate) fn best() -> Self {
        #[cfg(test)]
        if let Some(forced) = levels::forced() {
            return forced;
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }
}

/// Defines functions whose loops run with 256-bit or 512-bit vectors where the machine has AVX2 or
/// AVX-512. What they call must be `#[inline(always)]` to take part, and so must what takes their
/// closures: `for` is safe, `map` and `extend` often become functions of their own.
macro_rules! wide {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?)
        $(-> $out:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $out)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) $(-> $out)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,avx512f,avx512dq,avx512vl,avx512bw")]
            fn avx512($($argument: $type),*) $(-> $out)? {
                body($($argument),*)
            }

            match $crate::wide::Level::best() {
                // SAFETY: `best` found the instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::wide::Level::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::wide::Level::Avx2 => unsafe { avx2($($argument),*) },
                $crate::wide::Level::Baseline => body($($argument),*),
            }
        }
    )*};
}

pub(crate) use wide;

/// Running the copies that the machine would not choose.
#[cfg(test)]
pub(crate) mod levels {
    use std::cell::Cell;

    use super::Level;

    thread_local! {
        static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
    }

    pub(super) fn forced() -> Option<Level> {
        FORCED.get()
    }

    /// What `work` gives on this thread at every level that the machine has, the lowest first.
    pub(crate) fn at_each<T>(work: impl Fn() -> T) -> Vec<T> {
        let best = Level::best();
        #[cfg(target_arch = "x86_64")]
        let all = [Level::Baseline, Level::Avx2, Level::Avx512];
        #[cfg(not(target_arch = "x86_64"))]
        let all = [Level::Baseline];
        let found = all.into_iter().filter(|level| *level <= best).map(|level| {
            FORCED.set(Some(level));
            let result = work();
            FORCED.set(None);
            result
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    wide! {
        /// Sixteen running sums, as the distances of the clusterings have.
        fn both(values: &[f32], out: &mut [f32; 16]) {
            plain(values, out);
        }
    }

    #[inline(always)]
    fn plain(values: &[f32], out: &mut [f32; 16]) {
        for chunk in values.as_chunks::<16>().0 {
            for lane in 0..16 {
                out[lane] += chunk[lane] * chunk[lane];
            }
        }
    }

    #[test]
    fn the_copies_agree_to_the_bit() {
        let values: Vec<f32> = (0..1600u16).map(|i| (f32::from(i) * 0.37).sin()).collect();
        let mut narrow = [0.0; 16];
        plain(&values, &mut narrow);
        let copies = super::levels::at_each(|| {
            let mut wide = [0.0; 16];
            both(&values, &mut wide);
            wide
        });
        for wide in copies {
            assert_eq!(wide.map(f32::to_bits), narrow.map(f32::to_bits));
        }
    }
}
