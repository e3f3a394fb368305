//! The network of a training as one file for other programs.

use std::path::Path;

use serde_json::{Value, json};

use super::files::read_json;
use super::finetune::{CARD, Card, WEIGHTS};
use super::pretrain::ENCODER;
use crate::engine::StageError;
use crate::nn::weights::Weights;
use crate::plan::StageKind;
use crate::store::Artifact;

/// Where the header of an exported file says what the network is.
const HEADER: &str = "amlp";

/// Writes the weights of a fine-tuning or of a pre-training (its encoder) to a safetensors file
/// whose header says what they are. Identities of patients are not among that.
///
/// # Errors
/// An artifact of another kind, files of it that cannot be read, or a file that cannot be written.
pub fn export_weights(artifact: &Artifact, out: &Path) -> Result<(), StageError> {
    let record = &artifact.record;
    let mut card = json!({
        "kind": record.kind.name(),
        "key": record.key,
        "backbone": record.preimage["spec"]["backbone"],
    });
    let file = match record.kind {
        StageKind::Finetune => {
            let of: Card = read_json(&artifact.dir.join(CARD))?;
            let Value::Object(more) = serde_json::to_value(of)? else {
                return Err(StageError::new("the card of the network is no object"));
            };
            for (name, value) in more {
                if name != "labelled" {
                    card[name] = value;
                }
            }
            WEIGHTS
        }
        StageKind::Pretrain => ENCODER,
        kind => return Err(StageError::new(format!("a {kind} has no network"))),
    };
    let weights = Weights::load(&artifact.dir.join(file))?;
    weights.save_with(out, HEADER, &card.to_string())?;
    Ok(())
}
