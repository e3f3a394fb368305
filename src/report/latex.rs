//! The table as LaTeX, laid out as in the paper.

use super::TableInput;
use super::view::{Rank, Shown, View, ViewColumn, one_line};

/// The table as a LaTeX float, no wider than the text; needs the packages `booktabs` and
/// `graphicx`. Same input, same bytes.
#[must_use]
pub fn latex(input: &TableInput) -> String {
    let view = View::new(input);
    let mut out = String::from("% Written by amlp-run. Needs \\usepackage{booktabs,graphicx}.\n");
    let header = input.header();
    for (label, text) in &header {
        out.push_str(&format!("% {label}: {}\n", one_line(text)));
    }
    out.push_str("\\begin{table*}\n\\centering\n");
    let facts: Vec<String> = header
        .iter()
        .map(|(label, text)| format!("{label}: {}.", escape(text)))
        .collect();
    out.push_str(&format!(
        "\\caption{{{}. {}}}\n\\label{{tab:{}}}\n",
        escape(&input.title),
        facts.join(" "),
        label_name(&input.number)
    ));
    out.push_str(SHRUNK);
    out.push_str(&format!(
        "\\begin{{tabular}}{{l{}}}\n\\toprule\n",
        "r".repeat(view.columns.len())
    ));
    out.push_str(&spanning(&view.columns, |c| c.dataset.clone()));
    out.push_str(&spanning(&view.columns, |c| {
        format!("{}\0{}", c.dataset, c.modality)
    }));
    let metrics: Vec<String> = view
        .columns
        .iter()
        .map(|c| escape(&c.metric_with_arrow()))
        .collect();
    out.push_str(&format!("Method & {} \\\\\n", metrics.join(" & ")));
    for group in &view.groups {
        out.push_str("\\midrule\n");
        if !group.label.is_empty() {
            out.push_str(&format!(
                "\\multicolumn{{{}}}{{l}}{{\\textit{{{}}}}} \\\\\n",
                view.columns.len() + 1,
                escape(&group.label)
            ));
        }
        for row in &group.rows {
            let line = |f: fn(&Shown) -> String| -> String {
                let cells: Vec<String> = row
                    .cells
                    .iter()
                    .map(|c| c.as_ref().map_or_else(String::new, f))
                    .collect();
                cells.join(" & ")
            };
            out.push_str(&format!("{} & {} \\\\\n", escape(&row.method), line(text)));
            if row.has_published() {
                out.push_str(&format!(
                    "{{\\scriptsize published}} & {} \\\\\n",
                    line(beside)
                ));
            }
        }
    }
    out.push_str("\\bottomrule\n\\end{tabular}}\n");
    for (i, note) in view.notes.iter().enumerate() {
        out.push_str(&format!(
            "\\par{{\\footnotesize $^{{{}}}$ {}}}\n",
            i + 1,
            escape(&note.to_string())
        ));
    }
    for line in &view.counts {
        out.push_str(&format!("% {}\n", one_line(line)));
    }
    out.push_str("\\end{table*}\n");
    out
}

/// Opens a box that makes a table fit the text, and leaves one that fits as it is. The tabular ends
/// it.
const SHRUNK: &str = "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%\n";

/// The number of a table as a key for `\ref`.
fn label_name(number: &str) -> String {
    number.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A header line in which neighbours of equal key share a cell; what stands behind the last NUL of
/// a key is shown.
fn spanning(columns: &[ViewColumn], key: impl Fn(&ViewColumn) -> String) -> String {
    let mut spans: Vec<(String, usize)> = Vec::new();
    for column in columns {
        let name = key(column);
        match spans.last_mut() {
            Some((last, n)) if *last == name => *n += 1,
            _ => spans.push((name, 1)),
        }
    }
    let mut out = String::new();
    let mut rules = String::new();
    let mut at = 2;
    for (name, n) in spans {
        let shown = name.rsplit('\0').next().unwrap_or_default();
        out.push_str(&format!(
            " & \\multicolumn{{{n}}}{{c}}{{{}}}",
            escape(shown)
        ));
        rules.push_str(&format!("\\cmidrule(lr){{{at}-{}}}", at + n - 1));
        at += n;
    }
    format!("{out} \\\\\n{rules}\n")
}

fn text(cell: &Shown) -> String {
    let mut out = match (&cell.mean, cell.rank) {
        (None, _) => "--".to_owned(),
        (Some(mean), Rank::Best) => format!("\\textbf{{{mean}}}"),
        (Some(mean), Rank::Second) => format!("\\underline{{{mean}}}"),
        (Some(mean), Rank::Other) => mean.clone(),
    };
    if let Some(sd) = &cell.sd {
        out.push_str(&format!(" {{\\scriptsize $\\pm$ {sd}}}"));
    }
    if let Some(note) = cell.note {
        out.push_str(&format!("$^{{{note}}}$"));
    }
    out
}

fn beside(cell: &Shown) -> String {
    match (&cell.published, &cell.difference) {
        (Some(published), Some(difference)) => {
            format!("{{\\scriptsize {published} (${difference}$)}}")
        }
        (Some(published), None) => format!("{{\\scriptsize {published}}}"),
        _ => String::new(),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '↑' => out.push_str("$\\uparrow$"),
            '↓' => out.push_str("$\\downarrow$"),
            '±' => out.push_str("$\\pm$"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("''"),
            // After the end of a row these two would be read as its options.
            '[' | '*' => out.push_str(&format!("{{{c}}}")),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
