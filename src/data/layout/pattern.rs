//! File patterns of the layout `pairs`: `*` and `{case}` within path segments.

/// One piece of a path segment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    /// `*`: any text.
    Star,
    /// `{case}`: the name of the case, the same wherever it occurs.
    Case,
}

/// What the wildcards of a pattern matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captures {
    case: Option<String>,
    stars: Vec<String>,
}

impl Captures {
    /// The case: what `{case}` matched, or what the `*` matched, joined by `_`.
    pub(super) fn case_id(&self) -> String {
        self.case.clone().unwrap_or_else(|| self.stars.join("_"))
    }
}

/// A path below the root with wildcards.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    segments: Vec<Vec<Token>>,
}

impl Pattern {
    /// Parses `text`; the error is a reason for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut wildcards = 0;
        for segment in text.split('/').filter(|segment| *segment != ".") {
            if segment.is_empty() || segment == ".." {
                return Err(format!(
                    "'{text}' must be a path below the root, without empty parts and '..'"
                ));
            }
            let mut tokens: Vec<Token> = Vec::new();
            let mut rest = segment;
            while !rest.is_empty() {
                if let Some(after) = rest.strip_prefix("{case}") {
                    tokens.push(Token::Case);
                    rest = after;
                } else if let Some(after) = rest.strip_prefix('*') {
                    // `**` is the same as `*`: a segment has no folders to descend into.
                    if tokens.last() != Some(&Token::Star) {
                        tokens.push(Token::Star);
                    }
                    rest = after;
                } else {
                    // A brace or star that starts no wildcard was handled above, so at least one
                    // character is text.
                    let first = rest.chars().next().map_or(1, char::len_utf8);
                    let end = rest[first..]
                        .find(['*', '{'])
                        .map_or(rest.len(), |at| at + first);
                    tokens.push(Token::Text(rest[..end].to_owned()));
                    rest = &rest[end..];
                }
            }
            let here = tokens
                .iter()
                .filter(|token| !matches!(token, Token::Text(_)))
                .count();
            // Matching tries every way to share a name among the wildcards of a part.
            if here > 3 {
                return Err(format!(
                    "'{text}' has more than three wildcards in one part"
                ));
            }
            wildcards += here;
            segments.push(tokens);
        }
        if wildcards == 0 {
            return Err(format!(
                "'{text}' needs a '*' or '{{case}}' that tells the cases apart"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// Number of path segments.
    pub(super) fn depth(&self) -> usize {
        self.segments.len()
    }

    /// Matches `name` against segment `depth`, given what the segments before have matched.
    pub(super) fn step(&self, depth: usize, name: &str, before: &Captures) -> Option<Captures> {
        let mut captures = before.clone();
        matches(self.segments.get(depth)?, name, &mut captures).then_some(captures)
    }

    /// The file that a case should have, for messages.
    pub(super) fn expected(&self, case: &str) -> String {
        let stars = self
            .segments
            .iter()
            .flatten()
            .filter(|token| **token == Token::Star)
            .count();
        let named = self.text.replace("{case}", case);
        if stars == 1 && named == self.text {
            named.replace('*', case)
        } else {
            named
        }
    }
}

/// Longest match first, so that `{case}_ct` takes the last `_ct` of a name.
fn matches(tokens: &[Token], text: &str, captures: &mut Captures) -> bool {
    let Some((first, rest)) = tokens.split_first() else {
        return text.is_empty();
    };
    match first {
        Token::Text(expected) => text
            .strip_prefix(expected.as_str())
            .is_some_and(|after| matches(rest, after, captures)),
        Token::Case => {
            if let Some(case) = captures.case.clone() {
                return text
                    .strip_prefix(case.as_str())
                    .is_some_and(|after| matches(rest, after, captures));
            }
            for end in ends(text).filter(|&end| end > 0) {
                captures.case = Some(text[..end].to_owned());
                if matches(rest, &text[end..], captures) {
                    return true;
                }
            }
            captures.case = None;
            false
        }
        Token::Star => {
            for end in ends(text) {
                captures.stars.push(text[..end].to_owned());
                let held = captures.stars.len();
                if matches(rest, &text[end..], captures) {
                    return true;
                }
                captures.stars.truncate(held - 1);
            }
            false
        }
    }
}

/// Character boundaries of `text`, the last first.
fn ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    std::iter::once(text.len()).chain(text.char_indices().rev().map(|(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn match_path(pattern: &str, path: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).ok()?;
        let parts: Vec<&str> = path.split('/').collect();
        if parts.len() != pattern.depth() {
            return None;
        }
        let mut captures = Captures::default();
        for (depth, part) in parts.iter().enumerate() {
            captures = pattern.step(depth, part, &captures)?;
        }
        Some(captures.case_id())
    }

    #[test]
    fn stars_and_case_name_the_case() {
        let id = |p, s| match_path(p, s);
        assert_eq!(
            id("*/CT_image.nii.gz", "STS_003/CT_image.nii.gz").as_deref(),
            Some("STS_003")
        );
        assert_eq!(
            id("img/{case}_ct.nii", "img/a_ct_b_ct.nii").as_deref(),
            Some("a_ct_b")
        );
        assert_eq!(
            id("{case}/{case}_ct.nii", "p1/p1_ct.nii").as_deref(),
            Some("p1")
        );
        assert_eq!(id("{case}/{case}_ct.nii", "p1/p2_ct.nii"), None);
        assert_eq!(id("*/*.nii", "a/b.nii").as_deref(), Some("a_b"));
        assert_eq!(id("*_ct*", "x_ct_gtvt").as_deref(), Some("x__gtvt"));
        assert_eq!(id("*/x.nii", "x.nii"), None);
        assert_eq!(id("{case}{x}*", "é{x}").as_deref(), Some("é"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in [
            "",
            "a/b.nii",
            "../*.nii",
            "/abs/*.nii",
            "a//*.nii",
            "*-*-*-*",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_expected_file_is_named() {
        let expected = |p: &str| Pattern::parse(p).map(|p| p.expected("P1"));
        assert_eq!(expected("*/CT.nii").as_deref(), Ok("P1/CT.nii"));
        assert_eq!(expected("i/{case}_*.nii").as_deref(), Ok("i/P1_*.nii"));
    }

    proptest! {
        #[test]
        fn any_pattern_and_name_are_handled(
            pattern in "[*a{}cse/é.-]{0,24}|(\\{case\\}|\\*|a|_|/){1,8}",
            name in "[a_é]{0,40}",
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let mut captures = Captures::default();
                for depth in 0..pattern.depth() {
                    captures = pattern.step(depth, &name, &captures).unwrap_or_default();
                }
                prop_assert!(captures.case_id().chars().count() <= 8 * (name.chars().count() + 1) * 3);
                pattern.expected(&name);
            }
        }

        #[test]
        fn a_case_is_found_between_texts(case in "[a-z0-9_]{1,12}", suffix in "_[a-z]{1,5}") {
            let pattern = format!("{{case}}{suffix}.nii");
            let found = match_path(&pattern, &format!("{case}{suffix}.nii"));
            prop_assert_eq!(found, Some(case));
        }
    }
}
