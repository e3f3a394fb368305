//! Loops compiled for the vector instructions of the machine that they run on.
//!
//! A build for any x86-64 may use 128-bit vectors only. Which copy of a loop runs makes no
//! difference to its result: sums keep their order, and products are never fused into sums.

/// Defines functions whose loops run with 256-bit vectors where the machine has AVX2. What they call
/// must be `#[inline(always)]` to take part.
macro_rules! wide {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?)
        $(-> $out:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $out)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn compiled($($argument: $type),*) $(-> $out)? {
                    body($($argument),*)
                }
                // SAFETY: the instructions were found above.
                return unsafe { compiled($($argument),*) };
            }
            body($($argument),*)
        }
    )*};
}

pub(crate) use wide;

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
        let (mut wide, mut narrow) = ([0.0; 16], [0.0; 16]);
        both(&values, &mut wide);
        plain(&values, &mut narrow);
        assert_eq!(wide.map(f32::to_bits), narrow.map(f32::to_bits));
    }
}
