//! A grey image and its form inside a page.

use data_encoding::BASE64;

/// Share of the pixels that are darker than black, and lighter than white.
const TAIL: f64 = 0.01;

/// A grey image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grey {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row, 0 is black.
    pub pixels: Vec<u8>,
}

impl Grey {
    /// Maps `low..high` of `values`, row by row, to black..white. What is not finite is black.
    #[must_use]
    pub fn window(values: &[f32], width: usize, low: f32, high: f32) -> Self {
        let range = if high > low { high - low } else { 1.0 };
        let pixels = values
            .iter()
            // A float converts saturating, and NaN to 0.
            .map(|v| ((v - low) / range * 255.0).round() as u8)
            .collect();
        Self {
            width,
            height: values.len().checked_div(width).unwrap_or(0),
            pixels,
        }
    }

    /// Black and white of an image: the values that all but 1 % of the pixels lie above and below.
    #[must_use]
    pub fn range(values: &[f32]) -> (f32, f32) {
        let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return (0.0, 1.0);
        };
        let at = |share: f64| sorted[(share * last as f64).round() as usize];
        (at(TAIL), at(1.0 - TAIL))
    }

    /// The image with the tails of its values cut off.
    #[must_use]
    pub fn of(values: &[f32], width: usize) -> Self {
        let (low, high) = Self::range(values);
        Self::window(values, width, low, high)
    }

    /// The image as the URI of a PNG file; empty for an image without pixels.
    #[must_use]
    pub fn uri(&self) -> String {
        match self.png() {
            Some(bytes) => format!("data:image/png;base64,{}", BASE64.encode(&bytes)),
            None => String::new(),
        }
    }

    fn png(&self) -> Option<Vec<u8>> {
        let (width, height) = (
            u32::try_from(self.width).ok()?,
            u32::try_from(self.height).ok()?,
        );
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&self.pixels).ok()?;
        writer.finish().ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_png_holds_the_pixels() {
        let grey = Grey::window(&[0.0, 0.5, 1.0, 2.0, f32::NAN, -1.0], 3, 0.0, 1.0);
        assert_eq!(grey.pixels, [0, 128, 255, 255, 0, 0]);
        let uri = grey.uri();
        let bytes = BASE64
            .decode(
                uri.strip_prefix("data:image/png;base64,")
                    .unwrap()
                    .as_bytes(),
            )
            .unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, grey.pixels);
        assert_eq!((reader.info().width, reader.info().height), (3, 2));
    }

    #[test]
    fn tails_are_cut_and_a_flat_image_is_no_error() {
        let mut values: Vec<f32> = (0..1000).map(|v| v as f32).collect();
        values[999] = 1e9;
        let (low, high) = Grey::range(&values);
        assert!(low < 11.0 && high < 1000.0);
        assert_eq!(Grey::of(&[3.0; 4], 2).pixels, [0; 4]);
        assert_eq!(Grey::of(&[], 0).uri(), "");
    }
}
