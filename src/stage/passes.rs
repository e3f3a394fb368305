//! How many images go through the network at a time, remembered across the attempts of a stage.

use std::path::PathBuf;

use crate::engine::{StageContext, StageError};
use crate::store::FailureKind;

/// The number that an attempt was given after memory ran out, in the stage's work folder.
const FILE: &str = "micro_batch";

/// Images per pass of a training with `step` images per step, of which its options want `pass` in a
/// pass: as many as the attempt before, or with `halve` half as many, which is remembered.
///
/// # Errors
/// A single image does not fit in memory.
pub(super) fn images_per_pass(
    cx: &mut StageContext<'_>,
    step: usize,
    pass: usize,
    halve: bool,
) -> Result<usize, StageError> {
    let file = file(cx);
    let remembered = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    let mut pass = pass.min(step).max(1);
    pass = remembered.map_or(pass, |n| n.clamp(1, pass));
    if halve {
        if pass == 1 {
            return Err(StageError::Failed {
                kind: FailureKind::OutOfMemory,
                message: "out of memory with a single image per pass".to_owned(),
            });
        }
        pass = pass.div_ceil(2);
        std::fs::write(&file, pass.to_string())?;
        cx.note(format!(
            "out of memory: {pass} images per pass from here on"
        ));
    }
    if pass < step {
        cx.set_micro_batch(pass);
    }
    Ok(pass)
}

fn file(cx: &StageContext<'_>) -> PathBuf {
    cx.work().join(FILE)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::Stop;
    use crate::engine::events::Silent;
    use crate::plan::Key;

    fn passes(work: &Path, step: usize, pass: usize, halve: bool) -> Result<usize, StageError> {
        let key = Key::of(&serde_json::json!(1));
        let stop = Stop::new();
        let mut cx = StageContext::new(&key, work, work, Vec::new(), 1, &Silent, &stop);
        images_per_pass(&mut cx, step, pass, halve)
    }

    #[test]
    fn halving_is_remembered_and_ends_at_one_image() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        assert_eq!(passes(work, 16, 16, false), Ok(16));
        assert_eq!(passes(work, 5, 16, true), Ok(3), "half of what there is");
        assert_eq!(passes(work, 5, 16, false), Ok(3));
        assert_eq!(
            passes(work, 5, 2, false),
            Ok(2),
            "never more than asked for"
        );
        assert_eq!(passes(work, 5, 16, true), Ok(2));
        assert_eq!(passes(work, 5, 16, true), Ok(1));
        assert!(matches!(
            passes(work, 5, 16, true),
            Err(StageError::Failed {
                kind: FailureKind::OutOfMemory,
                ..
            })
        ));
    }
}
