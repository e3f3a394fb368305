//! Reports that point into the manifest: file, line, column, caret, hint.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::floor_char;
use super::{Origin, Sources};

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What is wrong, in a lower-case fragment.
    pub message: String,
    /// Where.
    pub origin: Option<Origin>,
    /// Said under the caret.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A message at a place.
    #[must_use]
    pub fn new(message: impl Into<String>, origin: Option<&Origin>) -> Self {
        Self {
            message: message.into(),
            origin: origin.cloned(),
            label: None,
            hint: None,
        }
    }

    /// Adds the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    /// The report, without colour.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let title = Level::ERROR.primary_title(self.message.clone());
        let mut group = match self
            .origin
            .as_ref()
            .and_then(|o| sources.get(o.file).map(|f| (o, f)))
        {
            Some((origin, file)) => {
                let start = floor_char(&file.text, origin.span.start);
                let end = floor_char(&file.text, origin.span.end).max(start);
                // A table's span runs over many lines; its first line says where it begins.
                let end = file.text[start..end].find('\n').map_or(end, |n| start + n);
                let mut annotation = AnnotationKind::Primary.span(start..end);
                if let Some(label) = &self.label {
                    annotation = annotation.label(label.clone());
                }
                title.element(
                    Snippet::source(file.text.clone())
                        .path(file.name.clone())
                        .annotation(annotation),
                )
            }
            None => annotate_snippets::Group::with_title(title),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.clone()));
        }
        Renderer::plain().render(&[group])
    }
}

/// What is wrong with a manifest, with the texts it points into.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// The texts.
    pub sources: Sources,
    /// At least one.
    pub list: Vec<Diagnostic>,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            f.write_str(&diagnostic.render(&self.sources))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// `did you mean 'x'?` for the candidate nearest to `word`, where one is near: few letters differ,
/// or `word` is one of the words that the candidate is made of.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let wanted = word.to_lowercase();
    let length = wanted.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let known = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &known);
            let allowed = (known.chars().count().min(length) / 3).max(1);
            let part = length > 2 && known.split('_').any(|p| p == wanted);
            // Among equally near ones that which goes on as the word began.
            let rank = (distance, !known.starts_with(&wanted));
            match (distance <= allowed, part) {
                (true, _) => Some((rank, candidate)),
                (false, true) => Some(((allowed + 1, rank.1), candidate)),
                (false, false) => None,
            }
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| format!("did you mean '{candidate}'?"))
}
