//! From a path to one tree: reading, `extends`, checks of structure, `--set`.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{
    Diagnostic, Diagnostics, Document, Node, Origin, SourceFile, Sources, Table, Value, from_node,
};

/// Longest chain of `extends`, and largest file, that is still taken seriously.
pub(super) const MAX_DEPTH: usize = 16;
const MAX_BYTES: u64 = 16 << 20;

/// Most parts of a dotted key: twice as many as any setting has.
pub(crate) const MAX_KEY_PARTS: usize = 16;

/// A manifest with all it extends, merged.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The texts.
    pub sources: Sources,
    /// The merged tree.
    pub tree: Table,
    /// The same, as structs.
    pub document: Document,
    /// The file asked for.
    pub path: PathBuf,
}

/// Reads a manifest and what it extends.
///
/// # Errors
/// Unreadable files, syntax errors, unknown keys and values of the wrong type, each with its place.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let mut sources = Sources::default();
    match load_chain(path, &mut sources, &mut Vec::new(), None) {
        Ok((tree, document)) => Ok(Loaded {
            sources,
            tree,
            document,
            path: path.to_owned(),
        }),
        Err(diagnostic) => Err(Diagnostics {
            sources,
            list: vec![diagnostic],
        }),
    }
}

fn load_chain(
    path: &Path,
    sources: &mut Sources,
    chain: &mut Vec<PathBuf>,
    from: Option<&Origin>,
) -> Result<(Table, Document), Diagnostic> {
    let (file, text) = read_text(path, sources, from)?;
    let node = parse(file, &text)?;
    let document: Document = from_node(&node)?;
    let Value::Table(tree) = node.value else {
        return Err(Diagnostic::new("a manifest is a table", None));
    };
    let Some(parent) = &document.extends else {
        return Ok((tree, document));
    };
    let origin = tree.origin("extends").cloned();
    let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    chain.push(identity);
    let target = path.parent().unwrap_or(Path::new("")).join(parent);
    let resolved = target.canonicalize().unwrap_or_else(|_| target.clone());
    if chain.contains(&resolved) {
        return Err(
            Diagnostic::new("'extends' leads back to itself", origin.as_ref())
                .label("this file is already part of the chain"),
        );
    }
    if chain.len() >= MAX_DEPTH {
        return Err(Diagnostic::new(
            format!("'extends' is nested more than {MAX_DEPTH} deep"),
            origin.as_ref(),
        ));
    }
    let (mut below, _) = load_chain(&target, sources, chain, origin.as_ref())?;
    below.merge(&tree);
    let whole = Node {
        value: Value::Table(below),
        origin: node.origin,
    };
    let document = from_node(&whole)?;
    let Value::Table(below) = whole.value else {
        return Err(Diagnostic::new("a manifest is a table", None));
    };
    Ok((below, document))
}

/// The text of a file, added to `sources`.
fn read_text(
    path: &Path,
    sources: &mut Sources,
    from: Option<&Origin>,
) -> Result<(usize, String), Diagnostic> {
    let fail = |what: String| Diagnostic::new(what, from);
    let shown = path.display();
    let unreadable =
        |e: std::io::Error| fail(format!("cannot read the manifest {shown}: {}", plain(&e)));
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(fail(format!("{shown} is a folder, not a manifest")));
    }
    let mut bytes = Vec::new();
    // Devices and pipes have no length: the limit holds while reading.
    std::fs::File::open(path)
        .and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(format!(
            "{shown} holds more than {} MiB, too much for a manifest",
            MAX_BYTES >> 20
        )));
    }
    let mut add = |text: String| {
        sources.add(SourceFile {
            name: path.display().to_string(),
            path: Some(path.to_owned()),
            text,
        })
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok((add(text.clone()), text)),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let file = add(String::from_utf8_lossy(error.as_bytes()).into_owned());
            let origin = Origin {
                file,
                span: start..start + char::REPLACEMENT_CHARACTER.len_utf8(),
            };
            Err(Diagnostic::new("this is not UTF-8 text", Some(&origin))
                .label(format!("byte {start} of the file"))
                .hint("save the manifest as UTF-8"))
        }
    }
}

/// An I/O error without the number that the standard library adds.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn parse(file: usize, text: &str) -> Result<Node, Diagnostic> {
    match DeTable::parse(text) {
        Ok(table) => Ok(Node::from_toml(file, &table)),
        Err(error) => Err(syntax(file, text, &error)),
    }
}

/// A syntax error in our words where the parser's own say too little.
fn syntax(file: usize, text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span();
    let message = error.message().trim().replace('\n', ", ");
    let written = span.clone().and_then(|s| text.get(s)).unwrap_or_default();
    let deep = message.contains("recurs");
    let message = match message.as_str() {
        _ if deep => "keys or values are nested too deep".to_owned(),
        "duplicate key" if !written.is_empty() => format!("the key '{written}' stands twice"),
        _ => message,
    };
    // The parser does not say where a dotted key got too long.
    let span = span
        .or_else(|| deep.then(|| deep_line(text)).flatten())
        .unwrap_or(0..0);
    Diagnostic::new(message, Some(&Origin { file, span }))
}

/// The first line that no parser takes by itself because of its depth.
fn deep_line(text: &str) -> Option<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n').find_map(|line| {
        let begin = start;
        start += line.len();
        let error = DeTable::parse(line).err()?;
        let end = begin + line.trim_end().len();
        error.message().contains("recurs").then_some(begin..end)
    })
}

/// Parses one `--set key=value`. The value is TOML; a bare word is text.
///
/// # Errors
/// No `=`, an empty key or value, or a value that is no TOML.
pub fn parse_override(sources: &mut Sources, argument: &str) -> Result<(String, Node), Diagnostic> {
    let file = sources.add(SourceFile {
        name: "--set".to_owned(),
        path: None,
        text: argument.to_owned(),
    });
    let whole = Origin {
        file,
        span: 0..argument.len(),
    };
    let Some((key, value)) = argument.split_once('=') else {
        return Err(Diagnostic::new("--set takes key=value", Some(&whole))
            .hint("for example --set pretrain.epochs=100"));
    };
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(Diagnostic::new("--set takes a dotted key", Some(&whole)));
    }
    if key.split('.').count() > MAX_KEY_PARTS {
        return Err(Diagnostic::new("the key is too deep", Some(&whole)));
    }
    let start = argument.len() - value.len();
    let origin = Origin {
        file,
        span: start..argument.len(),
    };
    if value.trim().is_empty() {
        return Err(Diagnostic::new("--set takes a value", Some(&origin))
            .hint("for an empty text write --set 'key=\"\"'"));
    }
    // The key's place is kept by blanks, so that places inside the value are right.
    let document = format!("v{}={value}", " ".repeat(start.saturating_sub(2)));
    let parsed = DeTable::parse(&document).ok().and_then(|table| {
        let mut node = Node::from_toml(file, &table);
        match &mut node.value {
            Value::Table(t) if t.entries.len() == 1 => t.entries.remove("v").map(|e| e.node.value),
            _ => None,
        }
    });
    let value = match parsed {
        Some(value) => value,
        // A bare word is text; what looks like more than a word is a slip.
        None if value.contains(['"', '\'', '[', ']', '{', '}', '\n']) => {
            return Err(
                Diagnostic::new("the value of --set is no TOML", Some(&origin))
                    .hint("mind the shell's quotes: --set 'seeds=[1, 2]'"),
            );
        }
        None => Value::String(value.trim().to_owned()),
    };
    Ok((key.to_owned(), Node { value, origin }))
}
