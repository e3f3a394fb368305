//! From a path to one tree: reading, `extends`, checks of structure, `--set`.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{
    Diagnostic, Diagnostics, Document, Node, Origin, SourceFile, Sources, Table, Value, from_node,
};

/// Longest chain of `extends`, and largest file, that is still taken seriously.
const MAX_DEPTH: usize = 16;
const MAX_BYTES: u64 = 16 << 20;

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
    let text = read_text(path, from)?;
    let file = sources.add(SourceFile {
        name: path.display().to_string(),
        path: Some(path.to_owned()),
        text: text.clone(),
    });
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

fn read_text(path: &Path, from: Option<&Origin>) -> Result<String, Diagnostic> {
    let fail = |what: String| Diagnostic::new(what, from);
    let shown = path.display();
    let meta = std::fs::metadata(path)
        .map_err(|e| fail(format!("cannot read the manifest {shown}: {}", plain(&e))))?;
    if meta.is_dir() {
        return Err(fail(format!("{shown} is a folder, not a manifest")));
    }
    if meta.len() > MAX_BYTES {
        return Err(fail(format!(
            "{shown} holds {} MiB, too much for a manifest",
            meta.len() >> 20
        )));
    }
    let bytes = std::fs::read(path)
        .map_err(|e| fail(format!("cannot read the manifest {shown}: {}", plain(&e))))?;
    String::from_utf8(bytes).map_err(|e| {
        fail(format!(
            "{shown} is not a text file: byte {} is not UTF-8",
            e.utf8_error().valid_up_to()
        ))
    })
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
    let table = DeTable::parse(text).map_err(|e| {
        let origin = e.span().map(|span| Origin { file, span });
        Diagnostic::new(e.message().trim().replace('\n', ", "), origin.as_ref())
    })?;
    Ok(Node::from_toml(file, &table))
}

/// Parses one `--set key=value`. The value is TOML; a bare word is text.
///
/// # Errors
/// No `=`, an empty key, or a value that is no TOML.
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
    let origin = Origin {
        file,
        span: argument.len() - value.len()..argument.len(),
    };
    let document = format!("value = {value}");
    let quoted = format!("value = {:?}", value.trim());
    let table = DeTable::parse(&document)
        .or_else(|_| DeTable::parse(&quoted))
        .map_err(|e| Diagnostic::new(e.message().to_owned(), Some(&origin)))?;
    let node = Node::from_toml(file, &table);
    let value = node
        .as_table()
        .and_then(|t| t.get("value"))
        .map_or(Value::String(value.to_owned()), |n| n.value.clone());
    Ok((key.to_owned(), Node { value, origin }))
}
