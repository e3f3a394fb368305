//! `claims`: sentences of the paper judged on cached scores.

use super::args::{ClaimsArgs, ClaimsFormat};
use super::exit::{CliError, ExitStatus};
use super::hole::Scores;
use super::session::{self, Session};
use crate::report::claim::{Judgement, Verdict, claims_csv, claims_text};
use crate::stage::judge_claims;

/// Width of the text.
const WIDTH: usize = 100;

pub(super) fn claims(args: &ClaimsArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(&args.files, &args.manifest)?;
    let judgements = judgements(&session)?;
    match args.format {
        ClaimsFormat::Text if judgements.is_empty() => println!("no claims"),
        ClaimsFormat::Text => print!("{}", claims_text(&judgements, WIDTH, args.verbose)),
        ClaimsFormat::Json => {
            let text = serde_json::to_string(&judgements).map_err(CliError::internal)?;
            println!("{text}");
        }
        ClaimsFormat::Csv => print!("{}", claims_csv(&judgements).map_err(CliError::internal)?),
    }
    Ok(status(&judgements))
}

/// The claims of all experiments, judged on what is in the store.
pub(super) fn judgements(session: &Session) -> Result<Vec<Judgement>, CliError> {
    let ledger = session::ledger(&session.root)?;
    let mut judgements = Vec::new();
    for experiment in &session.experiments {
        let compiled = &experiment.compiled;
        let mut scores = Scores::new(&session.store, &compiled.plan.stages);
        for study in &experiment.resolved.studies {
            let mut tables = compiled.tables.iter();
            let Some((_, spec)) = tables.find(|(_, spec)| spec.table == study.table) else {
                continue;
            };
            let found = judge_claims(study, spec, &ledger, |key| scores.of(key)?.into_scores());
            judgements.extend(found.map_err(CliError::internal)?);
        }
    }
    Ok(judgements)
}

fn status(judgements: &[Judgement]) -> ExitStatus {
    let any = |is: fn(&Verdict) -> bool| judgements.iter().any(|j| is(&j.verdict));
    if any(|v| *v == Verdict::Contradicted) {
        ExitStatus::Contradicted
    } else if any(|v| matches!(v, Verdict::Missing { .. })) {
        ExitStatus::Failed
    } else {
        ExitStatus::Done
    }
}
