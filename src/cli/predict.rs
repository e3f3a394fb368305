//! `predict`: segments an image with a trained artifact, on the image's own grid.

use super::args::PredictArgs;
use super::exit::{CliError, ExitStatus};
use crate::nn::device::{self, DeviceChoice};
use crate::plan::StageKind;
use crate::stage::Model;
use crate::store::Store;

pub(super) fn predict(args: &PredictArgs) -> Result<ExitStatus, CliError> {
    let choice: DeviceChoice = args.device.parse().map_err(CliError::usage)?;
    let device = device::open(choice).map_err(CliError::usage)?;
    let folder = std::path::Path::new(&args.model);
    let folder = if folder.is_dir() {
        folder.to_owned()
    } else {
        find(args)?
    };
    let model = Model::open(&folder).map_err(CliError::data)?;
    model
        .predict_files(&args.images, &args.out, &device)
        .map_err(CliError::data)?;
    println!("{}", args.out.display());
    Ok(ExitStatus::Done)
}

/// The artifact whose key begins with what was typed.
fn find(args: &PredictArgs) -> Result<std::path::PathBuf, CliError> {
    let store = Store::open(&args.store).map_err(CliError::internal)?;
    let keys = store
        .keys(StageKind::Finetune)
        .map_err(CliError::internal)?;
    let found: Vec<_> = keys
        .iter()
        .filter(|k| args.model.len() >= 4 && k.as_str().starts_with(&args.model))
        .collect();
    match found.as_slice() {
        [key] => Ok(store.artifact_dir(StageKind::Finetune, key)),
        [] => Err(CliError::data(format!(
            "no fine-tuned model '{}' in {}",
            args.model,
            args.store.display()
        ))
        .hint("`amlp-run plan FILE --verbose` shows the keys of fine-tuned models")),
        several => Err(CliError::usage(format!(
            "{} fine-tuned models have keys that begin with '{}'",
            several.len(),
            args.model
        ))),
    }
}
